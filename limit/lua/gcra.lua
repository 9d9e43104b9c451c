-- Takes units of one limit by GCRA, all or none. The key holds the time in µs at
-- which the limit is whole again; it is written only when units are taken, or
-- when that time lies further ahead than the burst allows (the limit was lowered,
-- or the server's clock stepped back).
-- KEYS[1] the key
-- ARGV[1] what the units cost in µs, ARGV[2] what the burst is worth in µs
-- reply: d >= 0: taken, and whole again in d µs; d < 0: not taken, there in -d µs
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local at = redis.call('GET', KEYS[1])
if at then
	at = tonumber(at) or tonumber(string.match(at, '^(%d+)/%d+$'))
	if not at then
		return redis.error_reply('WRONGTYPE the key holds no limit')
	end
end
if not at or at < now then
	at = now
end
local most = now + ARGV[2]
local after = at + ARGV[1]
if after <= most then
	redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
	return after - now
end
if at > most then
	redis.call('SET', KEYS[1], string.format('%.0f', most), 'PX', math.ceil(ARGV[2] / 1000))
	after = most + ARGV[1]
end
return most - after
