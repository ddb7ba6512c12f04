-- A worker child says that it lives and what it can do; nothing to do = it leaves.
--   ARGV     slot, capabilities (comma separated; '' = leave), keep_ms
local now = now_ms()
if ARGV[2] == '' then
  redis.call('ZREM', 'casola:slots', ARGV[1])
  redis.call('HDEL', 'casola:slot_caps', ARGV[1])
  redis.call('HDEL', 'casola:takes', ARGV[1])
else
  redis.call('ZADD', 'casola:slots', now, ARGV[1])
  redis.call('HSET', 'casola:slot_caps', ARGV[1], ARGV[2])
end
for _, slot in ipairs(redis.call('ZRANGEBYSCORE', 'casola:slots', '-inf', now - tonumber(ARGV[3]))) do
  redis.call('ZREM', 'casola:slots', slot)
  redis.call('HDEL', 'casola:slot_caps', slot)
  redis.call('HDEL', 'casola:takes', slot)
end
return 1
