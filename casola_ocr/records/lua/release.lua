-- Give a step back: to be taken again now, or after a delay.
--   ARGV     id, step, fence, delay_ms, counts ('1' the attempt counts, '0' it does not),
--            first ('1' before the tenant's other jobs)
--   returns  {'ok', hints} | {'lost'} it was not ours to give back
local id, step, delay = ARGV[1], ARGV[2], tonumber(ARGV[4])
local hints = {}
local run = held(id, step, ARGV[3])
if not run then return { 'lost' } end
local attempts = ARGV[5] == '1' and run.attempt or run.attempt - 1
unclaim(id, step)
if delay == 0 then
  offer(id, step, attempts, hints, ARGV[6] == '1')
else
  redis.call('HSET', 'job:' .. id .. ':pages', step, 'w:' .. attempts)
  redis.call('ZADD', 'casola:due', now_ms() + delay, id .. '/' .. step)
end
return { 'ok', to_publish(hints) }
