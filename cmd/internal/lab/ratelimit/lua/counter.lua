-- The rate limit as it is printed, but for a window in ms in place of an hour.
-- KEYS[1] the counter
-- ARGV[1] how many requests a window, ARGV[2] its length in ms
-- reply: 1 granted, 0 not
local limit = tonumber(ARGV[1])
local current = redis.call('GET', KEYS[1])
if current == false then
	redis.call('PSETEX', KEYS[1], ARGV[2], 1)
	return 1
end
current = tonumber(current)
if current >= limit then
	return 0
end
redis.call('INCR', KEYS[1])
return 1
