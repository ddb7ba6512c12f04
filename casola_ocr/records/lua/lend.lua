-- Lend a claimed page to another pool for a while. Whoever takes it there may settle it; if nobody
-- does, or it is given back or lost there, it is its own pool's again.
--   ARGV     id, page, fence, pool, wait_ms (how long it may wait there)
--   returns  {'ok', hints} | {'lost'} it was not ours to lend
local id, page, pool = ARGV[1], ARGV[2], ARGV[4]
local job = 'job:' .. id
local run = held(id, page, ARGV[3])
if not run then return { 'lost' } end
unclaim(id, page)
-- The other reading is a part of this attempt.
redis.call('HSET', job .. ':pages', page, 'w:' .. (run.attempt - 1))
redis.call('ZADD', 'casola:due', now_ms() + tonumber(ARGV[5]), id .. '/' .. page)
redis.call('HSET', job, 'lent', pool)
redis.call('RPUSH', job .. ':lent', page)
redis.call('HINCRBY', 'casola:waiting', pool, 1)
local f = redis.call('HMGET', job, 'lane', 'tenant')
enlist_first(pool, f[1], f[2], id)
return { 'ok', to_publish({ [pool] = 1 }) }
