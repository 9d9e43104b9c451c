-- How both scripts of a hold begin; KEYS and ARGV are as they say, no reply.
-- What stands at a tag's key while it is held: an 'H', the stamp before it (16
-- bytes; zeros: none that may come back), and of each holder 8 bytes of a name and
-- 13 digits, the server's time in ms at which its hold ends. It is never as long as
-- a stamp. open gives the stamp, the holders but the one of that name whose time
-- has not come, the time now, and whether that one was among them. Who let his hold
-- run out may have changed something: the stamp before it is none.
-- It stands before other scripts: it takes no KEYS and no ARGV, and gives no reply.
local NONE = string.rep('\0', 16)
local function open(v, name)
	local t = redis.call('TIME')
	local now = t[1] * 1000 + math.floor(t[2] / 1000)
	if not v then
		return NONE, '', now, false
	end
	if #v == 16 then
		return v, '', now, false
	end
	if string.sub(v, 1, 1) ~= 'H' or (#v - 17) % 21 ~= 0 then
		return NONE, '', now, false
	end
	local old, rest, found = string.sub(v, 2, 17), {}, false
	for i = 18, #v, 21 do
		if string.sub(v, i, i + 7) == name then
			found = true
		elseif tonumber(string.sub(v, i + 8, i + 20)) > now then
			rest[#rest + 1] = string.sub(v, i, i + 20)
		else
			old = NONE
		end
	end
	return old, table.concat(rest), now, found
end

-- put writes what is at the key, which lives as long as it did, and at least life
-- ms ('0': for good).
local function put(key, v, life)
	local left = redis.call('PTTL', key)
	if left == -1 or life == '0' then
		redis.call('SET', key, v)
	else
		redis.call('SET', key, v, 'PX', string.format('%.0f', math.max(left, tonumber(life))))
	end
end

