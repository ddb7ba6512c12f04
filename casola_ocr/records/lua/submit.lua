-- Accept jobs: all or none. Again with the same IDs changes nothing (a retry, a recovery).
--   ARGV[1]  JSON: {jobs: [{id, batch, tenant, first, owed, fields: {…}, winners: {page: "a-f"}}],
--                   max_total, max_tenant (0 = no limit), grace_ms}
--   returns  {'ok', id, step, id, step, …} to publish, or {'busy', which, pending, limit}
local a = cjson.decode(ARGV[1])
local due = now_ms() + a.grace_ms

local tenant, asked = a.jobs[1].tenant, 0
for _, job in ipairs(a.jobs) do asked = asked + job.owed end
for _, limit in ipairs({ { '*', a.max_total }, { tenant, a.max_tenant } }) do
  local pending = tonumber(redis.call('HGET', 'casola:pending', limit[1]) or '0')
  if limit[2] > 0 and pending > 0 and pending + asked > limit[2] then
    return { 'busy', limit[1] == '*' and 'service' or 'tenant', pending, limit[2] }
  end
end

local out = { 'ok' }
for _, job in ipairs(a.jobs) do
  local key = 'job:' .. job.id
  if redis.call('EXISTS', key) == 0 then
    local flat = {}
    for field, value in pairs(job.fields) do
      flat[#flat + 1] = field
      flat[#flat + 1] = value
    end
    redis.call('HSET', key, unpack(flat))
    redis.call('HSET', key, 'tenant', job.tenant, 'batch', job.batch, 'failed', 0, 'next', 1,
      'open', 0, 'owed', 0, 'done', 0)
    for page, winner in pairs(job.winners) do
      redis.call('HSET', key .. ':pages', page, 'd:' .. winner)
      redis.call('HINCRBY', key, 'done', 1)
    end
    owe(job.id, job.tenant, job.owed)
    redis.call('ZADD', 'lib:' .. job.tenant, 0, job.id)
    if job.batch ~= '' then
      redis.call('HSETNX', 'batch:' .. job.batch, 'tenant', job.tenant)
      redis.call('HSETNX', 'batch:' .. job.batch, 'created', job.fields.created)
      redis.call('RPUSH', 'batch:' .. job.batch .. ':jobs', job.id)
    end
    event(job.id, 'type', 'queued')
    local steps = {}
    if job.first == 'prepare' then
      enqueue(job.id, 'prepare', 0, 'prepare', due)
      steps[1] = 'prepare'
    else
      advance(job.id, due, steps)
    end
    for _, step in ipairs(steps) do
      out[#out + 1] = job.id
      out[#out + 1] = step
    end
  end
end
return out
