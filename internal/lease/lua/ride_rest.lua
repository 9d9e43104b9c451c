-- Turns a claim that still stands in front of a value into a pause.
-- KEYS[1] the key
-- ARGV[1] the mark, ARGV[2] the mark of a pause, as long as the other, ARGV[3] the pause in ms
-- reply: 1 when the claim was held, 0 when it is gone
local mark = #ARGV[1]
if redis.call('GETRANGE', KEYS[1], 0, mark - 1) ~= ARGV[1] then
	return 0
end
local left = redis.call('PTTL', KEYS[1])
redis.call('SETRANGE', KEYS[1], 0, ARGV[2] .. string.format('%013.0f', math.max(left - tonumber(ARGV[3]), 0)))
return 1
