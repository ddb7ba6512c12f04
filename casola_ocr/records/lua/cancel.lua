-- Stop a job: nothing of it waits or runs any more; finishing keeps what was read.
--   ARGV     id, finished_ms
--   returns  {'ok', hints} | {'again', {}} cancelled before and not yet kept
--            {'lost'} it ended, or is about to | {'unknown'} there is no record
local id, hints = ARGV[1], {}
local state = redis.call('HGET', 'job:' .. id, 'state')
if state == 'cancelled' and redis.call('HEXISTS', 'job:' .. id .. ':pages', 'finish') == 1 then
  return { 'again', {} }
end
-- With `finish` due every page is terminal: completing has won.
if not state then return { 'unknown' } end
if is_terminal(state) or redis.call('HEXISTS', 'job:' .. id .. ':pages', 'finish') == 1 then
  return { 'lost' }
end
local batch = redis.call('HGET', 'job:' .. id, 'batch')
halt(id)
if batch ~= '' then redis.call('HINCRBY', 'batch:' .. batch, 'open', 1) end
redis.call('HSET', 'job:' .. id, 'state', 'cancelled', 'finished', ARGV[2])
event(id, 'type', 'finished', 'status', 'cancelled')
offer(id, 'finish', 0, hints)
return { 'ok', to_publish(hints) }
