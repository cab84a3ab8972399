-- Writes or deletes a piece of the states of a shard that is being restored.
-- KEYS  1 meta hash, 2 … state keys
-- ARGV  1 epoch of the caller, 2 number of pieces before this one, 3 … states in the order of their keys; none at all:
--       the keys are deleted
-- Result  1 | 0 fenced by a newer owner | 2 the server has forgotten the owner or a piece before this one
-- Invariant: pieces are counted, so a restore that a failover has robbed of some of them can't go on.
local meta = redis.call('HMGET', KEYS[1], 'e', 'r')
if meta[1] ~= ARGV[1] then
  return tonumber(meta[1] or '0') > tonumber(ARGV[1]) and 0 or 2
end
if meta[2] ~= ARGV[2] then
  return 2
end
for i = 2, #KEYS do
  if #ARGV == 2 then
    redis.call('UNLINK', KEYS[i])
  else
    redis.call('SET', KEYS[i], ARGV[i + 1])
  end
end
redis.call('HSET', KEYS[1], 'r', tonumber(ARGV[2]) + 1)
return 1
