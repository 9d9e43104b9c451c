-- Takes a slot, or keeps one. A slot is a member of a sorted set whose score is
-- the time in µs at which its lease ends. Repeating it does no harm: a holder
-- who is there already keeps his slot.
-- KEYS[1] the key
-- ARGV[1] the holder, ARGV[2] how many slots there are (0: only keep one), ARGV[3] the lease in µs
-- reply: n > 0: the holder is one of n; 0: he is not
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local limit, lease = tonumber(ARGV[2]), tonumber(ARGV[3])
local function text(n)
	return string.format('%.0f', n)
end
local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
held = held and tonumber(held) > now
if limit == 0 and not held then
	return 0
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
if not held and redis.call('ZCARD', KEYS[1]) >= limit then
	-- a clock that stepped back leaves leases that end too late
	for _, other in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. text(now + lease), '+inf', 'LIMIT', 0, 100)) do
		redis.call('ZADD', KEYS[1], text(now + lease), other)
	end
	redis.call('PEXPIRE', KEYS[1], text(math.ceil(lease / 1000)))
	return 0
end
redis.call('ZADD', KEYS[1], text(now + lease), ARGV[1])
redis.call('PEXPIRE', KEYS[1], text(math.ceil(lease / 1000)))
return redis.call('ZCARD', KEYS[1])
