-- Holds a tag, or goes on holding it.
-- KEYS[1] the key of its stamp
-- ARGV[1] the holder's name, ARGV[2] for how long in ms, ARGV[3] how long the key must live in ms (0: for good)
-- reply: 1 when it was held by that name, 0 when it is from now on
local old, rest, now, found = open(redis.call('GET', KEYS[1]), ARGV[1])
put(KEYS[1], 'H' .. old .. rest .. ARGV[1] .. string.format('%013.0f', now + tonumber(ARGV[2])), ARGV[3])
return found and 1 or 0
