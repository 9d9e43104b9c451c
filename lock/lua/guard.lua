-- What a guarded script begins with: it runs only for the newest token so far.
-- What is the guard's is gone when the script begins.
-- the last of KEYS the guard's, the last of ARGV the token, before it how long the key lives, in ms
-- reply: the error FENCED when a later token was here
local fence, token = table.remove(KEYS), table.remove(ARGV)
local life = table.remove(ARGV)
if tonumber(token) < tonumber(redis.call('GET', fence) or '0') then
	return redis.error_reply('FENCED a later token was here')
end
redis.call('SET', fence, token, 'PX', life)
