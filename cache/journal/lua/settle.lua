-- Takes out of the log what the sink has, and what later changes of the same keys stand for.
-- KEYS[1] the state, [2] the log, [3] what is newest, [4] what left a moment ago: as in put.lua
-- ARGV[1] the flusher's token, [2] the greatest version that it has seen, [3] the bytes of the records, [4] their random
--   digits, [5] how many changes were applied, [6] how many pairs follow: of an id and what was applied, as in KEYS[3],
--   or, where nothing was, a version that stands for what is taken out; then the places to take out
-- reply: how many there were; -1: somebody else has the partition; -3: what is to stand for them is not there (any more,
--   after a failover); nothing was changed then
local state = redis.call('HMGET', KEYS[1], 'token', 'last', 'bytes', 'applied', 'over', 'left')
if state[1] ~= ARGV[1] then
	return -1
end
local pairsGiven = tonumber(ARGV[6])
local from = 7 + 2 * pairsGiven
local applies = ARGV[5] ~= '0'
if not applies then
	for i = 1, pairsGiven do
		local newest = redis.call('HGET', KEYS[3], ARGV[5 + 2 * i])
		if not newest or tonumber(string.sub(newest, 1, 16)) < tonumber(ARGV[6 + 2 * i]) then
			return -3
		end
	end
end
local gone = 0
local ids = {}
for i = from, #ARGV do
	ids[#ids + 1] = ARGV[i]
	if #ids == 500 or i == #ARGV then
		gone = gone + redis.call('XDEL', KEYS[2], unpack(ids))
		ids = {}
	end
end
for at = 1, applies and pairsGiven or 0, 500 do
	local names, stale = {}, {}
	for i = at, math.min(at + 499, pairsGiven) do
		names[#names + 1] = ARGV[5 + 2 * i]
	end
	local newest = redis.call('HMGET', KEYS[3], unpack(names))
	for j, name in ipairs(names) do
		if newest[j] and string.sub(newest[j], 1, 32) == ARGV[6 + 2 * (at + j - 1)] then
			stale[#stale + 1] = name
		end
	end
	if #stale > 0 then
		redis.call('HDEL', KEYS[3], unpack(stale))
	end
end
if gone > 0 then
	local clock = redis.call('TIME')
	local left = math.max(clock[1] * 1000000 + clock[2], tonumber(state[6] or '0') + 1)
	redis.pcall('XADD', KEYS[4], 'MINID', '~', string.format('%.0f', left - 20000000), string.format('%.0f-0', left), 'r', ARGV[4])
	redis.call('HSET', KEYS[1], 'left', string.format('%.0f', left))
end
local applied = math.min(tonumber(ARGV[5]), gone)
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local bytes = 0
if first then
	bytes = tonumber(state[3] or '0')
	if gone > 0 then
		bytes = math.max(bytes - tonumber(ARGV[3]), 0)
	end
	redis.call('HSET', KEYS[1], 'oldest', string.match(first[1], '^%d+'))
else
	redis.call('HDEL', KEYS[1], 'oldest')
end
redis.call('HSET', KEYS[1], 'last', string.format('%.0f', math.max(tonumber(state[2] or '0'), tonumber(ARGV[2]))),
	'bytes', string.format('%.0f', bytes), 'applied', string.format('%.0f', tonumber(state[4] or '0') + applied),
	'over', string.format('%.0f', tonumber(state[5] or '0') + gone - applied))
return gone
