-- Remove a job that was never accepted: its manifest does not exist.
--   ARGV     id
local id = ARGV[1]
local key, pages = 'job:' .. id, 'job:' .. id .. ':pages'
local f = redis.call('HMGET', key, 'tenant', 'owed', 'batch')
if not f[1] then return 0 end
owe(id, f[1], -tonumber(f[2] or '0'))
for _, step in ipairs(redis.call('HKEYS', pages)) do
  redis.call('ZREM', 'casola:due', id .. '/' .. step)
end
redis.call('ZREM', 'lib:' .. f[1], id)
if f[3] ~= '' then redis.call('LREM', 'batch:' .. f[3] .. ':jobs', 0, id) end
redis.call('DEL', key, pages, 'ev:' .. id)
return 1
