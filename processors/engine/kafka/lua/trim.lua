-- Drops outbox entries up to a position.
-- KEYS  1 meta hash, 2 outbox stream
-- ARGV  1 epoch of the caller, 2 smallest stream id to keep
-- Result  1, or 0 when fenced: nothing was changed
if redis.call('HGET', KEYS[1], 'e') ~= ARGV[1] then
  return 0
end
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2])
return 1
