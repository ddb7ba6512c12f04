-- Stop a job: nothing of it waits or runs any more; finishing keeps what was read.
--   ARGV     id, finished_ms, error ('' = its owner stops it; else only if nothing of it was begun)
--   returns  {'ok', hints} | {'again', {}} cancelled before and not yet kept
--            {'lost'} it ended, or is about to, or was begun | {'unknown'} there is no record
local id, hints = ARGV[1], {}
local state = redis.call('HGET', 'job:' .. id, 'state')
if ARGV[3] ~= '' then
  redis.call('ZREM', 'casola:start_by', id)
  if state and state ~= 'queued' then return { 'lost' } end
end
if state == 'cancelled' and redis.call('HEXISTS', 'job:' .. id .. ':pages', 'finish') == 1 then
  return { 'again', {} }
end
-- With `finish` due every page is terminal: completing has won.
if not state then return { 'unknown' } end
if is_terminal(state) or redis.call('HEXISTS', 'job:' .. id .. ':pages', 'finish') == 1 then
  return { 'lost' }
end
local f = redis.call('HMGET', 'job:' .. id, 'batch', 'tenant')
halt(id)
if f[1] ~= '' then redis.call('HINCRBY', 'batch:' .. f[1], 'open', 1) end
redis.call('HSET', 'job:' .. id, 'state', 'cancelled', 'finished', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', 'job:' .. id, 'error', ARGV[3]) end
event(id, 'type', 'finished', 'status', 'cancelled')
changed(f[2], id)
offer(id, 'finish', 0, hints)
return { 'ok', to_publish(hints) }
