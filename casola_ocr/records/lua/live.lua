-- What the workers that were seen lately can do.
--   ARGV     keep_ms
--   returns  one capabilities string for each live worker child
local slots = redis.call('ZRANGEBYSCORE', 'casola:slots', now_ms() - tonumber(ARGV[1]), '+inf')
if #slots == 0 then return {} end
return redis.call('HMGET', 'casola:slot_caps', unpack(slots))
