-- One step of SCAN on the node that holds a shard: a plain SCAN has no key that would lead a cluster client there.
-- KEYS  1 meta hash, for its slot only
-- ARGV  1 cursor, 2 pattern, 3 keys to look at
-- Result  { next cursor, { key … }, run id of the server }; '0' is the end. A cursor is good for this run of this server.
-- Cost: all steps together look at every key of the node, whoever it belongs to.
local found = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local info = redis.call('INFO', 'server')
return { found[1], found[2], string.match(info, 'run_id:(%x+)') }
