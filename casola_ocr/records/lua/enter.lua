-- A page's last attempt begins now, with the worker to itself: from here on it counts.
--   ARGV     id, step, fence
--   returns  1 | 0 the claim was lost
if not held(ARGV[1], ARGV[2], ARGV[3]) then return 0 end
redis.call('SREM', 'casola:outside', ARGV[1] .. '/' .. ARGV[2])
return 1
