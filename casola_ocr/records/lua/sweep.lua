-- Find steps about which nothing was heard in time, and mark them as published again.
--   ARGV     limit, grace_ms
--   returns  {id, step, pages queue, why ('lease' | 'lost' | 'waited'), …} to publish
local now, grace = now_ms(), tonumber(ARGV[2])
local out = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', 'casola:due', '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local id, step = string.match(member, '^(.-)/(.+)$')
  local f = redis.call('HMGET', 'job:' .. id, 'state', 'queue')
  local state = redis.call('HGET', 'job:' .. id .. ':pages', step)
  local kind = state and string.sub(state, 1, 1)
  if not f[1] or is_terminal(f[1]) or not state or kind == 'd' or kind == 'f' then
    redis.call('ZREM', 'casola:due', member)
  else
    local queue = step_queue(step, f[2])
    local why = kind == 'r' and 'lease' or kind == 'w' and 'waited' or nil
    if kind == 'q' then
      -- A queue is first in, first out: a message is lost when the queue is empty, or when one
      -- that was published after it has been claimed. Else it only waits its turn.
      local ticket = tonumber(string.match(state, ':(%d+)$'))
      local head = tonumber(redis.call('HGET', 'casola:heads', queue) or '0')
      if redis.call('LLEN', queue) == 0 or head > ticket then
        why = 'lost'
      else
        redis.call('ZADD', 'casola:due', now + math.min(600000, grace + 50 * (ticket - head)), member)
      end
    end
    if why then
      enqueue(id, step, string.match(state, '^%a:(%d+)'), queue, now + grace)
      for _, value in ipairs({ id, step, f[2], why }) do out[#out + 1] = value end
    end
  end
end
return out
