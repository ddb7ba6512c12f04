-- Take the right to run a step. Asking again as the same owner returns the same claim.
--   ARGV     id, step, owner, lease_ms, max_attempts (0 = no limit), grace_ms
--   returns  {'ok', attempt, fence, ready, record as HGETALL}
--            {'gone'} no such job | {'terminal'} nothing to do | {'leased'} somebody runs it
--            {'exhausted', pages queue, step, …} attempts used up, now failed; to publish
local id, step, owner = ARGV[1], ARGV[2], ARGV[3]
local lease, max_attempts, grace = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local key, pages, member = 'job:' .. id, 'job:' .. id .. ':pages', id .. '/' .. step
local now = now_ms()

local f = redis.call('HMGET', key, 'state', 'queue', 'ready')
if not f[1] then
  redis.call('ZREM', 'casola:due', member)
  return { 'gone' }
end
local state = redis.call('HGET', pages, step)
local kind = state and string.sub(state, 1, 1)
if is_terminal(f[1]) or kind == 'd' or kind == 'f' then
  redis.call('ZREM', 'casola:due', member)
  return { 'terminal' }
end
if not state then return { 'terminal' } end

local attempts = tonumber(string.match(state, '^%a:(%d+)'))
local run = running(state)
if run then
  local expiry = tonumber(redis.call('ZSCORE', 'casola:due', member) or '0')
  if expiry > now then
    if run.owner ~= owner then return { 'leased' } end
    return { 'ok', run.attempt, run.fence, f[3], redis.call('HGETALL', key) }
  end
else
  local ticket = string.match(state, '^q:%d+:(%d+)$')
  local queue = step_queue(step, f[2])
  if ticket and tonumber(ticket) > tonumber(redis.call('HGET', 'casola:heads', queue) or '0') then
    redis.call('HSET', 'casola:heads', queue, ticket)
  end
end

if max_attempts > 0 and attempts >= max_attempts then
  local steps = { 'exhausted', f[2] }
  if step == 'prepare' then
    redis.call('HSET', key, 'error', 'attempts_exhausted')
    redis.call('HSET', pages, 'prepare', 'f:0-0:attempts_exhausted')
    redis.call('ZREM', 'casola:due', member)
    enqueue(id, 'finish', 0, 'finish', now + grace)
    steps[3] = 'finish'
  else
    settle(id, step, 'f:' .. attempts .. '-0:attempts_exhausted', now + grace, steps)
  end
  return steps
end

-- Grows with every claim and survives a wipe of the records, because it is the time in µs.
local t = redis.call('TIME')
local fence = t[1] * 1000000 + t[2]
if run and fence <= tonumber(run.fence) then fence = tonumber(run.fence) + 1 end
redis.call('HSET', pages, step, 'r:' .. (attempts + 1) .. ':' .. int(fence) .. ':' .. owner)
redis.call('ZADD', 'casola:due', now + lease, member)
if f[1] == 'queued' then
  redis.call('HSET', key, 'state', 'processing', 'started', int(now))
  event(id, 'type', 'started')
end
return { 'ok', attempts + 1, int(fence), f[3], redis.call('HGETALL', key) }
