-- Gives a lease back, if it is still held.
-- KEYS[1] the key
-- ARGV[1] the mark
-- reply: 1 when it was held, 0 when it is gone
if redis.call('GET', KEYS[1]) == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
return 0
