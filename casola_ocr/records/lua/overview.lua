-- What waits, runs, lives and fails, for operators: bounded work, nothing is changed.
--   ARGV     keep_ms (a worker child that was silent longer is dead)
--   returns  JSON {pools: {pool: {waiting, running, pace (ms), oldest (ms since 1970)}},
--            slots: [[name, ms since it was seen, capabilities]], failures: {code: n} of the last day,
--            pending, pending_bytes, rate (pages a second), dead}

--- Tenants of a lane, and jobs of each, among which the oldest is looked for: those in front have
--- waited longest for their turn.
local NEAR = 64

local now, keep = now_ms(), tonumber(ARGV[1])

--- When the job was submitted that waits in this pool for the longest time, or nil.
local function oldest(pool)
  local found
  for _, lane in ipairs({ 'interactive', 'bulk' }) do
    local tenants = 'wait:' .. pool .. ':' .. lane
    for _, tenant in ipairs(redis.call('LRANGE', tenants, 0, NEAR - 1)) do
      for _, id in ipairs(redis.call('LRANGE', tenants .. ':' .. tenant, 0, NEAR - 1)) do
        local created = tonumber(redis.call('HGET', 'job:' .. id, 'created') or '')
        if created and (not found or created < found) then found = created end
      end
    end
  end
  return found
end

local pools = {}
local function pool_of(name)
  pools[name] = pools[name] or { waiting = 0, running = 0 }
  return pools[name]
end
local function each(key, take)
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do take(flat[i], flat[i + 1]) end
end
each('casola:waiting', function(name, n) pool_of(name).waiting = tonumber(n) end)
each('casola:running', function(name, n)
  if not string.find(name, '/', 1, true) then pool_of(name).running = tonumber(n) end
end)
each('casola:pace', function(name, pace) pool_of(name).pace = tonumber(string.match(pace, '^%S+')) end)
for name, pool in pairs(pools) do
  if pool.waiting > 0 then pool.oldest = oldest(name) end
end

local slots = {}
local seen = redis.call('ZRANGEBYSCORE', 'casola:slots', now - keep, '+inf', 'WITHSCORES')
for i = 1, #seen, 2 do
  slots[#slots + 1] = { seen[i], now - tonumber(seen[i + 1]), redis.call('HGET', 'casola:slot_caps', seen[i]) or '' }
end

local failures = {}
for hour = math.floor(now / FAILURES_MS) - FAILURES_KEPT + 1, math.floor(now / FAILURES_MS) do
  each('casola:failures:' .. int(hour), function(code, n) failures[code] = (failures[code] or 0) + tonumber(n) end)
end

return cjson.encode({
  pools = pools,
  slots = slots,
  failures = failures,
  pending = tonumber(redis.call('HGET', 'casola:pending', '*') or '0'),
  pending_bytes = tonumber(redis.call('HGET', 'casola:pending_bytes', '*') or '0'),
  rate = drain_rate('*', now),
  dead = redis.call('ZCARD', 'casola:dead'),
  now = now,
})
