-- Reads position and states of a shard as of one instant.
-- KEYS  1 meta hash, 2 … state keys
-- ARGV  none
-- Result  { position or -1, { state or nil … } }; a shard that is being restored has no position
local meta = redis.call('HMGET', KEYS[1], 'p', 'r')
local states = {}
for i = 2, #KEYS do
  states[i - 1] = redis.call('GET', KEYS[i])
end
if meta[2] or not meta[1] then
  return { -1, states }
end
return { tonumber(meta[1]), states }
