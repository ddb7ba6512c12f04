-- Forget a job but for the fact that it was deleted. Its bytes are removed by the caller; `erase` is
-- due later, for what a claim that still ran wrote meanwhile, and in case the caller dies.
--   ARGV     tenant, id, created_ms, delay_ms, keep_seconds
--   returns  {claims that were still running, batch that has no open job any more, or ''}
local tenant, id = ARGV[1], ARGV[2]
local key, pages = 'job:' .. id, 'job:' .. id .. ':pages'
local claims, batch = 0, ''
if redis.call('EXISTS', key) == 1 then
  claims, batch = halt(id), redis.call('HGET', key, 'batch') or ''
end
local created = redis.call('HGET', key, 'created') or ARGV[3]
local lane = redis.call('HGET', key, 'lane') or 'bulk'
redis.call('ZREM', 'lib:' .. tenant, string.format('%013.0f/%s', tonumber(created), id))
if batch ~= '' and redis.call('LREM', 'batch:' .. batch .. ':jobs', 0, id) > 0
    and redis.call('EXISTS', 'batch:' .. batch .. ':jobs') == 0 then
  redis.call('DEL', 'batch:' .. batch)
end
redis.call('ZREM', 'casola:dead', id)
redis.call('ZREM', 'casola:expiry', tenant .. '/' .. id)
redis.call('DEL', key, pages, 'ev:' .. id, 'idem:' .. id)
redis.call('HSET', key, 'tenant', tenant, 'state', 'deleted', 'lane', lane)
redis.call('EXPIRE', key, ARGV[5])
redis.call('HSET', pages, 'erase', 'w:0')
redis.call('ZADD', 'casola:due', now_ms() + tonumber(ARGV[4]), id .. '/erase')
local open = batch ~= '' and tonumber(redis.call('HGET', 'batch:' .. batch, 'open') or '0')
return { claims, open and open <= 0 and batch or '' }
