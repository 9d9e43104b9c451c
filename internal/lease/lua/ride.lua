-- Puts a claim in front of a value, in the same key, so that it stays readable
-- while it is loaded again. The claim ends by the key's own countdown: it
-- stands while the key has more than the 13 digits behind the mark to live.
-- KEYS[1] the key
-- ARGV[1] the mark, ARGV[2] how the value that was read begins, ARGV[3] the lease in ms,
-- ARGV[4] what the key had to live when it was read, in ms: one that has more was written since
-- reply: 0 taken; n > 0: another claim stands for n ms; -1 another value is there; -2 nothing is
local now = redis.call('GET', KEYS[1])
if not now then
	return -2
end
local left = redis.call('PTTL', KEYS[1])
local mark = #ARGV[1]
if string.sub(now, 1, 5) == string.sub(ARGV[1], 1, 5) then
	local ends = tonumber(string.sub(now, mark + 1, mark + 13))
	if ends and left > ends then
		return left - ends
	end
	now = string.sub(now, mark + 14)
end
if left > tonumber(ARGV[4]) or string.sub(now, 1, #ARGV[2]) ~= ARGV[2] then
	return -1
end
local ends = string.format('%013.0f', math.max(left - tonumber(ARGV[3]), 0))
redis.call('SET', KEYS[1], ARGV[1] .. ends .. now, 'KEEPTTL')
return 0
