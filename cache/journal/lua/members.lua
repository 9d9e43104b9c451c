-- Says that a process flushes, and who else does.
-- KEYS[1] a sorted set: members by the end of their leases
-- ARGV[1] who asks, [2] its lease in ms (0: it leaves)
-- reply: the members, in an order that is the same for all
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local lease = tonumber(ARGV[2])
if lease == 0 then
	redis.call('ZREM', KEYS[1], ARGV[1])
else
	redis.call('ZADD', KEYS[1], string.format('%.0f', now + lease * 1000), ARGV[1])
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
local all = redis.call('ZRANGE', KEYS[1], 0, 4095)
table.sort(all)
return all
