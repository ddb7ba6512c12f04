-- Put before every script by the loader. The key table of all scripts:
--
--   key                    type    what it holds
--   job:{id}               hash    the record: v tenant state run model engine language file_name
--                                  media_type lane batch total done failed words confidence
--                                  languages (that were found, with commas between) created started
--                                  finished expires error detail size fingerprint position hook; and while
--                                  it is unfinished: pool (where its pages wait), ready (pages whose
--                                  image exists), next (lowest page that was never taken), avail
--                                  (pages that a worker may take), listed (1 while the pool lists it),
--                                  window, owed (pages in casola:pending), owed_bytes, lent (pool to
--                                  which pages of it were lent)
--   job:{id}:pages         hash    step -> state; a step is prepare, finish, erase or a page: its
--                                  position among the wanted ones; a page that was never taken has no
--                                  field. States:
--                                    a:{attempts}                    available to the next worker
--                                    w:{attempts}                    waits for its time in casola:due
--                                    p:{attempts}                    prepare: parked, enough is ready
--                                    r:{attempt}:{fence}:{owner}     claimed
--                                    d:{attempt}-{fence}             read; names the winning result
--                                    f:{attempt}-{fence}:{code}      failed for good
--   job:{id}:again         list    pages to be taken again, before `next`
--   job:{id}:lent          list    pages that wait in the pool to which they were lent; their state is
--                                  w, and at their time they are their own pool's again
--   ev:{id}                stream  events of the job from its first claim on (a stream takes 4 KB, so
--                                  what only waits has none); the last one has type=finished
--   lib:{tenant}           zset    {created, 13 digits}/{id}, all scores 0
--   batch:{id}             hash    tenant created open (jobs that are not closed) members (jobs that were
--                                  registered) whole (1 once these are all that were submitted)
--   batch:{id}:jobs        zset    request ID -> its place in the submission
--   wait:{pool}:{lane}     list    tenants that have work there, the next one first; pools are
--                                  pages.{engine}, prepare and finish; a hint in the Celery queue
--                                  of the same name makes a worker look
--   wait:{pool}:{lane}:{tenant}  list  that tenant's jobs that have work there, the next one first
--   casola:waiting         hash    pool -> steps that a worker may take
--   casola:running         hash    pool, and {pool}/{tenant} -> claimed steps; lent pages count in
--                                  their own pool
--   casola:turns           hash    pool -> takes while both lanes waited
--   casola:due             zset    {id}/{step} -> ms at which its lease or its delay ends
--   casola:outside         set     {id}/{step} claimed for its last attempt by a worker of many pages,
--                                  and not begun: that is made alone
--   casola:takes           hash    worker child -> {nonce} {id} {step} of its last take
--   casola:fence           string  the highest fence
--   casola:pending         hash    '*' and tenant names -> pages accepted and not terminal
--   casola:pending_bytes   hash    '*' and tenant names -> bytes of unfinished documents
--   casola:drain           hash    '*' and tenant names -> {pages a second} {ms of the last page}
--   casola:pace            hash    pool -> {ms that a step of it takes, averaged} {steps averaged, up to 50}
--   casola:events          channel {id} {stream position} {field} {value} … of each event, as JSON
--   casola:changes         stream  {tenant, id} of the last jobs that were submitted, ended or deleted
--   casola:expiry          zset    {tenant}/{id} -> ms at which the job is to be deleted
--   casola:start_by        zset    id -> ms at which the job is to be cancelled unless it was begun
--   casola:dead            zset    id -> ms at which a page of it failed for a reason of ours
--   casola:failures:{hour} hash    code -> pages, and documents that could not be opened, that failed in
--                                  that hour since 1970; kept for a day
--   hooks:lanes            zset    lane of deliveries, {tenant}/{host's hash} -> ms at which to look at it
--   hooks:{lane}           zset    {id}-{run} -> ms at which its delivery is due, or its lease is over
--   casola:slots           zset    worker child -> ms when it was last seen
--   casola:slot_caps       hash    worker child -> what it can do, comma separated
--   casola:epoch           string  schema version; does not exist after the records were wiped
--   casola:name            string  a random name of these records
--   casola:listed          string  the same and the server's run, once every ended job is in its library
--   idem:{id}              string  nonce of the request that is submitting this job now; of one that
--                                  creates something else, answer:{hash of its key} instead of an ID
--   again:{tenant}:{hash}  string  jobs that an SDK's try submitted, with spaces between

--- Hints that may lie in one queue: each take that leaves work behind adds the next one.
local HINTS = 32
--- While both lanes wait, every so many takes serve `bulk` first.
local BULK_TURN = 5
--- Tenants over their share that are passed over at most in one take.
local SKIPPED_TENANTS = 64
--- How long in seconds events are kept after a job ended: for whoever was about to wait for it.
local EVENTS_KEEP = 60
--- Lanes of deliveries that are looked at in one take.
local HOOK_LOOKS = 256
--- In so many ms lanes are looked at again when too many of them had their share.
local HOOK_PASSED = 500
--- Time in ms over which the rate of finished pages is averaged.
local DRAIN_MS = 30000
--- Pages over which the time of one is averaged.
local PACED = 50
--- Milliseconds that failures are counted together, and how many of these are kept.
local FAILURES_MS, FAILURES_KEPT = 3600000, 24

--- Changes of jobs that are kept: who missed more compares all jobs.
local CHANGES_KEPT = 20000

--- Milliseconds since 1970 by this server's clock: the only clock that leases know.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function int(value) return string.format('%.0f', value) end

--- Tell those who follow the job; the stream is for whoever comes later, or missed it.
local function event(id, ...)
  local position = redis.call('XADD', 'ev:' .. id, 'MAXLEN', '~', 1024, '*', ...)
  redis.call('PUBLISH', 'casola:events', cjson.encode({ id, position, ... }))
end

--- Tell those who keep an index of all jobs that one is not as it was.
local function changed(tenant, id)
  redis.call('XADD', 'casola:changes', 'MAXLEN', '~', CHANGES_KEPT, '*', 'tenant', tenant, 'id', id)
end

local function is_terminal(state)
  return state == 'completed' or state == 'failed' or state == 'cancelled' or state == 'deleted'
end

--- HINCRBY that leaves no zeros behind.
local function count(key, field, delta)
  if delta == 0 then return end
  if redis.call('HINCRBY', key, field, delta) <= 0 then redis.call('HDEL', key, field) end
end

--- Change how many pages and bytes the job holds of its tenant's and everybody's quota.
local function owe(id, tenant, pages, bytes)
  local job = 'job:' .. id
  if pages ~= 0 then redis.call('HINCRBY', job, 'owed', int(pages)) end
  if bytes ~= 0 then redis.call('HINCRBY', job, 'owed_bytes', int(bytes)) end
  for _, who in ipairs({ '*', tenant }) do
    count('casola:pending', who, pages)
    count('casola:pending_bytes', who, bytes)
  end
end

local function settle_debts(id, tenant)
  local f = redis.call('HMGET', 'job:' .. id, 'owed', 'owed_bytes')
  owe(id, tenant, -tonumber(f[1] or '0'), -tonumber(f[2] or '0'))
end

--- Pages a second that became terminal, averaged with exponentially falling weights.
local function drain_rate(who, now)
  local rate, last = string.match(redis.call('HGET', 'casola:drain', who) or '', '^(%S+) (%d+)$')
  if not rate then return 0 end
  return tonumber(rate) * math.exp((tonumber(last) - now) / DRAIN_MS)
end

local function drained(tenant, now)
  for _, who in ipairs({ '*', tenant }) do
    local rate = drain_rate(who, now) + 1000 / DRAIN_MS
    redis.call('HSET', 'casola:drain', who, string.format('%.6f %.0f', rate, now))
  end
end

--- Average how long a claimed page took: its fence is the time of its claim in µs.
local function paced(pool, fence, now)
  local took = now - tonumber(fence) / 1000
  local pace, n = string.match(redis.call('HGET', 'casola:pace', pool) or '0 0', '^(%S+) (%d+)$')
  pace, n = tonumber(pace), math.min(tonumber(n) + 1, PACED)
  pace = pace + (math.max(0, took) - pace) / n
  redis.call('HSET', 'casola:pace', pool, string.format('%.1f %.0f', pace, n))
end

--- Whether a tenant may add pages and bytes; a limit of 0 is none. An empty service takes anything.
--- Returns nil, or {'busy', 'service' | 'tenant', 'pages' | 'bytes', pending, limit, seconds}.
local function admit(tenant, pages, bytes, limits, now)
  for _, who in ipairs({ '*', tenant }) do
    local waiting = tonumber(redis.call('HGET', 'casola:pending', who) or '0')
    local asked = {
      { 'pages', 'casola:pending', pages },
      { 'bytes', 'casola:pending_bytes', bytes },
    }
    for _, a in ipairs(asked) do
      local limit = limits[(who == '*' and 'total_' or 'tenant_') .. a[1]]
      local pending = tonumber(redis.call('HGET', a[2], who) or '0')
      if limit > 0 and pending > 0 and pending + a[3] > limit then
        -- The share of what waits that has to go, times the time that all of it takes.
        local share = math.min(1, (pending + a[3] - limit) / pending)
        local rate = drain_rate(who, now)
        local seconds = rate > 0.001 and math.ceil(share * waiting / rate) or 30
        local which = who == '*' and 'service' or 'tenant'
        return { 'busy', which, a[1], int(pending), int(limit), int(math.max(1, math.min(600, seconds))) }
      end
    end
  end
  return nil
end

-- Waiting and taking turns. `hints` collects pool -> steps that became available.

local function enlist(pool, lane, tenant, id)
  local jobs = 'wait:' .. pool .. ':' .. lane .. ':' .. tenant
  if redis.call('RPUSH', jobs, id) == 1 then
    redis.call('RPUSH', 'wait:' .. pool .. ':' .. lane, tenant)
  end
end

--- Put a job before the others of its tenant: its step has had its turn and was given back.
local function enlist_first(pool, lane, tenant, id)
  local jobs = 'wait:' .. pool .. ':' .. lane .. ':' .. tenant
  redis.call('LREM', jobs, 1, id)
  if redis.call('LPUSH', jobs, id) == 1 then
    redis.call('LREM', 'wait:' .. pool .. ':' .. lane, 1, tenant)
    redis.call('RPUSH', 'wait:' .. pool .. ':' .. lane, tenant)
  end
end

local function delist(pool, lane, tenant, id)
  local jobs = 'wait:' .. pool .. ':' .. lane .. ':' .. tenant
  redis.call('LREM', jobs, 1, id)
  if redis.call('EXISTS', jobs) == 0 then
    redis.call('LREM', 'wait:' .. pool .. ':' .. lane, 1, tenant)
  end
end

--- A page does not wait where it was lent to any more.
local function unlend(id, page)
  local job = 'job:' .. id
  local f = redis.call('HMGET', job, 'lent', 'lane', 'tenant')
  if not f[1] or redis.call('LREM', job .. ':lent', 1, page) == 0 then return end
  count('casola:waiting', f[1], -1)
  if redis.call('EXISTS', job .. ':lent') == 0 then delist(f[1], f[2], f[3], id) end
end

local function step_pool(step, pages_pool)
  if step == 'prepare' then return 'prepare' end
  if step == 'finish' or step == 'erase' then return 'finish' end
  return pages_pool
end

--- `n` more pages of a job may be taken; `first` as offer().
local function offer_pages(id, n, hints, first)
  if n == 0 then return end
  local job = 'job:' .. id
  local f = redis.call('HMGET', job, 'pool', 'lane', 'tenant', 'listed')
  redis.call('HINCRBY', job, 'avail', n)
  redis.call('HINCRBY', 'casola:waiting', f[1], n)
  hints[f[1]] = (hints[f[1]] or 0) + n
  if first then
    enlist_first(f[1], f[2], f[3], id)
  elseif f[4] ~= '1' then
    enlist(f[1], f[2], f[3], id)
  end
  redis.call('HSET', job, 'listed', 1)
end

--- Make one step available: a page is taken again, any other waits in its own pool. `first`: before
--- the tenant's other jobs.
local function offer(id, step, attempts, hints, first)
  redis.call('HSET', 'job:' .. id .. ':pages', step, 'a:' .. attempts)
  local pool = step_pool(step)
  if not pool then
    redis.call(first and 'LPUSH' or 'RPUSH', 'job:' .. id .. ':again', step)
    return offer_pages(id, 1, hints, first)
  end
  local f = redis.call('HMGET', 'job:' .. id, 'lane', 'tenant')
  redis.call('HINCRBY', 'casola:waiting', pool, 1)
  hints[pool] = (hints[pool] or 0) + 1
  if first then enlist_first(pool, f[1], f[2], id) else enlist(pool, f[1], f[2], id) end
end

--- The hints to publish, as {pool, how many, …}.
local function to_publish(hints)
  local out = {}
  for pool, n in pairs(hints) do
    local room = math.min(n, HINTS - redis.call('LLEN', pool))
    if room > 0 then
      out[#out + 1] = pool
      out[#out + 1] = room
    end
  end
  return out
end

-- Claims.

--- Split r:{attempt}:{fence}:{owner}.
local function running(state)
  if not state then return nil end
  local attempt, fence, owner = string.match(state, '^r:(%d+):(%d+):(.*)$')
  return attempt and { attempt = tonumber(attempt), fence = fence, owner = owner }
end

--- The claim with this fence, if it still holds; a cancelled job still finishes, a deleted one erases.
local function held(id, step, fence)
  local state = redis.call('HGET', 'job:' .. id, 'state')
  if not state then return nil end
  local last = (step == 'finish' and state == 'cancelled') or (step == 'erase' and state == 'deleted')
  if is_terminal(state) and not last then return nil end
  local run = running(redis.call('HGET', 'job:' .. id .. ':pages', step))
  return run and run.fence == fence and run or nil
end

local function begin(id, step, attempts, owner, lease, now)
  local job = 'job:' .. id
  local f = redis.call('HMGET', job, 'state', 'pool', 'tenant')
  -- Grows with every claim and survives a wipe of the records, because it is the time in µs.
  local t = redis.call('TIME')
  local fence = t[1] * 1000000 + t[2]
  local highest = tonumber(redis.call('GET', 'casola:fence') or '0')
  if fence <= highest then fence = highest + 1 end
  redis.call('SET', 'casola:fence', int(fence))
  redis.call('HSET', job .. ':pages', step, 'r:' .. (attempts + 1) .. ':' .. int(fence) .. ':' .. owner)
  redis.call('ZADD', 'casola:due', now + lease, id .. '/' .. step)
  local pool = step_pool(step, f[2])
  redis.call('HINCRBY', 'casola:running', pool, 1)
  redis.call('HINCRBY', 'casola:running', pool .. '/' .. f[3], 1)
  if f[1] == 'queued' then
    redis.call('HSET', job, 'state', 'processing', 'started', int(now))
    event(id, 'type', 'started')
  end
  return int(fence)
end

--- A claimed step is no longer claimed.
local function unclaim(id, step)
  local f = redis.call('HMGET', 'job:' .. id, 'pool', 'tenant')
  local pool = step_pool(step, f[1])
  redis.call('ZREM', 'casola:due', id .. '/' .. step)
  redis.call('SREM', 'casola:outside', id .. '/' .. step)
  count('casola:running', pool, -1)
  count('casola:running', pool .. '/' .. f[2], -1)
end

--- Count a failure for operators; its state is f:{attempt}-{fence}:{code}.
local function failed(state, now)
  local key = 'casola:failures:' .. int(math.floor(now / FAILURES_MS))
  redis.call('HINCRBY', key, string.match(state, '([^:]+)$'), 1)
  redis.call('EXPIRE', key, (FAILURES_KEPT + 1) * FAILURES_MS / 1000)
end

local function dead(id, now)
  redis.call('ZADD', 'casola:dead', now, id)
end

--- Offer `finish` when every page is terminal.
local function finish_if_ended(id, hints)
  local f = redis.call('HMGET', 'job:' .. id, 'total', 'ready', 'done', 'failed')
  local total = tonumber(f[1])
  if total > 0 and f[2] == f[1] and tonumber(f[3]) + tonumber(f[4]) == total
      and redis.call('HEXISTS', 'job:' .. id .. ':pages', 'finish') == 0 then
    offer(id, 'finish', 0, hints)
  end
end

--- Make a page terminal. `state` is d:… or f:…; the page is neither claimed nor available any more.
--- More arguments are fields of its event.
local function settle(id, page, state, now, ...)
  local job = 'job:' .. id
  local done = string.sub(state, 1, 1) == 'd'
  local tenant = redis.call('HGET', job, 'tenant')
  redis.call('HSET', job .. ':pages', page, state)
  redis.call('HINCRBY', job, done and 'done' or 'failed', 1)
  if not done then failed(state, now) end
  owe(id, tenant, -1, 0)
  drained(tenant, now)
  event(id, 'type', 'page', 'page', page, 'status', done and 'done' or 'failed', ...)
end

--- The step was tried as often as is allowed: fail what it was about and let the rest go on.
local function exhaust(id, step, attempts, now, hints)
  local job, pages = 'job:' .. id, 'job:' .. id .. ':pages'
  local code = ':attempts_exhausted'
  if step ~= 'prepare' then
    dead(id, now)
    settle(id, step, 'f:' .. attempts .. '-0' .. code, now)
    return finish_if_ended(id, hints)
  end
  local f = redis.call('HMGET', job, 'total', 'ready')
  local total, page = tonumber(f[1]), tonumber(f[2]) + 1
  if total == 0 then
    dead(id, now)
    redis.call('HSET', job, 'error', 'attempts_exhausted')
    redis.call('HSET', pages, 'prepare', 'f:' .. attempts .. '-0' .. code)
    failed(code, now)
    return offer(id, 'finish', 0, hints)
  end
  -- It died of the page after the last one that is ready; the others are not to suffer.
  redis.call('HSET', job, 'ready', page)
  if redis.call('HEXISTS', pages, page) == 0 then
    dead(id, now)
    settle(id, page, 'f:' .. attempts .. '-0' .. code, now)
  end
  if page < total then return offer(id, 'prepare', 0, hints) end
  redis.call('HSET', pages, 'prepare', 'd:0-0')
  finish_if_ended(id, hints)
end

--- Nobody works on a claimed step any more. Returns 'exhausted' or 'lost'.
local function lose(id, step, run, max_attempts, now, hints)
  local outside = redis.call('SISMEMBER', 'casola:outside', id .. '/' .. step)
  local attempts = run.attempt - outside
  unclaim(id, step)
  if attempts >= max_attempts and step ~= 'finish' and step ~= 'erase' then
    exhaust(id, step, attempts, now, hints)
    return 'exhausted'
  end
  offer(id, step, attempts, hints, true)
  return 'lost'
end

--- The batch if its last job has ended, or ''. Its marker may go then: no job is still to be found.
local function ended_batch(batch, keep_seconds)
  if batch == '' then return '' end
  local f = redis.call('HMGET', 'batch:' .. batch, 'open', 'whole')
  if tonumber(f[1] or '0') > 0 then return '' end
  for _, key in ipairs({ 'batch:' .. batch, 'batch:' .. batch .. ':jobs' }) do
    redis.call('EXPIRE', key, keep_seconds)
  end
  return f[2] == '1' and batch or ''
end

--- Have a lane of deliveries looked at when its first one is due.
local function place_lane(lane)
  local first = redis.call('ZRANGE', 'hooks:' .. lane, 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', 'hooks:lanes', first[2], lane)
  else redis.call('ZREM', 'hooks:lanes', lane) end
end

--- Take a job out of everything that waits, runs or is owed; its terminal pages stay.
local function halt(id)
  local job, pages = 'job:' .. id, 'job:' .. id .. ':pages'
  local f = redis.call('HMGET', job, 'tenant', 'lane', 'pool', 'avail', 'listed', 'batch', 'state')
  local claims = 0
  -- Of its batch it is open until it is closed, as a cancelled job is when its pages are kept.
  local open = not is_terminal(f[7])
    or (f[7] == 'cancelled' and redis.call('HEXISTS', pages, 'finish') == 1)
  local all = redis.call('HGETALL', pages)
  for i = 1, #all, 2 do
    local step, kind = all[i], string.sub(all[i + 1], 1, 1)
    if kind == 'r' then
      unclaim(id, step)
      claims = claims + 1
    elseif kind == 'a' and not tonumber(step) then
      local pool = step_pool(step)
      count('casola:waiting', pool, -1)
      delist(pool, f[2], f[1], id)
    elseif kind == 'w' then
      redis.call('ZREM', 'casola:due', id .. '/' .. step)
      unlend(id, step)
    end
    if kind ~= 'd' and kind ~= 'f' then redis.call('HDEL', pages, step) end
  end
  if f[5] == '1' then
    count('casola:waiting', f[3], -tonumber(f[4] or '0'))
    delist(f[3], f[2], f[1], id)
  end
  redis.call('DEL', job .. ':again')
  settle_debts(id, f[1])
  if open and f[6] and f[6] ~= '' then
    redis.call('HINCRBY', 'batch:' .. f[6], 'open', -1)
  end
  redis.call('HDEL', job, 'ready', 'next', 'avail', 'listed', 'window', 'owed', 'owed_bytes', 'lent')
  return claims
end
