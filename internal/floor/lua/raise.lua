-- Raises a floor, never lowers it.
-- KEYS[1] the floor's key
-- ARGV[1] the version in 20 digits, and '-' where nothing is there, ARGV[2] for how long in ms
-- reply: the floor that now stands
local now = redis.call('GET', KEYS[1])
if not now or string.sub(now, 1, 20) <= string.sub(ARGV[1], 1, 20) then
	now = ARGV[1]
end
redis.call('SET', KEYS[1], now, 'PX', ARGV[2])
return now
