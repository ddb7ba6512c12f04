-- Tell what preparing found: how many pages there are, and up to which their images exist.
--   ARGV     id, fence, total, ready, media_type, file_name, size, quota_pages
--   returns  {'more' | 'parked' (enough is ready for now) | 'ended', hints} | {'lost'}
local id, hints = ARGV[1], {}
local key, pages = 'job:' .. id, 'job:' .. id .. ':pages'
local run = held(id, 'prepare', ARGV[2])
if not run then return { 'lost' } end
local f = redis.call('HMGET', key, 'total', 'tenant', 'ready', 'done', 'owed', 'window', 'size')
local total, before = tonumber(ARGV[3]), tonumber(f[3])
local ready = math.max(tonumber(ARGV[4]), before)
if tonumber(f[1]) == 0 then
  -- A document of unknown length owed one page; one that was recovered owes only what is left.
  local size = tonumber(ARGV[7])
  owe(id, f[2], total - tonumber(f[4]) - tonumber(f[5]), size - tonumber(f[7]))
  redis.call('HSET', key, 'total', total, 'media_type', ARGV[5], 'file_name', ARGV[6], 'size', size)
  event(id, 'type', 'opened', 'total', total)
end
redis.call('HSET', key, 'ready', ready)
if ready > before and run.attempt > 1 then
  -- Attempts are counted for the page after the last one that is ready, not for the document.
  run.attempt = 1
  redis.call('HSET', pages, 'prepare', 'r:1:' .. run.fence .. ':' .. run.owner)
end
local new = 0
for page = before + 1, ready do
  if redis.call('HEXISTS', pages, page) == 0 then new = new + 1 end
end
offer_pages(id, new, hints)
local answer = 'more'
if ready == total then
  answer = 'ended'
  unclaim(id, 'prepare')
  redis.call('HSET', pages, 'prepare', 'd:' .. run.attempt .. '-' .. run.fence)
  finish_if_ended(id, hints)
elseif tonumber(redis.call('HGET', key, 'avail') or '0') >= tonumber(f[6]) then
  answer = 'parked'
  unclaim(id, 'prepare')
  redis.call('HSET', pages, 'prepare', 'p:0')
end
return { answer, to_publish(hints) }
