-- Make a page terminal; only the claim that holds the page can, once.
--   ARGV     id, page, fence, 'done' or an error code, dead ('1': an operator should look),
--            inline (documents of at most so many pages are finished by the caller), lease_ms,
--            words, confidence ('' = none)
--   returns  {'won', fence of finish or '', hints} | {'lost'} it is somebody else's, or terminal
local id, page, fence, code = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local job, pages = 'job:' .. id, 'job:' .. id .. ':pages'
local now, hints = now_ms(), {}
local state = redis.call('HGET', pages, page)
if state and string.match(state, '^[df]:%d+%-(%d+)') == fence then
  -- The same call again, after its answer was lost on the way: still the winner. If it was the last
  -- page, finishing is claimed already and runs again when that lease ends.
  return { 'won', '', {} }
end
local run = held(id, page, fence)
if not run then return { 'lost' } end
unclaim(id, page)
local name = run.attempt .. '-' .. fence
paced(redis.call('HGET', job, 'pool'), fence, now)
settle(id, page, code == 'done' and 'd:' .. name or 'f:' .. name .. ':' .. code, now,
  'words', ARGV[8], 'confidence', ARGV[9])
if ARGV[5] == '1' then dead(id, now) end

local f = redis.call('HMGET', job, 'total', 'ready', 'done', 'failed')
local total = tonumber(f[1])
local ended = f[2] == f[1] and tonumber(f[3]) + tonumber(f[4]) == total
if ended and total <= tonumber(ARGV[6]) and redis.call('HEXISTS', pages, 'finish') == 0 then
  return { 'won', begin(id, 'finish', 0, run.owner, tonumber(ARGV[7]), now), {} }
end
finish_if_ended(id, hints)
return { 'won', '', to_publish(hints) }
