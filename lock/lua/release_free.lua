-- The usual case first: nobody else wants the lock.
-- KEYS, ARGV and reply as in release.lua
if not more then
	if holder ~= owner then
		return 0
	end
	redis.call('SETRANGE', KEYS[1], 19, '0000000000000000')
	return 1
end
