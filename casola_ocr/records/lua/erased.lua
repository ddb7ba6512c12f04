-- All bytes of a deleted job are gone.
--   ARGV     id, fence of erase ('' = the caller of erase.lua, when no claim was running)
--   returns  1 | 0 the claim is old
local id, pages = ARGV[1], 'job:' .. ARGV[1] .. ':pages'
local state = redis.call('HGET', pages, 'erase')
if ARGV[2] ~= '' then
  if not held(id, 'erase', ARGV[2]) then return 0 end
  unclaim(id, 'erase')
elseif state and string.sub(state, 1, 1) ~= 'w' then
  return 0
end
redis.call('ZREM', 'casola:due', id .. '/erase')
redis.call('DEL', pages)
redis.call('HDEL', 'job:' .. id, 'run', 'claims', 'ended')
return 1
