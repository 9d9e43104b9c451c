-- Brings a dead letter back into the log, if nothing later was acknowledged for its key, or gives it up.
-- KEYS[1] to [6] as in bury.lua
-- ARGV[1] its place, [2] its id, [3] 1: give it up
-- reply: 1: it is pending again; 2: something later was acknowledged, and the letter is gone; 3: it was given up; 0: it is not there
local state = redis.call('HMGET', KEYS[1], 'last', 'bytes', 'over', 'dropped')
local records = redis.call('XLEN', KEYS[2])
redis.call('HLEN', KEYS[3])
local letter = redis.call('XRANGE', KEYS[4], ARGV[1], ARGV[1])[1]
local last = redis.call('HGET', KEYS[5], ARGV[2]) == ARGV[1]
if not letter then
	return 0
end
local reply = 3
if ARGV[3] ~= '1' and last then
	local clock = redis.call('TIME')
	local version = math.max(clock[1] * 1000000 + clock[2], tonumber(state[1] or '0') + 1)
	local f = {}
	for i = 1, #letter[2], 2 do
		f[letter[2][i]] = letter[2][i + 1]
	end
	redis.call('XADD', KEYS[2], string.format('%.0f-', version) .. f.r, 'k', f.k, 'v', f.v)
	redis.call('HSET', KEYS[3], f.k, string.format('%016.0f', version) .. f.r)
	redis.call('DEL', KEYS[6])
	if records == 0 then
		redis.call('HSET', KEYS[1], 'oldest', string.format('%.0f', version))
	end
	redis.call('HSET', KEYS[1], 'last', string.format('%.0f', version),
		'bytes', string.format('%.0f', tonumber(state[2] or '0') + #f.k + #f.v + 64))
	reply = 1
elseif ARGV[3] ~= '1' then
	redis.call('HSET', KEYS[1], 'over', string.format('%.0f', tonumber(state[3] or '0') + 1))
	reply = 2
else
	redis.call('HSET', KEYS[1], 'dropped', string.format('%.0f', tonumber(state[4] or '0') + 1))
end
redis.call('XDEL', KEYS[4], ARGV[1])
if last then
	redis.call('HDEL', KEYS[5], ARGV[2])
end
redis.call('HSET', KEYS[1], 'dead', string.format('%.0f', redis.call('XLEN', KEYS[4])))
return reply
