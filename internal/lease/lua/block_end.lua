-- Ends a writer's block.
-- KEYS, ARGV[1] and ARGV[2] as in block_read.lua
-- ARGV[3] what became of its write: 'put', 'drop' (nobody knows what holds now) or 'restore' (nothing was changed)
-- ARGV[4] the new value, ARGV[5] its time to live (0: none)
-- reply: 1 when the value that the writer left is there, 0 when nothing is, or others are at it
-- Sent twice it does no harm: at worst the value is gone.
local how = ARGV[3]
if not mine then
	if how == 'put' and text == ARGV[4] then
		return 1
	end
	if how == 'restore' then
		return 0
	end
	if there then -- of others, who did not see this writer
		contested = true
		store()
	elseif text then
		redis.call('DEL', KEYS[1]) -- it may have been loaded before the write
	end
	return 0
end
table.remove(writers, mine)
table.remove(ends, mine)
if #writers > 0 then
	if how ~= 'restore' then
		contested = true
	end
	store()
	return 0
end
local ttl = ARGV[5]
if how == 'restore' then
	ttl = '0'
	if lives then
		ttl = string.format('%.0f', lives)
	end
else
	value = how == 'put' and ARGV[4] or ''
end
if contested or value == '' or (lives and how == 'restore' and lives <= 0) then
	redis.call('DEL', KEYS[1])
	return 0
end
if ttl == '0' then
	redis.call('SET', KEYS[1], value)
else
	redis.call('SET', KEYS[1], value, 'PX', ttl)
end
return 1
