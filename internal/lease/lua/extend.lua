-- Lengthens a lease that is still held.
-- KEYS[1] the key
-- ARGV[1] the mark, ARGV[2] the lease in ms
-- reply: 1 when it was held, 0 when it is gone
if redis.call('GET', KEYS[1]) == ARGV[1] then
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
	return 1
end
return 0
