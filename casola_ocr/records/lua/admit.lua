-- Whether a submission would be accepted now, asked before its bytes are stored.
--   ARGV     JSON: {tenant, pages, bytes, limits}
--   returns  {'ok'} | {'busy', …} as admit()
local a = cjson.decode(ARGV[1])
return admit(a.tenant, a.pages, a.bytes, a.limits, now_ms()) or { 'ok' }
