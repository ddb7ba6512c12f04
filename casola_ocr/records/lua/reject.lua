-- The document cannot be opened: the job goes to `finish`, which closes it as failed.
--   ARGV     id, fence, code, detail
--   returns  {'ok', hints} | {'lost'}
local id, hints = ARGV[1], {}
local run = held(id, 'prepare', ARGV[2])
if not run then return { 'lost' } end
unclaim(id, 'prepare')
redis.call('HSET', 'job:' .. id .. ':pages', 'prepare', 'f:' .. run.attempt .. '-' .. run.fence .. ':' .. ARGV[3])
failed(ARGV[3], now_ms())
redis.call('HSET', 'job:' .. id, 'error', ARGV[3], 'detail', ARGV[4])
offer(id, 'finish', 0, hints)
return { 'ok', to_publish(hints) }
