-- Moves a change from the log to the dead letters, with the reason.
-- KEYS[1] the state, [2] the log, [3] what is newest, [4] the dead letters, a stream: k, v, n the version and r the random digits,
--   a the attempts, e the reason, [5] ids by dead letter, [6] the entry, [7] what left the log a moment ago, as in put.lua
-- ARGV[1] the flusher's token, [2] the id, [3] the version and the random digits, with a hyphen, [4] the bytes of the record, [5] attempts, [6] the reason,
--   [7] how many dead letters there may be
-- reply: 1; 0: it is gone; -1: somebody else has the partition; -2: there are too many
local state = redis.call('HMGET', KEYS[1], 'token', 'bytes', 'left')
local newest = redis.call('HGET', KEYS[3], ARGV[2])
local dead = redis.call('XLEN', KEYS[4])
redis.call('HLEN', KEYS[5])
if state[1] ~= ARGV[1] then
	return -1
end
local record = redis.call('XRANGE', KEYS[2], ARGV[3], ARGV[3])[1]
if not record then
	return 0
end
if dead >= tonumber(ARGV[7]) then
	return -2
end
local fields = record[2]
local version, digits = string.match(ARGV[3], '^(%d+)-(%d+)$')
for _, f in ipairs({'n', version, 'r', digits, 'a', ARGV[5], 'e', ARGV[6]}) do
	fields[#fields + 1] = f
end
local place = redis.call('XADD', KEYS[4], '*', unpack(fields))
redis.call('XDEL', KEYS[2], ARGV[3])
if not newest or string.sub(newest, 1, 32) == string.format('%016.0f', tonumber(version)) .. digits then
	redis.call('HDEL', KEYS[3], ARGV[2])
	redis.call('HSET', KEYS[5], ARGV[2], place)
	redis.call('DEL', KEYS[6])
end
local clock = redis.call('TIME')
local left = math.max(clock[1] * 1000000 + clock[2], tonumber(state[3] or '0') + 1)
redis.pcall('XADD', KEYS[7], 'MINID', '~', string.format('%.0f', left - 20000000), string.format('%.0f-0', left), 'r', digits)
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local bytes = 0
if first then
	bytes = math.max(tonumber(state[2] or '0') - tonumber(ARGV[4]), 0)
	redis.call('HSET', KEYS[1], 'oldest', string.match(first[1], '^%d+'))
else
	redis.call('HDEL', KEYS[1], 'oldest')
end
redis.call('HSET', KEYS[1], 'bytes', string.format('%.0f', bytes), 'dead', string.format('%.0f', dead + 1),
	'left', string.format('%.0f', left))
return 1
