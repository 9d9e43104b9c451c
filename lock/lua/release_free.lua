-- The usual case first: nobody else wants the lock.
-- KEYS, ARGV and reply as in release.lua
if not more then
	if holder ~= owner then
		return 0
	end
	local done = redis.pcall('SETRANGE', KEYS[1], 19, '0000000000000000')
	if type(done) == 'table' then -- the server is full: see store
		redis.call('HDEL', KEYS[4], '')
		redis.call('SETRANGE', KEYS[1], 19, '0000000000000000')
	end
	return 1
end
