-- Lengthens a claim that still stands in front of a value.
-- KEYS[1] the key
-- ARGV[1] the mark, ARGV[2] the lease in ms
-- reply: 1 when it was held, 0 when it is gone
local mark = #ARGV[1]
if redis.call('GETRANGE', KEYS[1], 0, mark - 1) ~= ARGV[1] then
	return 0
end
local left = redis.call('PTTL', KEYS[1])
redis.call('SETRANGE', KEYS[1], mark, string.format('%013.0f', math.max(left - tonumber(ARGV[2]), 0)))
return 1
