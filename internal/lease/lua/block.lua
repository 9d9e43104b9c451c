-- Puts a block in front of the value, or lengthens it.
-- KEYS, ARGV[1] and ARGV[2] as in block_read.lua
-- ARGV[3] for how long, ARGV[4] 1 when it was put there before, ARGV[5] how a claim begins that rides on a value,
-- ARGV[6] how long that is
-- reply: 1; 0 when there are too many writers
local till = now + ARGV[3]
if not there and text then
	value = text
	if string.sub(value, 1, #ARGV[5]) == ARGV[5] then
		value = string.sub(value, ARGV[6] + 1)
	end
	local kind, flags = string.byte(value, 4, 5)
	if string.sub(value, 1, 3) ~= string.sub(head, 1, 3) or not flags or kind > 2 or flags > 127 then
		value = '' -- a claim, a failure, or nothing of ours
	end
end
if not mine then
	if #writers >= 999 then
		return 0
	end
	mine = #writers + 1
	writers[mine] = token
	if ARGV[4] == '1' then
		contested = true -- who came meanwhile did not see this writer
	end
end
ends[mine] = till
store()
return 1
