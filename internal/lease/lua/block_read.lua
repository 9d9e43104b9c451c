-- How every script of a block begins: what stands at the key.
-- KEYS[1] the key
-- ARGV[1] how a block begins, 14 bytes (package frame has the rest), ARGV[2] the writer's token, 16 bytes
-- no reply
-- Times are in ms. A writer whose block ran out may have written and died: what it left is not to be trusted.
local head, token = ARGV[1], ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local text = redis.call('GET', KEYS[1])
local writers, ends = {}, {}
local there, mine, contested, value = false, nil, false, ''
local lives = nil -- what the value has to live; nil for one without an end
if text then
	local left = redis.call('PTTL', KEYS[1])
	there = string.sub(text, 1, #head) == head
	if there then
		contested = string.sub(text, 15, 15) == '1'
		local beyond = tonumber(string.sub(text, 16, 28))
		lives = beyond and beyond + left
		local dead = false
		local at = 32
		for _ = 1, tonumber(string.sub(text, 29, 31)) do
			local writer, till = string.sub(text, at, at + 15), tonumber(string.sub(text, at + 16, at + 28))
			if writer == token or till >= now then
				local n = #writers + 1
				writers[n], ends[n] = writer, till
				if writer == token then
					mine = #writers
				end
			else
				dead = true
			end
			at = at + 29
		end
		value = string.sub(text, at)
		if dead then
			contested = true
		end
	elseif left >= 0 then
		lives = left
	end
end

-- Leaves the block of all writers there are, with the value behind it: hidden, if it ends before the block does.
local function store()
	local till = now + 1
	local list = {}
	for i, writer in ipairs(writers) do
		till = math.max(till, ends[i])
		list[i] = writer .. string.format('%013.0f', ends[i])
	end
	local left = till - now
	local state, beyond = '0', '-------------'
	if contested then
		state, value = '1', ''
	elseif lives and value ~= '' then
		beyond = string.format('%013.0f', lives - left)
		if lives < left then
			state = '2'
		end
	end
	redis.call('SET', KEYS[1], head .. state .. beyond .. string.format('%03d', #writers) ..
		table.concat(list) .. value, 'PX', string.format('%.0f', left))
end
