-- Keep a claim alive.
--   ARGV     id, step, fence, lease_ms
--   returns  'ok' | 'lost' (another attempt has it) | 'stopped' (the job is terminal)
local state = redis.call('HGET', 'job:' .. ARGV[1], 'state')
if not state or is_terminal(state) then return 'stopped' end
local run = running(redis.call('HGET', 'job:' .. ARGV[1] .. ':pages', ARGV[2]))
if not run or run.fence ~= ARGV[3] then return 'lost' end
redis.call('ZADD', 'casola:due', now_ms() + tonumber(ARGV[4]), ARGV[1] .. '/' .. ARGV[2])
return 'ok'
