-- Accept jobs of one tenant: all or none. Again with the same IDs changes nothing (a retry, a
-- recovery), except for a job that ended and is to run once more (`run` is one more than before).
--   ARGV[1]  JSON: {tenant, jobs: [{id, batch, first, run, pages, bytes, expires, nonce, dead, cancelled,
--                   start_by, ttl, fields: {…}, winners: {page: "a-f"}}], limits: {total_pages, …} or nothing: admit
--                   all, whole: {batch, members} once every job of a batch is registered}
--            first: 'prepare', 'page', or '' for a job that ended and is only to be listed; such a one
--            keeps its record for `ttl` seconds, 0 = it is in its library and nothing else
--            cancelled: ms at which it was cancelled, 0 = not: then it only finishes
--            start_by: ms until which it has to be begun, 0 = whenever; one that is found again after
--            that may have been begun before
--   returns  {'ok', hints} | {'busy', …} as admit() | {'replay'} another request submits it now
local a = cjson.decode(ARGV[1])
local now, hints, tenant = now_ms(), {}, a.tenant

local new, pages, bytes = {}, 0, 0
for _, job in ipairs(a.jobs) do
  local f = redis.call('HMGET', 'job:' .. job.id, 'state', 'run')
  local again = f[1] and is_terminal(f[1]) and f[1] ~= 'deleted' and tonumber(f[2] or '1') == job.run - 1
  if not f[1] or again then
    local nonce = redis.call('GET', 'idem:' .. job.id)
    if nonce and nonce ~= job.nonce then return { 'replay' } end
    new[#new + 1] = job
    pages, bytes = pages + job.pages, bytes + job.bytes
  end
end
local busy = #new > 0 and a.limits and admit(tenant, pages, bytes, a.limits, now)
if busy then return busy end

local function write_record(job)
  local key = 'job:' .. job.id
  local flat = { 'tenant', tenant, 'batch', job.batch, 'run', job.run }
  for field, value in pairs(job.fields) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('HSET', key, unpack(flat))
  if job.first == '' then redis.call('EXPIRE', key, job.ttl) end
end

local function add_to_batch(job, open)
  local batch, jobs = 'batch:' .. job.batch, 'batch:' .. job.batch .. ':jobs'
  redis.call('HSETNX', batch, 'tenant', tenant)
  redis.call('HSETNX', batch, 'created', job.fields.created)
  if redis.call('ZADD', jobs, job.fields.position, job.id) == 1 then
    redis.call('HINCRBY', batch, 'members', 1)
  end
  if open then redis.call('HINCRBY', batch, 'open', 1) end
  for _, key in ipairs({ batch, jobs }) do
    if tonumber(redis.call('HGET', batch, 'open') or '0') > 0 then
      redis.call('PERSIST', key)
    elseif job.first == '' then
      redis.call('EXPIRE', key, job.ttl)
    end
  end
end

--- The job's pages that were read stay read; the rest may be taken.
local function begin_work(job, listed)
  local key, done = 'job:' .. job.id, 0
  redis.call('HSET', key, 'failed', 0, 'owed', 0, 'owed_bytes', 0)
  for page, winner in pairs(job.winners) do
    redis.call('HSET', key .. ':pages', page, 'd:' .. winner)
    done = done + 1
  end
  redis.call('HSET', key, 'done', done)
  if listed then redis.call('DEL', 'ev:' .. job.id) end
  if job.cancelled > 0 then
    redis.call('HDEL', key, 'ready', 'window', 'owed', 'owed_bytes')
    redis.call('HSET', key, 'state', 'cancelled', 'finished', int(job.cancelled))
    event(job.id, 'type', 'finished', 'status', 'cancelled')
    return offer(job.id, 'finish', 0, hints)
  end
  redis.call('HSET', key, 'next', 1, 'avail', 0)
  owe(job.id, tenant, job.pages, job.bytes)
  if job.first == 'prepare' then return offer(job.id, 'prepare', 0, hints) end
  offer_pages(job.id, tonumber(job.fields.total) - done, hints)
  finish_if_ended(job.id, hints)
end

for _, job in ipairs(new) do
  local key = 'job:' .. job.id
  local listed, running = redis.call('EXISTS', key) == 1, job.first ~= ''
  redis.call('ZREM', 'casola:dead', job.id)
  redis.call('DEL', key, key .. ':pages', key .. ':again', key .. ':lent', 'idem:' .. job.id)
  redis.call('ZADD', 'lib:' .. tenant, 0, string.format('%013.0f/%s', tonumber(job.fields.created), job.id))
  if job.dead then redis.call('ZADD', 'casola:dead', job.fields.finished, job.id) end
  if job.expires > 0 then redis.call('ZADD', 'casola:expiry', job.expires, tenant .. '/' .. job.id) end
  if job.start_by > now then redis.call('ZADD', 'casola:start_by', job.start_by, job.id) end
  if running or job.ttl > 0 then
    write_record(job)
    if job.batch ~= '' then add_to_batch(job, running) end
  end
  if running then
    begin_work(job, listed)
    changed(tenant, job.id)
  end
end
if a.whole then
  local batch = 'batch:' .. a.whole.batch
  -- Fewer when the records were lost in between.
  if redis.call('HGET', batch, 'members') == tostring(a.whole.members) then
    redis.call('HSET', batch, 'whole', 1)
  end
end
return { 'ok', to_publish(hints) }
