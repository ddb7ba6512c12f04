-- Remove a job that was never accepted: its manifest does not exist.
--   ARGV     id
local id = ARGV[1]
local f = redis.call('HMGET', 'job:' .. id, 'tenant', 'created', 'batch', 'state')
if not f[1] or f[4] == 'deleted' then return 0 end
halt(id)
redis.call('ZREM', 'lib:' .. f[1], string.format('%013.0f/%s', tonumber(f[2]), id))
redis.call('ZREM', 'casola:expiry', f[1] .. '/' .. id)
if f[3] ~= '' then redis.call('ZREM', 'batch:' .. f[3] .. ':jobs', id) end
redis.call('DEL', 'job:' .. id, 'job:' .. id .. ':pages', 'ev:' .. id)
return 1
