-- Opens a page of the ledger: its generation, and the number of the last change.
-- KEYS[1] the ledger
-- ARGV[1] a fresh generation, ARGV[2] how long it must live in ms, ARGV[3] twice that
-- reply: the generation and the number
redis.call('HSETNX', KEYS[1], 'gen', ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
	redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return { redis.call('HGET', KEYS[1], 'gen'), redis.call('HGET', KEYS[1], 'seq') or '0' }
