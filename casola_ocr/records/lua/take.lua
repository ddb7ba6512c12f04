-- Take the next step of a pool: lanes, then tenants, then the tenant's jobs take turns. Asking again
-- with the same nonce returns the same claim.
--   ARGV     pool, owner, nonce, lease_ms, max_attempts, share (0..1 of the pool's claims that one
--            tenant may hold while another waits), many ('1': the owner's process holds other claims)
--   returns  {'ok', id, step, attempt, fence, ready, record as HGETALL, hints} | {'none'}
local pool, owner, nonce = ARGV[1], ARGV[2], ARGV[3]
local lease, max_attempts, share = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local now = now_ms()

local function answer(id, step, attempt, fence, hints)
  local record = redis.call('HGETALL', 'job:' .. id)
  local ready = redis.call('HGET', 'job:' .. id, 'ready') or '0'
  return { 'ok', id, step, attempt, fence, ready, record, to_publish(hints) }
end

local last = redis.call('HGET', 'casola:takes', owner)
if last then
  local before, id, step = string.match(last, '^(%S+) (%S+) (%S+)$')
  local run = running(redis.call('HGET', 'job:' .. id .. ':pages', step))
  if before == nonce and run and run.owner == owner then
    return answer(id, step, run.attempt, run.fence, {})
  end
end

local function pick_lane()
  local interactive = redis.call('EXISTS', 'wait:' .. pool .. ':interactive') == 1
  local bulk = redis.call('EXISTS', 'wait:' .. pool .. ':bulk') == 1
  if interactive and bulk then
    local turn = redis.call('HINCRBY', 'casola:turns', pool, 1)
    return turn % BULK_TURN == 0 and 'bulk' or 'interactive'
  end
  return interactive and 'interactive' or bulk and 'bulk' or nil
end

--- The tenant whose turn it is, skipping those that hold more than their share.
local function pick_tenant(lane)
  local tenants = 'wait:' .. pool .. ':' .. lane
  local total = tonumber(redis.call('HGET', 'casola:running', pool) or '0')
  for _ = 1, math.min(redis.call('LLEN', tenants), SKIPPED_TENANTS) - 1 do
    local tenant = redis.call('LINDEX', tenants, 0)
    local mine = tonumber(redis.call('HGET', 'casola:running', pool .. '/' .. tenant) or '0')
    if mine <= 1 or mine <= share * total then break end
    redis.call('LMOVE', tenants, tenants, 'LEFT', 'RIGHT')
  end
  return redis.call('LPOP', tenants)
end

--- The job's next page, and how often it was tried.
local function next_page(id)
  local job, pages = 'job:' .. id, 'job:' .. id .. ':pages'
  local page = redis.call('LPOP', job .. ':again')
  if page then
    return page, tonumber(string.match(redis.call('HGET', pages, page), '^a:(%d+)$'))
  end
  local f = redis.call('HMGET', job, 'next', 'ready')
  local number = tonumber(f[1])
  while redis.call('HEXISTS', pages, number) == 1 do number = number + 1 end
  redis.call('HSET', job, 'next', number + 1)
  return int(number), 0
end

--- The next page that the job lent to this pool, and how often it was tried.
local function lent_page(id)
  local job = 'job:' .. id
  local page = redis.call('LPOP', job .. ':lent')
  local state = redis.call('HGET', job .. ':pages', page)
  return page, tonumber(string.match(state, '^w:(%d+)$'))
end

--- Have more pages prepared when few are left.
local function unpark(id, avail, hints)
  local state = redis.call('HGET', 'job:' .. id .. ':pages', 'prepare')
  if state and string.sub(state, 1, 1) == 'p' then
    local window = tonumber(redis.call('HGET', 'job:' .. id, 'window'))
    if avail <= window / 2 then offer(id, 'prepare', string.sub(state, 3), hints) end
  end
end

local hints = {}
while true do
  local lane = pick_lane()
  if not lane then return { 'none', to_publish(hints) } end
  local tenant = pick_tenant(lane)
  local jobs = 'wait:' .. pool .. ':' .. lane .. ':' .. tenant
  local id = redis.call('LPOP', jobs)
  local job, pages = 'job:' .. id, 'job:' .. id .. ':pages'
  redis.call('HINCRBY', 'casola:waiting', pool, -1)
  local step, attempts
  if string.sub(pool, 1, 6) == 'pages.' and redis.call('HGET', job, 'pool') ~= pool then
    step, attempts = lent_page(id)
    if redis.call('EXISTS', job .. ':lent') == 1 then redis.call('RPUSH', jobs, id) end
  elseif string.sub(pool, 1, 6) == 'pages.' then
    local avail = redis.call('HINCRBY', job, 'avail', -1)
    step, attempts = next_page(id)
    if avail > 0 then
      redis.call('RPUSH', jobs, id)
    else
      redis.call('HDEL', job, 'listed')
    end
    unpark(id, avail, hints)
  else
    step = pool
    local state = redis.call('HGET', pages, step)
    if not state or string.sub(state, 1, 1) ~= 'a' then
      step, state = 'erase', redis.call('HGET', pages, 'erase')
    end
    attempts = tonumber(string.match(state, '^a:(%d+)$'))
  end
  if redis.call('EXISTS', jobs) == 1 then redis.call('RPUSH', 'wait:' .. pool .. ':' .. lane, tenant) end

  if attempts >= max_attempts and step ~= 'finish' and step ~= 'erase' then
    exhaust(id, step, attempts, now, hints)
  else
    local fence = begin(id, step, attempts, owner, lease, now)
    redis.call('HSET', 'casola:takes', owner, nonce .. ' ' .. id .. ' ' .. step)
    if ARGV[7] == '1' and attempts + 1 >= max_attempts and tonumber(step) then
      redis.call('SADD', 'casola:outside', id .. '/' .. step)
    end
    local left = tonumber(redis.call('HGET', 'casola:waiting', pool) or '0')
    if left <= 0 then
      redis.call('HDEL', 'casola:waiting', pool)
    elseif redis.call('LLEN', pool) < left then
      -- The hint that led here is used up; what it leaves behind needs another.
      hints[pool] = (hints[pool] or 0) + 1
    end
    return answer(id, step, attempts + 1, fence, hints)
  end
end
