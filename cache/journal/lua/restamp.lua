-- Gives a change that the sink has refused a version above what the sink holds, if nothing later stands for its key.
-- KEYS[1] the state, [2] the log, [3] what is newest: as in put.lua
-- ARGV[1] the flusher's token, [2] its id, [3] its version, [4] its random digits, [5] the version that the sink holds
-- reply: the new version; 0: something later stands for the key, or the change is gone; -1: somebody else has the
--   partition; -2: nothing is above what the sink holds; -3: the server has lost the change, and another one, or none, is newest
local state = redis.call('HMGET', KEYS[1], 'token', 'last')
local newest = redis.call('HGET', KEYS[3], ARGV[2])
if state[1] ~= ARGV[1] then
	return -1
end
local version = newest and tonumber(string.sub(newest, 1, 16))
if not version or (version < tonumber(ARGV[3]) or version == tonumber(ARGV[3]) and string.sub(newest, 17, 32) ~= ARGV[4]) then
	return -3
end
if version > tonumber(ARGV[3]) then
	return 0
end
local record = redis.call('XRANGE', KEYS[2], ARGV[3] .. '-' .. ARGV[4], ARGV[3] .. '-' .. ARGV[4])[1]
if not record then
	return 0
end
local clock = redis.call('TIME')
version = math.max(clock[1] * 1000000 + clock[2], tonumber(state[2] or '0') + 1, tonumber(ARGV[5]) + 1)
if version >= 9007199254740992 then
	return -2
end
redis.call('XADD', KEYS[2], string.format('%.0f-', version) .. ARGV[4], unpack(record[2]))
redis.call('XDEL', KEYS[2], record[1])
redis.call('HSET', KEYS[3], ARGV[2], string.format('%016.0f', version) .. string.sub(newest, 17))
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
redis.call('HSET', KEYS[1], 'last', string.format('%.0f', version), 'oldest', string.match(first[1], '^%d+'))
return version
