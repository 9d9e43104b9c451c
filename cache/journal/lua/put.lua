-- Stores entries and notes each in the partition's log, all or none.
-- KEYS[1] the partition's state, a hash: last (the greatest version given), bytes and oldest (what is in the log, the
--   first version of it), acked, applied, over, dropped, dead (counts), owner, until, token (who has it), left (the last
--   place in KEYS[4])
-- KEYS[2] the log, a stream of what is pending: k the id, v the entry; its places are the version and the put's random
--   16 digits, so that no place is ever used again, whatever a server forgets
-- KEYS[3] a hash of what is newest of ids in the log: a version of 16 digits, then those of up to five puts
-- KEYS[4] a stream with the digits of what left the log a moment ago
-- KEYS[5] a hash of the ids whose last change is a dead letter: its place
-- KEYS[6] and on: where the entries go
-- ARGV[1] records, [2] bytes and [3] microseconds that may be pending, 0 for any, [4] a version that was seen,
--   [5] 1 when the same may have run before; then for each entry its id, itself, its time in ms (0: for good), 16 random digits
-- reply: the greatest version given; -1: full, nothing was written; -2: whether it ran before is not known any more
-- Versions are microseconds of the server's clock, below 2^53.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local state = redis.call('HMGET', KEYS[1], 'last', 'bytes', 'oldest', 'acked', 'dead')
local records = redis.call('XLEN', KEYS[2])
local last = tonumber(state[1] or '0')
local n = #KEYS - 5
local ids = {}
for i = 1, n do
	ids[i] = ARGV[4 * i + 2]
end
local newest = redis.call('HMGET', KEYS[3], unpack(ids))
local todo, size, left = {}, 0, nil
for i = 1, n do
	local before, mine = newest[i], ARGV[4 * i + 5]
	if not (before and string.find(before, mine, 17, true)) then
		if ARGV[5] == '1' then
			if before and #before >= 96 then
				return -2
			end
			if not left then
				left = {}
				for _, e in ipairs(redis.call('XRANGE', KEYS[4], string.format('%.0f', math.max(tonumber(redis.call('HGET', KEYS[1], 'left') or '0') - 20000000, 0)), '+')) do
					left[#left + 1] = e[2][2]
				end
			end
			for _, bytes in ipairs(left) do
				if string.find(bytes, mine, 1, true) then
					mine = nil
					break
				end
			end
		end
		if mine then
			todo[#todo + 1] = i
			size = size + #ids[i] + #ARGV[4 * i + 3] + 64
		end
	end
end
if #todo == 0 then
	return last
end
local bytes = tonumber(state[2] or '0')
if records > 0 then
	local most, much, old = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
	if most > 0 and records + #todo > most or much > 0 and bytes + size > much or old > 0 and now - tonumber(state[3] or now) > old then
		return -1
	end
end
local version = math.max(now, last + 1, tonumber(ARGV[4]) + 1)
local function append(i)
	return redis.pcall('XADD', KEYS[2], string.format('%.0f-', version) .. ARGV[4 * i + 5], 'k', ids[i], 'v', ARGV[4 * i + 3])
end
local first = version
for j, i in ipairs(todo) do
	local added = append(i)
	if j == 1 and type(added) == 'table' and added.err and string.find(added.err, 'equal or smaller', 1, true) then
		local info = redis.call('XINFO', 'STREAM', KEYS[2]) -- the state was deleted, the log was not
		for f = 1, #info, 2 do
			if info[f] == 'last-generated-id' then
				version = math.max(version, tonumber(string.match(info[f + 1], '^%d+')) + 1)
			end
		end
		first, added = version, append(i)
	end
	if type(added) == 'table' and added.err then
		return added
	end
	last = version
	redis.call('HSET', KEYS[3], ids[i], string.format('%016.0f', version) .. ARGV[4 * i + 5] .. string.sub(newest[i] or '', 17, 80))
	local ttl = ARGV[4 * i + 4]
	if ttl == '0' then
		redis.call('SET', KEYS[5 + i], ARGV[4 * i + 3])
	else
		redis.call('SET', KEYS[5 + i], ARGV[4 * i + 3], 'PX', ttl)
	end
	version = version + 1
end
if tonumber(state[5] or '0') > 0 then
	redis.call('HDEL', KEYS[5], unpack(ids))
end
if records == 0 then
	redis.call('HSET', KEYS[1], 'oldest', string.format('%.0f', first))
end
redis.call('HSET', KEYS[1], 'last', string.format('%.0f', last), 'bytes', string.format('%.0f', (records > 0 and bytes or 0) + size),
	'acked', string.format('%.0f', tonumber(state[4] or '0') + #todo))
return last
