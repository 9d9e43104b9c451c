-- The usual case first: nobody has the lock, and nobody else wants it. The key's
-- time to live is set once an hour, to an hour more than it must be.
-- KEYS, ARGV and reply as in acquire.lua
local ends = now + ARGV[3] * 1000
if till == 0 and string.byte(owner) == 120 then
	local fresh = not text
	if fresh then
		more = redis.call('EXISTS', KEYS[2], KEYS[3]) > 0
	end
	if not more then
		fresh = fresh or math.floor(token / 3.6e9) ~= math.floor(now / 3.6e9)
		token = math.max(token + 1, now)
		local state = string.format('%016.0f 0 %016.0f %s', token, ends, owner)
		if fresh or #state ~= #text then
			redis.call('SET', KEYS[1], state, 'PX', ARGV[2])
		else
			redis.call('SETRANGE', KEYS[1], 0, state)
		end
		return token
	end
end
