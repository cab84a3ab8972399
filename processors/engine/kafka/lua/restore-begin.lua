-- Begins to replace a shard: until restore-end, its position counts as unknown and no batch is applied.
-- KEYS  1 meta hash, 2 outbox stream
-- ARGV  1 epoch of the caller
-- Result  1, or 0 when fenced
-- Invariant: whatever dies between begin and end, the next owner finds no position and restores again.
if redis.call('HGET', KEYS[1], 'e') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'r', '1')
redis.call('HDEL', KEYS[1], 'p')
redis.call('UNLINK', KEYS[2])
return 1
