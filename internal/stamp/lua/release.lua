-- Ends a hold: the tag's entries with it, or the hold alone.
-- KEYS[1] the key of its stamp
-- ARGV[1] the holder's name, ARGV[2] a fresh stamp, ARGV[3] how long the key must live in ms (0: for good),
-- ARGV[4] '1' to end the entries
-- reply: 1 when it was held by that name, else 0
local v = redis.call('GET', KEYS[1])
local old, rest, _, found = open(v, ARGV[1])
if ARGV[4] ~= '1' and not found then
	return 0
end
if ARGV[4] == '1' then
	old = NONE
end
if rest ~= '' then
	put(KEYS[1], 'H' .. old .. rest, ARGV[3])
elseif old == NONE then
	put(KEYS[1], ARGV[2], ARGV[3])
else
	put(KEYS[1], old, ARGV[3])
end
return found and 1 or 0
