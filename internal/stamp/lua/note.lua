-- Notes a change in the ledger. Repeating it does no harm.
-- KEYS[1] the ledger
-- ARGV[1] a fresh generation, ARGV[2] the field of what changed, ARGV[3] how long the ledger must live in ms
-- reply: the number of the change
redis.call('HSETNX', KEYS[1], 'gen', ARGV[1])
local n = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('HSET', KEYS[1], ARGV[2], string.format('%.0f', n))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
	redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return n
