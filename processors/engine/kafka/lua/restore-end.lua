-- Ends a restore: the shard stands at the snapshot's position.
-- KEYS  1 meta hash
-- ARGV  1 epoch of the caller, 2 number of pieces, 3 position
-- Result  1 | 0 fenced by a newer owner | 2 the server has forgotten the owner or pieces
local meta = redis.call('HMGET', KEYS[1], 'e', 'r')
if meta[1] ~= ARGV[1] then
  return tonumber(meta[1] or '0') > tonumber(ARGV[1]) and 0 or 2
end
if meta[2] ~= ARGV[2] then
  return 2
end
redis.call('HSET', KEYS[1], 'p', ARGV[3])
redis.call('HDEL', KEYS[1], 'r')
return 1
