-- The document cannot be opened: the job goes to `finish`, which closes it as failed.
--   ARGV     id, fence, code, detail, grace_ms
--   returns  {'ok', 'finish'} | {'lost'}
local id = ARGV[1]
local key, pages = 'job:' .. id, 'job:' .. id .. ':pages'
local state = redis.call('HGET', key, 'state')
if not state or is_terminal(state) then return { 'lost' } end
local run = running(redis.call('HGET', pages, 'prepare'))
if not run or run.fence ~= ARGV[2] then return { 'lost' } end
redis.call('HSET', pages, 'prepare', 'f:' .. run.attempt .. '-' .. run.fence .. ':' .. ARGV[3])
redis.call('ZREM', 'casola:due', id .. '/prepare')
redis.call('HSET', key, 'error', ARGV[3], 'detail', ARGV[4])
enqueue(id, 'finish', 0, 'finish', now_ms() + tonumber(ARGV[5]))
return { 'ok', 'finish' }
