-- Makes a lease that has not ended last from now on.
-- KEYS as in read.lua, ARGV[3] the lease in ms, ARGV[4] a token that the next one must exceed
-- reply: 1 when it was held, 0 when it is gone
local ends = now + tonumber(ARGV[3]) * 1000
if holder == owner then
	till = ends
elseif alone or not text then
	return 0
else
	local mine = redis.call('ZSCORE', KEYS[2], owner)
	if not mine or tonumber(mine) <= now then
		return 0
	end
	redis.call('ZADD', KEYS[2], string.format('%.0f', ends), owner)
	for i = 2, 4 do
		redis.call('PEXPIRE', KEYS[i], ARGV[2])
	end
end
token = math.max(token, tonumber(ARGV[4]))
store()
return 1
