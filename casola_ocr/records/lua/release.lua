-- Give a step back, to be published again after a delay.
--   ARGV     id, step, fence, delay_ms, counts ('1' the attempt counts, '0' it does not)
--   returns  1 if it was ours to give back, else 0
local pages = 'job:' .. ARGV[1] .. ':pages'
local run = running(redis.call('HGET', pages, ARGV[2]))
if not run or run.fence ~= ARGV[3] then return 0 end
local attempts = ARGV[5] == '1' and run.attempt or run.attempt - 1
redis.call('HSET', pages, ARGV[2], 'w:' .. attempts)
redis.call('ZADD', 'casola:due', now_ms() + tonumber(ARGV[4]), ARGV[1] .. '/' .. ARGV[2])
return 1
