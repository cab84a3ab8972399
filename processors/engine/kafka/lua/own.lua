-- Raises a shard's epoch, which fences its owner until now, and reads its position.
-- KEYS  1 meta hash: e = epoch, p = position, r = pieces written, while a restore is under way
-- ARGV  none
-- Result  { epoch, position or -1 }
-- Invariant: an epoch is never given twice, also when a failover has lost the last ones: it is at least the server's
-- time in milliseconds, and failovers take longer than that.
local meta = redis.call('HMGET', KEYS[1], 'e', 'p', 'r')
local time = redis.call('TIME')
local epoch = math.max(tonumber(meta[1] or '0') + 1, tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
redis.call('HSET', KEYS[1], 'e', string.format('%.0f', epoch))
if meta[3] or not meta[2] then
  return { epoch, -1 }
end
return { epoch, tonumber(meta[2]) }
