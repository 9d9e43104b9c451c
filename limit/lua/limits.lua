-- Decides on several limits as one, of any kind: takes units of all or of none,
-- gives units back, or looks. Reads everything before it writes anything; a limit
-- that does not change is not written, unless its state lies further ahead than
-- it can (the limit was lowered, or the server's clock stepped back).
-- KEYS[i] the key of limit i
-- ARGV[1] the fewest units wanted, ARGV[2] the most: both 0 to look, -n to give n back;
-- then for each limit: its kind, 1 if it is a shadow, the most units it can hold,
-- its period in µs, and what a unit costs as a fraction: ARGV numerator and denominator in µs
-- reply: the units taken, then for each limit: 1 if it has them, the units left, and in µs
-- when the fewest would be there (0: now), when it is whole, and when one more unit comes
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local least, most = tonumber(ARGV[1]), tonumber(ARGV[2])

local function text(n)
	return string.format('%.0f', n)
end

local function put(key, value, us)
	redis.call('SET', key, value, 'PX', text(math.max(math.ceil(us / 1000), 1)))
end

-- numbers reads a state of whole numbers; nil for anything else.
local function numbers(key, pattern)
	local v = redis.call('GET', key)
	if not v then
		return false
	end
	local a, b, c = string.match(v, pattern)
	if not a then
		return nil
	end
	return { tonumber(a), tonumber(b) or 0, tonumber(c) or 0 }
end

-- A kind has: read(l), false for a foreign value; room(l), the units left; wait(l, n), the
-- µs until n units are there; reset(l); add(l, n), n < 0 gives back; write(l).
local kinds = {}

-- GCRA: l.level is how much is used, in µs times the denominator; it falls by itself.
kinds['0'] = {
	read = function(l)
		local s = numbers(l.key, '^(%d+)/?(%d*)$')
		l.cap, l.level = l.limit * l.num, 0
		if s and s[1] >= now then
			l.level = (s[1] - now) * l.den + math.min(s[2], l.den - 1)
			if l.level > l.cap then
				l.level, l.dirty = l.cap, true
			end
		end
		return s ~= nil
	end,
	room = function(l)
		return math.floor((l.cap - l.level) / l.num)
	end,
	wait = function(l, n)
		return math.ceil((l.level + n * l.num - l.cap) / l.den)
	end,
	reset = function(l)
		return math.ceil(l.level / l.den)
	end,
	add = function(l, n)
		l.level = math.max(l.level + n * l.num, 0)
	end,
	write = function(l)
		if l.level == 0 then
			redis.call('DEL', l.key)
			return
		end
		local part, at = l.level % l.den, text(now + math.floor(l.level / l.den))
		if part > 0 then
			at = at .. '/' .. text(part)
		end
		put(l.key, at, l.level / l.den)
	end,
}

-- The sliding log: a list with the time of each unit, oldest first.
local function at(l, i)
	return tonumber(redis.call('LINDEX', l.key, i))
end

-- upTo counts the units not later than a time.
local function upTo(l, us)
	local low, high = 0, l.length
	while low < high do
		local mid = math.floor((low + high) / 2)
		if at(l, mid) <= us then
			low = mid + 1
		else
			high = mid
		end
	end
	return low
end

kinds['1'] = {
	read = function(l)
		l.length = redis.call('LLEN', l.key)
		l.old, l.future, l.added = 0, 0, 0
		if l.length > 0 then
			l.old = upTo(l, now - l.per)
			l.future = l.length - upTo(l, now)
			l.dirty = l.future > 0
		end
		l.used = l.length - l.old
		return true
	end,
	room = function(l)
		return math.max(l.limit - l.used, 0)
	end,
	wait = function(l, n)
		local i = l.used + n - l.limit -- as many have to end
		if i > l.used - math.max(l.future, 0) - l.added then
			return l.per
		end
		return at(l, l.old + i - 1) + l.per - now
	end,
	reset = function(l)
		if l.used == 0 then
			return 0
		elseif l.future > 0 or l.added > 0 then
			return l.per
		end
		return at(l, l.length - 1) + l.per - now
	end,
	add = function(l, n)
		if n > 0 then
			l.added = l.added + n
		else
			n = math.min(-n, l.used)
			l.length = l.length - n
			l.future = math.max(l.future - n, 0)
			l.cut = n
		end
		l.used = l.length - l.old + l.added
	end,
	write = function(l)
		if (l.cut or 0) + l.future > 0 then
			redis.call('LTRIM', l.key, 0, -1 - (l.cut or 0) - l.future)
		end
		if l.old > 0 then
			redis.call('LTRIM', l.key, l.old, -1)
		end
		local n, stamp = l.future + l.added, text(now)
		while n > 0 do
			local some = {}
			for i = 1, math.min(n, 500) do
				some[i] = stamp
			end
			redis.call('RPUSH', l.key, unpack(some))
			n = n - #some
		end
		if l.used > 0 then
			redis.call('PEXPIRE', l.key, text(math.ceil(l.per / 1000)))
		end
	end,
}

-- The sliding counter: units in this window, and in the one before, of which the
-- part counts that still overlaps the period that ends now.
kinds['2'] = {
	read = function(l)
		local s = numbers(l.key, '^(%d+) (%d+) (%d+)$')
		l.start = now - now % l.per
		l.cur, l.prev = 0, 0
		if s then
			if s[1] >= l.start then
				l.cur, l.prev, l.dirty = s[2], s[3], s[1] > now
			elseif s[1] >= l.start - l.per then
				l.prev = s[2]
			end
			if l.cur > l.limit or l.prev > l.limit then
				l.cur, l.prev, l.dirty = math.min(l.cur, l.limit), math.min(l.prev, l.limit), true
			end
		end
		l.left = l.start + l.per - now
		return s ~= nil
	end,
	room = function(l)
		return math.max(math.floor(((l.limit - l.cur) * l.per - l.prev * l.left) / l.per), 0)
	end,
	wait = function(l, n)
		local over = (l.cur + n - l.limit) * l.per
		if over <= 0 then -- enough of the window before falls out in this one
			return math.ceil((over + l.prev * l.left) / l.prev)
		end
		return l.left + math.ceil(over / l.cur)
	end,
	reset = function(l)
		if l.cur > 0 then
			return l.left + l.per
		end
		return l.prev > 0 and l.left or 0
	end,
	add = function(l, n)
		l.cur = math.max(l.cur + n, 0)
	end,
	write = function(l)
		put(l.key, text(l.start) .. ' ' .. text(l.cur) .. ' ' .. text(l.prev), l.left + l.per)
	end,
}

-- The fixed window.
kinds['3'] = {
	read = function(l)
		local s = numbers(l.key, '^(%d+) (%d+)$')
		l.start = now - now % l.per
		l.count = 0
		if s and s[1] >= l.start then
			l.count, l.dirty = s[2], s[1] > now
			if l.count > l.limit then
				l.count, l.dirty = l.limit, true
			end
		end
		l.left = l.start + l.per - now
		return s ~= nil
	end,
	room = function(l)
		return l.limit - l.count
	end,
	wait = function(l)
		return l.left
	end,
	reset = function(l)
		return l.count > 0 and l.left or 0
	end,
	add = function(l, n)
		l.count = math.max(l.count + n, 0)
	end,
	write = function(l)
		put(l.key, text(l.start) .. ' ' .. text(l.count), l.left)
	end,
}

local limits, granted = {}, math.max(most, 0)
for i = 1, #KEYS do
	local a = 3 + (i - 1) * 6
	local l = {
		key = KEYS[i], kind = kinds[ARGV[a]], shadow = ARGV[a + 1] == '1', limit = tonumber(ARGV[a + 2]),
		per = tonumber(ARGV[a + 3]), num = tonumber(ARGV[a + 4]), den = tonumber(ARGV[a + 5]),
	}
	if not l.kind.read(l) then
		return redis.error_reply('WRONGTYPE the key holds no limit')
	end
	l.has = l.kind.room(l)
	if not l.shadow then
		granted = math.min(granted, l.has)
	end
	limits[i] = l
end
if granted < least then
	granted = 0
end

local reply = { granted }
for _, l in ipairs(limits) do
	local kind, ok, retry = l.kind, true, 0
	if most > 0 then
		local want = granted > 0 and granted or math.max(least, 1)
		ok = l.has >= want
		if not ok then
			retry = want <= l.limit and kind.wait(l, want) or -1
		end
	end
	local change = most < 0 and most or ok and granted or 0
	if change ~= 0 then
		kind.add(l, change)
		l.dirty = true
	end
	local room = kind.room(l)
	reply[#reply + 1] = ok and 1 or 0
	reply[#reply + 1] = room
	reply[#reply + 1] = retry
	reply[#reply + 1] = kind.reset(l)
	reply[#reply + 1] = room < l.limit and kind.wait(l, room + 1) or 0
end
for _, l in ipairs(limits) do
	if l.dirty then
		l.kind.write(l)
	end
end
return reply
