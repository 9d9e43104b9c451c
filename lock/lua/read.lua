-- How every script of a lock begins: what stands at its keys.
-- KEYS[1] the state, a string with a fixed place for each of: the last token (16 digits), whether to look at the
--   other keys (1 or 0), the end of the only holder's lease (16 digits, zeros for none), that holder
-- KEYS[2] the holders of shared leases and permits, a sorted set: owners by the end of their leases
-- KEYS[3] those who wait, a sorted set: owners by their arrival
-- KEYS[4] a hash: the token of an owner in KEYS[2], how long one in KEYS[3] is believed to be there
-- ARGV[1] the owner: x (who holds it alone) or s, the address of its inbox, a point and a number
-- reply: an error when KEYS[1] holds something else
-- Times are in microseconds of the server's clock: 16 digits, below 2^53.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local text = redis.call('GET', KEYS[1])
local token, till, more, holder = 0, 0, true, ''
local owner = ARGV[1]
if text then
	token, till, more = tonumber(string.sub(text, 1, 16)), tonumber(string.sub(text, 20, 35)), string.sub(text, 17, 19) ~= ' 0 '
	if not token or not till or #text < 37 then
		return redis.error_reply('WRONGTYPE the key holds something that is not a lock')
	end
	if till > now then
		holder = string.sub(text, 37)
	else
		till = 0
	end
end
