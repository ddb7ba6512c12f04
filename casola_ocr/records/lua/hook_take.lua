-- Take deliveries that are due, those that wait longest first. Each stays in the schedule, later by
-- the lease: whoever took it and dies has not lost it.
--   ARGV[1]  JSON {most, lease (ms), per_host, per_tenant, held: {tenant or '/' .. host -> how many of
--            it the caller is at}}
--   returns  {{tenant, host, delivery}, …}
local a, now, taken, passed, looks = cjson.decode(ARGV[1]), now_ms(), {}, {}, 0
while #taken < a.most and looks < HOOK_LOOKS do
  local lane, due = unpack(
    redis.call('ZRANGEBYSCORE', 'hooks:lanes', '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1))
  if not lane then break end
  looks = looks + 1
  local tenant, host = string.match(lane, '^([^/]+)(/.+)$')
  local of_tenant, of_host = a.held[tenant] or 0, a.held[host] or 0
  if of_tenant >= a.per_tenant or of_host >= a.per_host then
    passed[lane] = due
    redis.call('ZADD', 'hooks:lanes', now + HOOK_PASSED, lane)
  else
    local name = redis.call('ZRANGEBYSCORE', 'hooks:' .. lane, '-inf', now, 'LIMIT', 0, 1)[1]
    if name then
      redis.call('ZADD', 'hooks:' .. lane, now + a.lease, name)
      taken[#taken + 1] = { tenant, string.sub(host, 2), name }
      a.held[tenant], a.held[host] = of_tenant + 1, of_host + 1
    end
    place_lane(lane)
  end
end
-- Lanes that have their share keep their place, but for so many that no other is reached.
if looks < HOOK_LOOKS then
  for lane, due in pairs(passed) do redis.call('ZADD', 'hooks:lanes', due, lane) end
end
return taken
