-- Ends a restore: the shard stands at the snapshot's position.
-- KEYS  1 meta hash
-- ARGV  1 epoch of the caller, 2 position
-- Result  1, or 0 when fenced
local meta = redis.call('HMGET', KEYS[1], 'e', 'r')
if meta[1] ~= ARGV[1] or not meta[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'p', ARGV[2])
redis.call('HDEL', KEYS[1], 'r')
return 1
