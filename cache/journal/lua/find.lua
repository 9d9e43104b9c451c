-- Gives the entry of an id's newest change, if it is pending.
-- KEYS[1] the log, [2] what is newest: as in put.lua
-- ARGV[1] the id
-- reply: the entry; nothing
local newest = redis.call('HGET', KEYS[2], ARGV[1])
if not newest then
	return false
end
local place = string.format('%.0f-', tonumber(string.sub(newest, 1, 16))) .. string.sub(newest, 17, 32)
local record = redis.call('XRANGE', KEYS[1], place, place)[1]
return record and record[2][4]
