-- Accept jobs of one tenant: all or none. Again with the same IDs changes nothing (a retry, a
-- recovery), except for a job that ended and is to run once more (`run` is one more than before).
--   ARGV[1]  JSON: {tenant, jobs: [{id, batch, first, run, pages, bytes, expires, nonce, dead, fields: {…},
--                   winners: {page: "a-f"}}], limits: {total_pages, …} or nothing: admit all}
--            first: 'prepare', 'page', or '' for a job that ended and is only to be listed
--   returns  {'ok', tokens} | {'busy', …} as admit() | {'replay'} another request submits it now
local a = cjson.decode(ARGV[1])
local now, wakes, tenant = now_ms(), {}, a.tenant

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

for _, job in ipairs(new) do
  local key, batch = 'job:' .. job.id, job.batch
  local listed = redis.call('EXISTS', key) == 1
  redis.call('ZREM', 'casola:dead', job.id)
  redis.call('DEL', key, key .. ':pages', key .. ':again', 'idem:' .. job.id)
  local flat = { 'tenant', tenant, 'batch', batch, 'run', job.run }
  for field, value in pairs(job.fields) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('HSET', key, unpack(flat))
  redis.call('ZADD', 'lib:' .. tenant, 0, string.format('%013.0f/%s', tonumber(job.fields.created), job.id))
  if job.dead then redis.call('ZADD', 'casola:dead', job.fields.finished, job.id) end
  if job.expires > 0 then redis.call('ZADD', 'casola:expiry', job.expires, tenant .. '/' .. job.id) end
  if batch ~= '' then
    redis.call('HSETNX', 'batch:' .. batch, 'tenant', tenant)
    redis.call('HSETNX', 'batch:' .. batch, 'created', job.fields.created)
    if not listed then redis.call('RPUSH', 'batch:' .. batch .. ':jobs', job.id) end
    if job.first ~= '' then redis.call('HINCRBY', 'batch:' .. batch, 'open', 1) end
  end
  if job.first ~= '' then
    redis.call('HSET', key, 'failed', 0, 'done', 0, 'next', 1, 'owed', 0, 'owed_bytes', 0, 'avail', 0)
    local done = 0
    for page, winner in pairs(job.winners) do
      redis.call('HSET', key .. ':pages', page, 'd:' .. winner)
      done = done + 1
    end
    redis.call('HSET', key, 'done', done)
    owe(job.id, tenant, job.pages, job.bytes)
    if listed then redis.call('DEL', 'ev:' .. job.id) end
    event(job.id, 'type', 'queued')
    if job.first == 'prepare' then
      offer(job.id, 'prepare', 0, wakes)
    else
      offer_pages(job.id, tonumber(job.fields.total) - done, wakes)
      finish_if_ended(job.id, wakes)
    end
  end
end
return { 'ok', tokens(wakes) }
