-- What scripts do with a lock that more than one has, or wants.
-- KEYS as in read.lua, ARGV[2] how long they live after this, in ms; no reply
local alone = string.sub(owner, 1, 1) == 'x'

-- A token above all before it: by the counter, and without one by the clock.
local function issue()
	token = math.max(token + 1, now)
	return token
end

-- A server that is full refuses the first write of a script if it may need
-- memory; after one that needs none it lets the script finish.
local function store()
	local state = string.format('%016.0f %d %016.0f %s', token, more and 1 or 0, till, till > 0 and holder or '-')
	local done = redis.pcall('SET', KEYS[1], state, 'PX', ARGV[2])
	if done.err then
		redis.call('HDEL', KEYS[4], '')
		redis.call('SET', KEYS[1], state, 'PX', ARGV[2])
	end
end

-- store for a lock that has, or had, more than one holder.
local function storeAll()
	more = redis.call('EXISTS', KEYS[2], KEYS[3]) > 0
	for i = 2, 4 do
		redis.call('PEXPIRE', KEYS[i], ARGV[2])
	end
	store()
end

-- Ends shared leases that ran out; where the state is gone, all of them: who
-- deletes it takes the lock from everyone.
local function sweep()
	local ended = text and redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now)) or redis.call('ZRANGE', KEYS[2], 0, -1)
	for _, o in ipairs(ended) do
		redis.call('ZREM', KEYS[2], o)
		redis.call('HDEL', KEYS[4], o)
	end
end

-- Grants what is free to those who wait, in their order, and tells them. Who has
-- not been heard of for too long is passed over.
local function advance(grant, limit)
	while till == 0 do
		local head = redis.call('ZRANGE', KEYS[3], 0, 0)[1]
		if not head then
			return
		end
		local here = tonumber(redis.call('HGET', KEYS[4], head) or '0') >= now
		local exclusive = string.sub(head, 1, 1) == 'x'
		local held = redis.call('ZCARD', KEYS[2])
		if here and (exclusive and held > 0 or not exclusive and limit > 0 and held >= limit) then
			return
		end
		redis.call('ZREM', KEYS[3], head)
		redis.call('HDEL', KEYS[4], head)
		if here then
			local ends = now + grant * 1000
			issue()
			if exclusive then
				till, holder = ends, head
			else
				redis.call('ZADD', KEYS[2], string.format('%.0f', ends), head)
				redis.call('HSET', KEYS[4], head, string.format('%.0f', token))
			end
			if head ~= owner then -- whoever may not publish leaves the news to the poll
				local inbox = string.match(head, '^.(.-)%.')
				redis.pcall('PUBLISH', 'redstart:lock:' .. (inbox or ''), string.format('%s %.0f %.0f %.0f', head, token, now, ends))
			end
		end
	end
end
