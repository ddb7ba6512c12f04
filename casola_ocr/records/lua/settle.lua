-- Make a page terminal; only the claim that holds the page can, once.
--   ARGV     id, page, fence, 'done' or an error code, grace_ms
--   returns  {'won', step, …} steps to publish | {'lost'} the page is somebody else's or terminal
local id, page, fence, code = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local job_state = redis.call('HGET', 'job:' .. id, 'state')
local state = redis.call('HGET', 'job:' .. id .. ':pages', page)
if not state or not job_state or is_terminal(job_state) then return { 'lost' } end
-- The same call again, after its answer was lost on the way: still the winner.
if string.match(state, '^[df]:%d+%-(%d+)') == fence then return { 'won' } end
local run = running(state)
if not run or run.fence ~= fence then return { 'lost' } end
local steps = { 'won' }
local name = run.attempt .. '-' .. fence
local terminal = code == 'done' and 'd:' .. name or 'f:' .. name .. ':' .. code
settle(id, page, terminal, now_ms() + tonumber(ARGV[5]), steps)
return steps
