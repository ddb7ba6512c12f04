-- Forget a job but for the fact that it was deleted. Its bytes are removed by the caller; `erase` is
-- due later, for what a claim that still ran wrote meanwhile, and in case the caller dies. Again, until
-- then, it answers the same.
--   ARGV     tenant, id, created_ms, delay_ms, keep_seconds, run
--   returns  {claims that were still running, batch whose last job has ended, or ''}
local tenant, id, run = ARGV[1], ARGV[2], ARGV[6]
local key, pages = 'job:' .. id, 'job:' .. id .. ':pages'
local before = redis.call('HMGET', key, 'state', 'claims', 'ended')
if before[1] == 'deleted' and redis.call('EXISTS', pages) == 1 then
  return { tonumber(before[2]), before[3] }
end
local claims, batch, ended = 0, '', ''
if before[1] then
  claims, batch = halt(id), redis.call('HGET', key, 'batch') or ''
end
local f = redis.call('HMGET', key, 'created', 'lane', 'run')
redis.call('ZREM', 'lib:' .. tenant, string.format('%013.0f/%s', tonumber(f[1] or ARGV[3]), id))
if batch ~= '' then
  redis.call('ZREM', 'batch:' .. batch .. ':jobs', id)
  ended = ended_batch(batch, ARGV[5])
  if redis.call('EXISTS', 'batch:' .. batch .. ':jobs') == 0 then redis.call('DEL', 'batch:' .. batch) end
end
redis.call('ZREM', 'casola:dead', id)
redis.call('ZREM', 'casola:expiry', tenant .. '/' .. id)
redis.call('DEL', key, pages, 'ev:' .. id, 'idem:' .. id)
redis.call('HSET', key, 'tenant', tenant, 'state', 'deleted', 'lane', f[2] or 'bulk', 'run', f[3] or run,
  'claims', claims, 'ended', ended)
redis.call('EXPIRE', key, ARGV[5])
redis.call('HSET', pages, 'erase', 'w:0')
redis.call('ZADD', 'casola:due', now_ms() + tonumber(ARGV[4]), id .. '/erase')
changed(tenant, id)
return { claims, ended }
