-- Keep claims alive.
--   ARGV     lease_ms, then id, step, fence of each
--   returns  for each 'ok' | 'lost': somebody else has it, or the job ended
local due, out = now_ms() + tonumber(ARGV[1]), {}
for i = 2, #ARGV, 3 do
  local ok = held(ARGV[i], ARGV[i + 1], ARGV[i + 2])
  if ok then redis.call('ZADD', 'casola:due', due, ARGV[i] .. '/' .. ARGV[i + 1]) end
  out[#out + 1] = ok and 'ok' or 'lost'
end
return out
