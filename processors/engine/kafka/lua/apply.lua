-- Writes states, position and outbox entry of one batch, or nothing.
-- KEYS  1 meta hash, 2 outbox stream, 3 … state keys: first those to set, then those to delete
-- ARGV  1 epoch of the caller, 2 from, 3 to, 4 number of states to set, 5 milliseconds to live or '0',
--       6 outbox entry or '' for a rebuild, 7 … states in the order of their keys
-- Result  { 0, to } applied | { 1, position } duplicate | { 2, epoch } fenced | { 3, position or -1 } gap
-- Invariants: nothing is written unless the caller is the owner and the batch begins where the store stands; the entry's
-- stream id is `to`, so ids rise with positions; every batch but one of a rebuild leaves an entry, so that entries cover
-- what is not published without a hole.
local meta = redis.call('HMGET', KEYS[1], 'e', 'p', 'r')
if meta[1] ~= ARGV[1] then
  return { 2, tonumber(meta[1] or '0') }
end
if meta[3] then
  return { 3, -1 }
end
local position = tonumber(meta[2] or '0')
local from = tonumber(ARGV[2])
if position > from then
  return { 1, position }
end
if position < from then
  return { 3, meta[2] and position or -1 }
end
local sets = tonumber(ARGV[4])
if ARGV[5] == '0' then
  for i = 1, sets do
    redis.call('SET', KEYS[i + 2], ARGV[i + 6])
  end
else
  for i = 1, sets do
    redis.call('SET', KEYS[i + 2], ARGV[i + 6], 'PX', ARGV[5])
  end
end
for i = sets + 3, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
redis.call('HSET', KEYS[1], 'p', ARGV[3])
if ARGV[6] ~= '' then
  redis.call('XADD', KEYS[2], ARGV[3] .. '-0', 'b', ARGV[6])
end
return { 0, tonumber(ARGV[3]) }
