-- A worker child is dead: give back at once what it held, as the sweep would when the lease ends.
--   ARGV     owner, max_attempts
--   returns  {{id, step, why ('lost' | 'exhausted'), …}, hints}
local owner, hints, lost = ARGV[1], {}, {}
local last = redis.call('HGET', 'casola:takes', owner)
if last then
  local id, step = string.match(last, '^%S+ (%S+) (%S+)$')
  -- Whoever reads the last page of a short document finishes it without another take.
  for _, held_step in ipairs({ step, 'finish' }) do
    local run = running(redis.call('HGET', 'job:' .. id .. ':pages', held_step))
    if run and run.owner == owner then
      local why = lose(id, held_step, run, tonumber(ARGV[2]), now_ms(), hints)
      for _, value in ipairs({ id, held_step, why }) do lost[#lost + 1] = value end
    end
  end
end
redis.call('ZREM', 'casola:slots', owner)
redis.call('HDEL', 'casola:slot_caps', owner)
redis.call('HDEL', 'casola:takes', owner)
return { lost, to_publish(hints) }
