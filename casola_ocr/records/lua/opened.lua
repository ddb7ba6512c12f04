-- Tell what preparing found: how many pages there are, and up to which their images exist.
--   ARGV     id, fence, total, ready, media_type, file_name, grace_ms
--   returns  {'ok', step, …} steps to publish | {'lost'}
local id = ARGV[1]
local key, pages = 'job:' .. id, 'job:' .. id .. ':pages'
local f = redis.call('HMGET', key, 'state', 'total', 'tenant', 'ready', 'done')
if not f[1] or is_terminal(f[1]) then return { 'lost' } end
local run = running(redis.call('HGET', pages, 'prepare'))
if not run or run.fence ~= ARGV[2] then return { 'lost' } end
local total, ready = tonumber(ARGV[3]), math.max(tonumber(ARGV[4]), tonumber(f[4]))
if tonumber(f[2]) == 0 then
  -- A document of unknown length owed one page; one that was recovered owes only what is left.
  owe(id, f[3], total - tonumber(f[5]) - tonumber(redis.call('HGET', key, 'owed')))
  event(id, 'type', 'opened', 'total', total)
end
redis.call('HSET', key, 'total', total, 'ready', ready, 'media_type', ARGV[5], 'file_name', ARGV[6])
if ready == total then
  redis.call('HSET', pages, 'prepare', 'd:' .. run.attempt .. '-' .. run.fence)
  redis.call('ZREM', 'casola:due', id .. '/prepare')
end
local steps = { 'ok' }
advance(id, now_ms() + tonumber(ARGV[7]), steps)
return steps
