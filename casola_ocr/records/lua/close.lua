-- Close a job whose results are in the store.
--   ARGV     id, fence of finish, state, finished_ms, words, confidence, languages, error, detail
--            ('' = none), keep_seconds (how long the record is kept; the store keeps the result)
--   returns  {'ok', batch that has no open job any more, or ''} | {'lost'}
local id, fence = ARGV[1], ARGV[2]
local key, pages = 'job:' .. id, 'job:' .. id .. ':pages'
if not held(id, 'finish', fence) then return { 'lost' } end
local f = redis.call('HMGET', key, 'state', 'tenant', 'batch', 'expires')
if f[1] ~= 'cancelled' then
  redis.call('HSET', key, 'state', ARGV[3], 'finished', ARGV[4])
  event(id, 'type', 'finished', 'status', ARGV[3])
  unclaim(id, 'finish')
  redis.call('HDEL', pages, 'finish', 'prepare')
  settle_debts(id, f[2])
  redis.call('HDEL', key, 'ready', 'next', 'avail', 'listed', 'window', 'owed', 'owed_bytes', 'lent')
else
  -- Cancelling did all that when it was asked for.
  unclaim(id, 'finish')
  redis.call('HDEL', pages, 'finish')
end
if f[3] ~= '' then redis.call('HINCRBY', 'batch:' .. f[3], 'open', -1) end
for i, field in ipairs({ 'words', 'confidence', 'languages', 'error', 'detail' }) do
  if ARGV[4 + i] ~= '' then redis.call('HSET', key, field, ARGV[4 + i]) end
end
for _, name in ipairs({ key, pages }) do redis.call('EXPIRE', name, ARGV[10]) end
redis.call('EXPIRE', 'ev:' .. id, math.min(EVENTS_KEEP, ARGV[10]))
changed(f[2], id)
return { 'ok', ended_batch(f[3], ARGV[10]) }
