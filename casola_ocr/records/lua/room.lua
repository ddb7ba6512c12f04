-- What waits of a tenant and of all, for whoever asks how much more is accepted.
--   ARGV     tenant
--   returns  {pages of all, pages of the tenant, pages a second of all, of the tenant}; the last two
--            as text, averaged over the last pages that became terminal
local now = now_ms()
local pages, rates = {}, {}
for i, who in ipairs({ '*', ARGV[1] }) do
  pages[i] = tonumber(redis.call('HGET', 'casola:pending', who) or '0')
  rates[i] = string.format('%.6f', drain_rate(who, now))
end
return { pages[1], pages[2], rates[1], rates[2] }
