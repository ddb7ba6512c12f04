-- Put before every script by the loader. The key table of all scripts:
--
--   key                    type    what it holds
--   job:{id}               hash    the record: tenant state model engine language file_name media_type
--                                  lane batch total done failed words confidence created started
--                                  finished error detail v, and the counters of publishing:
--                                  ready (pages whose image exists), next (next page to publish),
--                                  open (published, not terminal), window, owed (pages in
--                                  casola:pending), queue (where its pages wait)
--   job:{id}:pages         hash    step -> state; a step is prepare, finish or a page number; a page
--                                  that was never published has no field. States:
--                                    q:{attempts}:{ticket}           published, waits
--                                    w:{attempts}                    waits for its time in casola:due
--                                    r:{attempt}:{fence}:{owner}     claimed
--                                    d:{attempt}-{fence}             read; names the winning result
--                                    f:{attempt}-{fence}:{code}      failed for good
--   ev:{id}                stream  events of the job; the last one has type=finished
--   lib:{tenant}           zset    request IDs, all scores 0: a ULID sorts by time
--   batch:{id}             hash    tenant created
--   batch:{id}:jobs        list    request IDs in the order of submission
--   casola:due             zset    {id}/{step} -> ms at which silence means that the step is lost
--   casola:tickets         hash    queue -> number of messages ever published to it
--   casola:heads           hash    queue -> highest ticket that was claimed from it
--   casola:pending         hash    '*' and tenant names -> pages accepted and not terminal
--   casola:slots           zset    worker child -> ms when it was last seen
--   casola:slot_caps       hash    worker child -> what it can do, comma separated
--   casola:epoch           string  exists unless the records were wiped

--- Milliseconds since 1970 by this server's clock: the only clock that leases know.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function int(value) return string.format('%.0f', value) end

local function event(id, ...)
  redis.call('XADD', 'ev:' .. id, 'MAXLEN', '~', 1024, '*', ...)
end

--- Mark a step as published; the caller returns it so that its message is sent.
local function enqueue(id, step, attempts, queue, due)
  local ticket = redis.call('HINCRBY', 'casola:tickets', queue, 1)
  redis.call('HSET', 'job:' .. id .. ':pages', step, 'q:' .. attempts .. ':' .. ticket)
  redis.call('ZADD', 'casola:due', due, id .. '/' .. step)
end

local function step_queue(step, pages_queue)
  if step == 'prepare' or step == 'finish' then return step end
  return pages_queue
end

local function is_terminal(state)
  return state == 'completed' or state == 'failed' or state == 'cancelled'
end

--- Change how many pages the job holds of its tenant's and everybody's quota.
local function owe(id, tenant, delta)
  if delta == 0 then return end
  redis.call('HINCRBY', 'job:' .. id, 'owed', delta)
  redis.call('HINCRBY', 'casola:pending', '*', delta)
  if redis.call('HINCRBY', 'casola:pending', tenant, delta) <= 0 then
    redis.call('HDEL', 'casola:pending', tenant)
  end
end

--- Publish what the window allows, and `finish` when every page is terminal. Appends to `steps`.
local function advance(id, due, steps)
  local job, pages = 'job:' .. id, 'job:' .. id .. ':pages'
  local f = redis.call('HMGET', job, 'ready', 'next', 'open', 'window', 'queue', 'total', 'done', 'failed')
  local ready, next, open, window = tonumber(f[1]), tonumber(f[2]), tonumber(f[3]), tonumber(f[4])
  local total = tonumber(f[6])
  while next <= ready and open < window do
    local known = redis.call('HGET', pages, next)
    if not known then
      enqueue(id, tostring(next), 0, f[5], due)
      steps[#steps + 1] = tostring(next)
      open = open + 1
    end
    next = next + 1
  end
  redis.call('HSET', job, 'next', next, 'open', open)
  if total > 0 and ready == total and tonumber(f[7]) + tonumber(f[8]) == total
      and not redis.call('HGET', pages, 'finish') then
    enqueue(id, 'finish', 0, 'finish', due)
    steps[#steps + 1] = 'finish'
  end
end

--- Make a page terminal. `state` is d:… or f:…; the caller has checked the fence.
local function settle(id, page, state, due, steps)
  local job = 'job:' .. id
  local done = string.sub(state, 1, 1) == 'd'
  redis.call('HSET', job .. ':pages', page, state)
  redis.call('ZREM', 'casola:due', id .. '/' .. page)
  redis.call('HINCRBY', job, done and 'done' or 'failed', 1)
  redis.call('HINCRBY', job, 'open', -1)
  owe(id, redis.call('HGET', job, 'tenant'), -1)
  event(id, 'type', 'page', 'page', page, 'status', done and 'done' or 'failed')
  advance(id, due, steps)
end

--- Split r:{attempt}:{fence}:{owner}.
local function running(state)
  if not state then return nil end
  local attempt, fence, owner = string.match(state, '^r:(%d+):(%d+):(.*)$')
  return attempt and { attempt = tonumber(attempt), fence = fence, owner = owner }
end
