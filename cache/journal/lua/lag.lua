-- Says what is pending.
-- KEYS[1] the state, [2] the log, [3] the dead letters
-- ARGV none
-- reply: the server's clock, records, bytes, the oldest's version (0: none), dead letters, acked, applied, over, dropped,
--   last, 1 if somebody has the partition
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local s = redis.call('HMGET', KEYS[1], 'bytes', 'oldest', 'acked', 'applied', 'over', 'dropped', 'last', 'owner', 'until')
local n = {}
for i = 1, 7 do
	n[i] = tonumber(s[i] or '0')
end
local owned = s[8] and s[8] ~= '' and tonumber(s[9] or '0') > now
local records = redis.call('XLEN', KEYS[2])
return {now, records, records > 0 and n[1] or 0, records > 0 and n[2] or 0, redis.call('XLEN', KEYS[3]), n[3], n[4], n[5], n[6], n[7], owned and 1 or 0}
