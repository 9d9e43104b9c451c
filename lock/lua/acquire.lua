-- Grants the lock, or puts the owner in the queue. Asked again by the same owner
-- it gives the same lease and token, or keeps the place in the queue.
-- KEYS, ARGV[1] and ARGV[2] as in read.lua and state.lua
-- ARGV[3] the lease in ms, ARGV[4] how long the owner is believed to wait, in ms (0: it does not)
-- ARGV[5] how many may hold KEYS[2] (0: any number)
-- reply: the token; else the time, how long until a lease ends, how many are before the owner (-1: not in the queue)
local grant, wait, limit = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if holder == owner then
	till = math.max(till, ends)
	store()
	return token
end
if not more and till > 0 and wait == 0 then
	return {now, till - now, -1}
end

sweep()
local mine = redis.call('ZSCORE', KEYS[2], owner)
if mine then
	redis.call('ZADD', KEYS[2], string.format('%.0f', math.max(tonumber(mine), ends)), owner)
	storeAll()
	return tonumber(redis.call('HGET', KEYS[4], owner))
end
if not redis.call('ZSCORE', KEYS[3], owner) then
	local last = redis.call('ZRANGE', KEYS[3], -1, -1, 'WITHSCORES')[2]
	redis.call('ZADD', KEYS[3], string.format('%.0f', math.max(now, tonumber(last or '0') + 1)), owner)
end
redis.call('HSET', KEYS[4], owner, string.format('%.0f', now + wait * 1000))
advance(grant, limit)
if holder == owner then
	storeAll()
	return token
end
if redis.call('ZSCORE', KEYS[2], owner) then
	storeAll()
	return tonumber(redis.call('HGET', KEYS[4], owner))
end
local rank = -1
if wait > 0 then
	rank = redis.call('ZRANK', KEYS[3], owner)
else
	redis.call('ZREM', KEYS[3], owner)
	redis.call('HDEL', KEYS[4], owner)
end
storeAll()
local left = till - now
if till == 0 then
	left = tonumber(redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2] or '0') - now
end
return {now, math.max(left, 0), rank}
