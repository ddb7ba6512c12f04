-- Schedule deliveries of one lane, or take them off the schedule.
--   ARGV     lane ({tenant}/{host}), delay in ms, or -1 to take them off, '1' = only those that are not
--            scheduled yet, deliveries…
local lane, due = ARGV[1], now_ms() + tonumber(ARGV[2])
local key = 'hooks:' .. lane
for i = 4, #ARGV do
  if ARGV[2] == '-1' then
    redis.call('ZREM', key, ARGV[i])
  elseif ARGV[3] == '1' then
    redis.call('ZADD', key, 'NX', due, ARGV[i])
  else
    redis.call('ZADD', key, due, ARGV[i])
  end
end
place_lane(lane)
return 1
