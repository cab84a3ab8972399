-- Begins to replace a shard: until restore-end, its position counts as unknown and no batch is applied.
-- KEYS  1 meta hash, 2 outbox stream
-- ARGV  1 epoch of the caller
-- Result  1 | 0 fenced by a newer owner | 2 the server has forgotten the owner
-- Invariant: whatever dies between begin and end, the next owner finds no position and restores again.
local epoch = redis.call('HGET', KEYS[1], 'e')
if epoch ~= ARGV[1] then
  return tonumber(epoch or '0') > tonumber(ARGV[1]) and 0 or 2
end
redis.call('HSET', KEYS[1], 'r', '0')
redis.call('HDEL', KEYS[1], 'p')
redis.call('UNLINK', KEYS[2])
return 1
