-- What a guarded script begins with: it runs only for the newest token so far.
-- The guard's key and token are the last, and are gone when the script begins.
-- reply: the error FENCED when a later token was here
local fence, token = table.remove(KEYS), table.remove(ARGV)
local life = table.remove(ARGV)
if tonumber(token) < tonumber(redis.call('GET', fence) or '0') then
	return redis.error_reply('FENCED a later token was here')
end
redis.call('SET', fence, token, 'PX', life)
