-- Remove a job that was never accepted, or one whose record is behind what the store knows.
--   ARGV     id, run ('' = any): the run that is unfinished and not about to be closed
--   returns  1 | 0 it is not as it was
local id = ARGV[1]
local f = redis.call('HMGET', 'job:' .. id, 'tenant', 'created', 'batch', 'state', 'run')
if not f[1] or f[4] == 'deleted' then return 0 end
if ARGV[2] ~= '' then
  local finishing = running(redis.call('HGET', 'job:' .. id .. ':pages', 'finish'))
  if f[5] ~= ARGV[2] or is_terminal(f[4]) or finishing then return 0 end
end
halt(id)
redis.call('ZREM', 'lib:' .. f[1], string.format('%013.0f/%s', tonumber(f[2]), id))
redis.call('ZREM', 'casola:expiry', f[1] .. '/' .. id)
if f[3] ~= '' then redis.call('ZREM', 'batch:' .. f[3] .. ':jobs', id) end
redis.call('DEL', 'job:' .. id, 'job:' .. id .. ':pages', 'ev:' .. id)
changed(f[1], id)
return 1
