-- Gives the stamp at a key, a fresh one where there is none, and sees to it that
-- it lives long enough. While the tag is held the stamp is one that stands nowhere:
-- what carries it is dead.
-- KEYS[1] the key
-- ARGV[1] a fresh stamp, ARGV[2] how long it must live in ms (0: for good), ARGV[3] twice that
-- reply: the stamp
local now = redis.call('GET', KEYS[1])
if not now or #now ~= #ARGV[1] then
	local _, rest = open(now, '')
	if rest ~= '' then
		return ARGV[1]
	end
	if ARGV[2] == '0' then
		redis.call('SET', KEYS[1], ARGV[1])
	else
		redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
	end
	return ARGV[1]
end
local left = redis.call('PTTL', KEYS[1])
if left >= 0 then
	if ARGV[2] == '0' then
		redis.call('PERSIST', KEYS[1])
	elseif left < tonumber(ARGV[2]) then
		redis.call('PEXPIRE', KEYS[1], ARGV[3])
	end
end
return now
