-- How much is ahead of a job, for whoever asks: bounded work, nothing is changed.
--   ARGV     id
--   returns  {steps that will be taken before its first one, '' once that was taken,
--             ms until it has ended at the pace that was measured, '' when that cannot be told}
local id = ARGV[1]

--- Places of a list that are looked at: further back only this many are told.
local FAR = 10000
--- Tenants, and jobs of each, whose pages are counted.
local NEAR = 64

local f = redis.call('HMGET', 'job:' .. id, 'state', 'tenant', 'lane', 'pool', 'total', 'done', 'failed', 'listed')
local state, tenant, lane, total = f[1], f[2], f[3], tonumber(f[5] or '0')
if not state or is_terminal(state) then return { '', '' } end
local pool = state == 'queued' and total == 0 and 'prepare' or f[4]
local mine = 'wait:' .. pool .. ':' .. lane .. ':' .. tenant
local tenants = 'wait:' .. pool .. ':' .. lane

--- Steps of a tenant in a lane that may be taken, counted up to `most`.
local function steps_of(in_lane, who, most)
  local jobs = 'wait:' .. pool .. ':' .. in_lane .. ':' .. who
  local n = redis.call('LLEN', jobs)
  if n >= most or pool == 'prepare' then return math.min(n, most) end
  n = 0
  for _, job in ipairs(redis.call('LRANGE', jobs, 0, NEAR - 1)) do
    n = n + tonumber(redis.call('HGET', 'job:' .. job, 'avail') or '0')
    if n >= most then return most end
  end
  return n
end

--- Steps that are taken before the job's first one; tenants take turns, and so do their jobs.
local function ahead()
  local before = redis.call('LPOS', mine, id, 'MAXLEN', FAR)
  if not before then return redis.call('LLEN', mine) >= FAR and FAR or nil end
  local n, passed = before, false
  for _, who in ipairs(redis.call('LRANGE', tenants, 0, NEAR - 1)) do
    if who == tenant then
      passed = true
    else
      n = n + steps_of(lane, who, passed and before or before + 1)
    end
  end
  -- The bulk lane's turn comes once in so many.
  local other = lane == 'bulk' and 'interactive' or 'bulk'
  local most = lane == 'bulk' and (n + 1) * (BULK_TURN - 1) or math.floor(n / (BULK_TURN - 1))
  local others = 0
  for _, who in ipairs(redis.call('LRANGE', 'wait:' .. pool .. ':' .. other, 0, NEAR - 1)) do
    if others < most then others = others + steps_of(other, who, most - others) end
  end
  return n + others
end

local position = state == 'queued' and ahead() or nil

--- Steps of the pool until the job's last page is read.
local function steps_to_end()
  local left = total - tonumber(f[6]) - tonumber(f[7])
  if position then
    if left == 1 then return position + 1 end
  elseif f[8] ~= '1' then
    return left
  end
  -- Its turns come once in as many as there are jobs to take turns with.
  local turns = math.max(1, redis.call('LLEN', tenants)) * math.max(1, redis.call('LLEN', mine))
  local waiting = tonumber(redis.call('HGET', 'casola:pending', '*') or '0')
  return math.max(left, math.min((position or 0) + left * turns, waiting))
end

local eta
local pace = tonumber(string.match(redis.call('HGET', 'casola:pace', f[4]) or '', '^(%S+)'))
if total > 0 and pace then
  local running = tonumber(redis.call('HGET', 'casola:running', f[4]) or '0')
  eta = int(math.ceil(steps_to_end() / math.max(1, running)) * pace)
end
return { position and int(position) or '', eta or '' }
