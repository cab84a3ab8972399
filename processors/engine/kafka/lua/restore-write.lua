-- Writes or deletes a piece of the states of a shard that is being restored.
-- KEYS  1 meta hash, 2 … state keys
-- ARGV  1 epoch of the caller, 2 … states in the order of their keys; none at all: the keys are deleted
-- Result  1, or 0 when fenced
local meta = redis.call('HMGET', KEYS[1], 'e', 'r')
if meta[1] ~= ARGV[1] or not meta[2] then
  return 0
end
for i = 2, #KEYS do
  if #ARGV == 1 then
    redis.call('UNLINK', KEYS[i])
  else
    redis.call('SET', KEYS[i], ARGV[i])
  end
end
return 1
