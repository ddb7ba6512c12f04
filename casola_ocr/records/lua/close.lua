-- Close a job whose results are in the store, or cancel it.
--   ARGV     id, fence ('' = cancel, no claim needed), state, finished_ms, words, confidence,
--            error, detail ('' = none)
--   returns  'ok' | 'lost' (it was closed by somebody else, or the claim is old) | 'gone'
local id, fence, state = ARGV[1], ARGV[2], ARGV[3]
local key, pages = 'job:' .. id, 'job:' .. id .. ':pages'
local f = redis.call('HMGET', key, 'state', 'tenant', 'owed')
if not f[1] then return 'gone' end
if is_terminal(f[1]) then return 'lost' end
if fence ~= '' then
  local run = running(redis.call('HGET', pages, 'finish'))
  if not run or run.fence ~= fence then return 'lost' end
  redis.call('HDEL', pages, 'finish', 'prepare')
  redis.call('ZREM', 'casola:due', id .. '/finish')
else
  local all = redis.call('HGETALL', pages)
  for i = 1, #all, 2 do
    if string.match(all[i + 1], '^[qwr]:') then
      redis.call('ZREM', 'casola:due', id .. '/' .. all[i])
      redis.call('HDEL', pages, all[i])
    end
  end
end
redis.call('HSET', key, 'state', state, 'finished', ARGV[4])
for i, field in ipairs({ 'words', 'confidence', 'error', 'detail' }) do
  if ARGV[4 + i] ~= '' then redis.call('HSET', key, field, ARGV[4 + i]) end
end
redis.call('HDEL', key, 'ready', 'next', 'open', 'window')
owe(id, f[2], -tonumber(f[3]))
redis.call('HDEL', key, 'owed')
event(id, 'type', 'finished', 'status', state)
return 'ok'
