-- Give back what nobody works on, fail what was tried too often, and see that what waits has hints.
--   ARGV     limit, max_attempts
--   returns  {{id, step, why ('lost' | 'exhausted' | 'waited'), …}, hints, expired {tenant}/{id} …,
--             IDs of jobs that were to be begun by now}
local now, max_attempts, hints, lost = now_ms(), tonumber(ARGV[2]), {}, {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', 'casola:due', '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local id, step = string.match(member, '^(.-)/(.+)$')
  local state = redis.call('HGET', 'job:' .. id .. ':pages', step)
  local kind = state and string.sub(state, 1, 1)
  local why
  if kind == 'r' then
    why = lose(id, step, running(state), max_attempts, now, hints)
  elseif kind == 'w' then
    why = 'waited'
    redis.call('ZREM', 'casola:due', member)
    unlend(id, step)
    offer(id, step, string.match(state, '^w:(%d+)'), hints)
  else
    redis.call('ZREM', 'casola:due', member)
  end
  if why then
    for _, value in ipairs({ id, step, why }) do lost[#lost + 1] = value end
  end
end
local waiting = redis.call('HGETALL', 'casola:waiting')
for i = 1, #waiting, 2 do
  local missing = math.min(HINTS, tonumber(waiting[i + 1])) - redis.call('LLEN', waiting[i])
  if missing > 0 then hints[waiting[i]] = math.max(hints[waiting[i]] or 0, missing) end
end
local function due(key) return redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, 50) end
return { lost, to_publish(hints), due('casola:expiry'), due('casola:start_by') }
