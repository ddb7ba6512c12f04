-- A worker process says that it lives and what it can do; nothing to do = it leaves.
--   ARGV     slot, capabilities (comma separated; '' = leave), keep_ms
local now = now_ms()

local function leave(slot)
  redis.call('ZREM', 'casola:slots', slot)
  redis.call('HDEL', 'casola:slot_caps', slot)
  -- Threads take as {slot}:{thread}.
  for _, owner in ipairs(redis.call('HKEYS', 'casola:takes')) do
    if owner == slot or string.sub(owner, 1, #slot + 1) == slot .. ':' then
      redis.call('HDEL', 'casola:takes', owner)
    end
  end
end

if ARGV[2] == '' then
  leave(ARGV[1])
else
  redis.call('ZADD', 'casola:slots', now, ARGV[1])
  redis.call('HSET', 'casola:slot_caps', ARGV[1], ARGV[2])
end
for _, slot in ipairs(redis.call('ZRANGEBYSCORE', 'casola:slots', '-inf', now - tonumber(ARGV[3]))) do
  leave(slot)
end
return 1
