-- Compare every counter with the jobs it counts. Looks at all records at once: for fsck only.
--   ARGV     repair ('1' sets the counters right)
--   returns  {hash, field, found, expected, …} of those that differ
local expected = { ['casola:waiting'] = {}, ['casola:running'] = {}, ['casola:pending'] = {},
  ['casola:pending_bytes'] = {} }
local function add(hash, field, n)
  expected[hash][field] = (expected[hash][field] or 0) + n
end
for _, key in ipairs(redis.call('KEYS', 'job:????*')) do
  local id = string.match(key, '^job:([^:]+)$')
  if id then
    local f = redis.call('HMGET', key, 'tenant', 'pool', 'avail', 'owed', 'owed_bytes', 'lent')
    for _, who in ipairs({ '*', f[1] }) do
      add('casola:pending', who, tonumber(f[4] or '0'))
      add('casola:pending_bytes', who, tonumber(f[5] or '0'))
    end
    if f[6] then add('casola:waiting', f[6], redis.call('LLEN', key .. ':lent')) end
    if f[2] then add('casola:waiting', f[2], tonumber(f[3] or '0')) end
    local all = redis.call('HGETALL', key .. ':pages')
    for i = 1, #all, 2 do
      local pool, kind = step_pool(all[i]), string.sub(all[i + 1], 1, 1)
      if kind == 'a' and pool then add('casola:waiting', pool, 1) end
      if kind == 'r' then
        add('casola:running', pool or f[2], 1)
        add('casola:running', (pool or f[2]) .. '/' .. f[1], 1)
      end
    end
  end
end
local out = {}
for hash, fields in pairs(expected) do
  for _, field in ipairs(redis.call('HKEYS', hash)) do fields[field] = fields[field] or 0 end
  for field, n in pairs(fields) do
    local found = tonumber(redis.call('HGET', hash, field) or '0')
    if found ~= n then
      for _, value in ipairs({ hash, field, int(found), int(n) }) do out[#out + 1] = value end
      if ARGV[1] == '1' then
        if n == 0 then redis.call('HDEL', hash, field) else redis.call('HSET', hash, field, int(n)) end
      end
    end
  end
end
return out
