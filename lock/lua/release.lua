-- Gives back what the owner has, be it a lease or a place in the queue, and
-- grants what is free to those who wait.
-- KEYS, ARGV[1] and ARGV[2] as in read.lua and state.lua
-- ARGV[3] the lease of whoever is granted it in ms, ARGV[4] how many may hold KEYS[2] (0: any number)
-- reply: 1 when a lease was held, 0 when none was
local was = 0
if holder == owner then
	till, was = 0, 1
elseif not text and redis.call('EXISTS', KEYS[2], KEYS[3]) == 0 then
	return 0
end
sweep()
if was == 0 then
	was = redis.call('ZREM', KEYS[2], owner)
	redis.call('ZREM', KEYS[3], owner)
	redis.call('HDEL', KEYS[4], owner)
end
advance(tonumber(ARGV[3]), tonumber(ARGV[4]))
storeAll()
return was
