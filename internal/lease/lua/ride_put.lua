-- Replaces a value, and the claim that still stands in front of it. Repeating
-- it does no harm: the value it wrote itself counts as written.
-- KEYS[1] the key
-- ARGV[1] the mark, ARGV[2] the new value, ARGV[3] its time to live in ms (0: none)
-- reply: 1 when written, 0 when the claim is gone
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) == ARGV[1] then
	if ARGV[3] == '0' then
		redis.call('SET', KEYS[1], ARGV[2])
	else
		redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
	end
	return 1
end
if redis.call('GET', KEYS[1]) == ARGV[2] then
	return 1
end
return 0
