-- Takes a partition, or goes on having it, or gives it back.
-- KEYS[1] the state: as in put.lua
-- ARGV[1] who asks, [2] the lease in ms (0: gives it back), [3] the token it has (0: it has none yet), [4] a version it has seen
-- reply: the token; 0: it is somebody else's
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local state = redis.call('HMGET', KEYS[1], 'owner', 'until', 'token', 'last')
local mine = state[1] == ARGV[1]
local lease = tonumber(ARGV[2])
if lease == 0 then
	if mine then
		redis.call('HSET', KEYS[1], 'owner', '', 'until', '0')
	end
	return 0
end
local token = tonumber(state[3] or '0')
if ARGV[3] ~= '0' then
	if not mine or state[3] ~= ARGV[3] then
		return 0
	end
elseif not mine then
	if state[1] and state[1] ~= '' and tonumber(state[2] or '0') > now then
		return 0
	end
	token = math.max(token + 1, now)
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', string.format('%.0f', now + lease * 1000), 'token', string.format('%.0f', token),
	'last', string.format('%.0f', math.max(tonumber(state[4] or '0'), tonumber(ARGV[4]))))
return token
