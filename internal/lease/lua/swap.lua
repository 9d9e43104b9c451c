-- Takes the lease where something that is not to be read stands in its place.
-- KEYS[1] the key
-- ARGV[1] what was read there, ARGV[2] the mark, ARGV[3] the lease in ms
-- reply: false when taken, else what stands there now ('' when nothing does)
local now = redis.call('GET', KEYS[1])
if now == ARGV[1] then
	redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
	return false
end
return now or ''
