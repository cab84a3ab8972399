-- One step of SCAN on the node that holds a shard: a plain SCAN has no key that would lead a cluster client there.
-- KEYS  1 meta hash, for its slot only
-- ARGV  1 cursor, 2 pattern, 3 keys to look at
-- Result  { next cursor, { key … } }; '0' is the end
-- Cost: all steps together look at every key of the node, whoever it belongs to.
return redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
