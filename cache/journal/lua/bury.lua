-- Moves a change from the log to the dead letters, with the reason.
-- KEYS[1] the state, [2] the log, [3] what is newest, [4] the dead letters, a stream: k, v, r and n the version,
--   a the attempts, e the reason, [5] ids by dead letter, [6] the entry
-- ARGV[1] the flusher's token, [2] the id, [3] the version, [4] the bytes of the record, [5] attempts, [6] the reason,
--   [7] how many dead letters there may be
-- reply: 1; 0: it is gone; -1: somebody else has the partition; -2: there are too many
local state = redis.call('HMGET', KEYS[1], 'token', 'bytes')
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
for _, f in ipairs({'n', ARGV[3], 'a', ARGV[5], 'e', ARGV[6]}) do
	fields[#fields + 1] = f
end
local place = redis.call('XADD', KEYS[4], '*', unpack(fields))
redis.call('XDEL', KEYS[2], ARGV[3] .. '-0')
if not newest or tonumber(string.sub(newest, 1, 16)) == tonumber(ARGV[3]) then
	redis.call('HDEL', KEYS[3], ARGV[2])
	redis.call('HSET', KEYS[5], ARGV[2], place)
	redis.call('DEL', KEYS[6])
end
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local bytes = 0
if first then
	bytes = math.max(tonumber(state[2] or '0') - tonumber(ARGV[4]), 0)
	redis.call('HSET', KEYS[1], 'oldest', string.match(first[1], '^%d+'))
else
	redis.call('HDEL', KEYS[1], 'oldest')
end
redis.call('HSET', KEYS[1], 'bytes', string.format('%.0f', bytes), 'dead', string.format('%.0f', dead + 1))
return 1
