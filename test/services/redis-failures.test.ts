/** The store on every kind of Redis, with the least privileges, and through its failures. */
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Epoch, offset } from '../../processors/app/units.ts'
import { kafkaConfig } from '../../processors/engine/kafka/config.ts'
import { openKafka } from '../../processors/engine/kafka/engine.ts'
import type { ApplyBatch, Engine, FeatureStore, Shard } from '../../processors/engine/ports.ts'
import { bytes, eventually } from '../engine/contract/conditions.ts'
import { describeStore } from '../engine/contract.ts'
import { SERVICE_PATIENCE as patience, uniquePrefix } from './fixtures.ts'
import { localProcessesUnavailable } from './harness.ts'
import { type RedisServer, startRedis, startRedisCluster, startRedisSentinel } from './processes/redis.ts'

/** Exactly what docs/kafka.md tells operators to grant. */
const LEAST_PRIVILEGES = [
  '~rtml:*',
  ...['+evalsha', '+eval', '+mget', '+get', '+set', '+unlink', '+hget', '+hmget', '+hset', '+hdel'],
  ...['+xadd', '+xtrim', '+xrange', '+scan', '+time', '+exists', '+wait', '+ping', '+info'],
]
const IN_A_CLUSTER = ['+cluster|slots', '+cluster|info']

const skip = localProcessesUnavailable()

async function openStore(redisUrl: string, more: Record<string, string> = {}): Promise<Engine> {
  const nowhere = { KAFKA_BROKERS: '127.0.0.1:1', SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' }
  return openKafka(kafkaConfig({ ...nowhere, REDIS_URL: redisUrl, ...more }))
}

/** A store on servers of its own, which end with it. */
async function fixture(servers: AsyncDisposable & { url: string }, more: Record<string, string> = {}) {
  const engine = await openStore(servers.url, more)
  return {
    store: engine.store,
    prefix: uniquePrefix(),
    close: async () => {
      await engine[Symbol.asyncDispose]()
      await servers[Symbol.asyncDispose]()
    },
  }
}

it('the least privileges are the ones that operators are told to grant', () => {
  const page = readFileSync(new URL('../../docs/kafka.md', import.meta.url), 'utf8')
  const granted = [...page.matchAll(/(?:\+|~)[a-z][a-z|:*]*/g)].map((match) => match[0])
  for (const privilege of [...LEAST_PRIVILEGES, ...IN_A_CLUSTER]) expect(granted).toContain(privilege)
})

describe.skipIf(skip)('kinds of Redis', () => {
  describeStore('redis cluster of three', async () => fixture(await startRedisCluster()), patience)
  describeStore('redis behind a sentinel', async () => fixture(await startRedisSentinel()), patience)
  describeStore(
    'redis cluster with least privileges',
    async () => {
      const servers = await startRedisCluster()
      for (const { url } of servers.nodes) {
        const admin = new Redis(url)
        await admin.call(
          'ACL',
          'SETUSER',
          'rtml',
          'on',
          '>s3cret',
          'resetkeys',
          'nocommands',
          ...LEAST_PRIVILEGES,
          ...IN_A_CLUSTER,
        )
        admin.disconnect()
      }
      return fixture(servers, { REDIS_USERNAME: 'rtml', REDIS_PASSWORD: 's3cret' })
    },
    patience,
  )
  describeStore(
    'redis with least privileges',
    async () => {
      const server = await startRedis()
      const admin = new Redis(server.url)
      await admin.call('ACL', 'SETUSER', 'rtml', 'on', '>s3cret', 'resetkeys', 'nocommands', ...LEAST_PRIVILEGES)
      admin.disconnect()
      return fixture(server, { REDIS_USERNAME: 'rtml', REDIS_PASSWORD: 's3cret' })
    },
    patience,
  )
})

describe.skipIf(skip)('a Redis that fails', { timeout: patience.testMs }, () => {
  let server: RedisServer
  let engine: Engine
  let store: FeatureStore
  beforeAll(async () => {
    server = await startRedis(['--appendfsync', 'always'])
    engine = await openStore(server.url, { REDIS_COMMAND_TIMEOUT_MS: '500' })
    store = engine.store
  })
  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
    await server?.[Symbol.asyncDispose]()
  })
  const isBack = () => eventually('redis answers', patience, () => !engine.down().has('redis'))

  it('goes on where it stood after a kill', async () => {
    const shard = newShard()
    const { epoch } = await store.own(shard)
    expect(await store.apply(shard, epoch, batch(0, 5, 'a'))).toMatchObject({ kind: 'applied' })
    await server.kill()
    await expect(store.apply(shard, epoch, batch(5, 9, 'b'))).rejects.toMatchObject({ code: 'STORE_DOWN' })
    await expect(store.load(shard, ['k'])).rejects.toMatchObject({ code: 'STORE_DOWN' })
    await expect(store.own(shard)).rejects.toMatchObject({ code: 'STORE_DOWN' })
    expect([...engine.down().keys()]).toContain('redis')
    await server.start()
    await isBack()
    expect(await store.apply(shard, epoch, batch(5, 9, 'b'))).toEqual({
      kind: 'applied',
      position: 9,
      published: false,
    })
    expect((await store.outbox(shard)).map((entry) => entry.to)).toEqual([5, 9])
    expect(String((await store.load(shard, ['k']))[0])).toBe('b')
  })

  it('answers within the time limit while the server is frozen, and a repeated batch is applied once', async () => {
    const shard = newShard()
    const { epoch } = await store.own(shard)
    server.freeze()
    const started = performance.now()
    await expect(store.apply(shard, epoch, batch(0, 5, 'a'))).rejects.toMatchObject({ code: 'STORE_DOWN' })
    expect(performance.now() - started).toBeLessThan(3_000)
    server.thaw()
    await isBack()
    // The frozen server may carry out the first one when it wakes up.
    const again = await store.apply(shard, epoch, batch(0, 5, 'a'))
    expect(['applied', 'duplicate']).toContain(again.kind)
    expect(again).toMatchObject({ position: 5 })
    expect(await store.outbox(shard)).toHaveLength(1)
  })

  it('sends its scripts again when the server has forgotten them', async () => {
    const shard = newShard()
    const { epoch } = await store.own(shard)
    const admin = new Redis(server.url)
    await admin.call('SCRIPT', 'FLUSH')
    admin.disconnect()
    expect(await store.apply(shard, epoch, batch(0, 5, 'a'))).toMatchObject({ kind: 'applied' })
  })

  it('gives a higher epoch and no position when everything was lost, and refuses the owner from before', async () => {
    const shard = newShard()
    const { epoch: before } = await store.own(shard)
    await store.apply(shard, before, batch(0, 5, 'a'))
    const admin = new Redis(server.url)
    await admin.flushall()
    admin.disconnect()
    expect(await store.apply(shard, before, batch(5, 9, 'b'))).toMatchObject({ kind: 'fenced' })
    const { epoch, position } = await store.own(shard)
    expect(position).toBeUndefined()
    expect(epoch).toBeGreaterThan(before)
  })

  it('restores again when the process died in the middle of a restore', async () => {
    const shard = newShard()
    const { epoch } = await store.own(shard)
    await store.apply(shard, epoch, batch(0, 5, 'old'))
    const dying = async function* () {
      yield new Map([['half', bytes('x')]])
      throw new Error('killed')
    }
    await expect(store.restore(shard, epoch, offset(3), dying())).rejects.toThrow('killed')
    expect(await store.apply(shard, epoch, batch(0, 1, 'wrong'))).toEqual({ kind: 'gap', position: undefined })
    const next = await store.own(shard)
    expect(next.position).toBeUndefined()
    expect(await store.restore(shard, next.epoch, offset(3), maps([['whole', 'y']]))).toBe(true)
    expect((await store.load(shard, ['half', 'whole', 'k'])).map((state) => state?.toString())).toEqual([
      undefined,
      'y',
      undefined,
    ])
    expect((await store.own(shard)).position).toBe(3)
  })

  it.each([
    ['a piece', ['HSET', 'r', '1']],
    ['its begin', ['HDEL', 'r']],
    ['its owner', ['HSET', 'e', '1']],
  ] as const)('completes no restore of which the server lost %s', async (_, [command, ...args]) => {
    const shard = newShard()
    const { epoch } = await store.own(shard)
    await store.apply(shard, epoch, batch(0, 5, 'old'))
    const admin = new Redis(server.url)
    const robbed = async function* () {
      yield new Map([['a', bytes('x')]])
      yield new Map([['b', bytes('x')]])
      // What a failover to a replica that lags behind leaves.
      const meta = `rtml:{${shard.group}:${shard.topic}:${shard.partition}}:m`
      await admin.call(command, meta, ...args)
      yield new Map([['c', bytes('x')]])
    }
    await expect(store.restore(shard, epoch, offset(3), robbed())).rejects.toMatchObject({ code: 'STORE_DOWN' })
    admin.disconnect()
    const next = await store.own(shard)
    expect(next.position).toBeUndefined()
    expect(await store.restore(shard, next.epoch, offset(3), maps([['whole', 'y']]))).toBe(true)
    expect((await store.load(shard, ['a', 'b', 'c', 'whole'])).map((state) => state?.toString())).toEqual([
      undefined,
      undefined,
      undefined,
      'y',
    ])
    expect((await store.own(shard)).position).toBe(3)
  })

  it('scans every key although the server is started anew in the middle', async () => {
    const shard = newShard()
    const { epoch } = await store.own(shard)
    const names = Array.from({ length: 6_000 }, (_, i) => `key ${i}`)
    for (let from = 0; from < names.length; from += 1_000) {
      const states = new Map(names.slice(from, from + 1_000).map((name) => [name, bytes('x')]))
      await store.apply(shard, epoch, { from: offset(from), to: offset(from + 1_000), states, outputs: [] })
    }
    const seen = new Set<string>()
    let isRestarted = false
    for await (const map of store.scan(shard)) {
      for (const name of map.keys()) seen.add(name)
      if (isRestarted) continue
      isRestarted = true
      await server.restart()
      await eventually('redis answers', patience, () => store.own(newShard()).catch(() => undefined))
    }
    expect(names.filter((name) => !seen.has(name))).toEqual([])
  })

  it('refuses to work on a server that would drop states when it is full', async () => {
    const evicting = await startRedis(['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'])
    const other = await openStore(evicting.url)
    await expect(other.store.own(newShard())).rejects.toMatchObject({ code: 'CONFIG' })
    await other[Symbol.asyncDispose]()
    await evicting[Symbol.asyncDispose]()
  })

  it('says that credentials are wrong, which waiting would not heal', async () => {
    const wrong = await openStore(server.url.replace('redis://', 'redis://nobody:wrong@'))
    await expect(wrong.store.note('x')).rejects.toMatchObject({ code: 'CONFIG' })
    await wrong[Symbol.asyncDispose]()
  })
})

describe.skipIf(skip)('a failover', { timeout: 120_000 }, () => {
  it('goes on with the replica after the master died, which had waited for it', async () => {
    const servers = await startRedisSentinel()
    const engine = await openStore(servers.url, { REDIS_MIN_REPLICAS: '1', REDIS_REPLICA_WAIT_MS: '2000' })
    try {
      const { store } = engine
      const shard = newShard()
      const { epoch } = await eventually('the replica is in step', patience, () =>
        store.own(shard).catch(() => undefined),
      )
      expect(await store.apply(shard, epoch, batch(0, 5, 'a'))).toMatchObject({ kind: 'applied' })
      await servers.master.kill()
      // No second replica is left to wait for: the write counts only when it is safe, so the answer stays "not now".
      const taken = await eventually('the new master is found', patience, async () => {
        await store.own(shard).catch(() => {})
        return (await store.load(shard, ['k']).catch(() => []))[0]?.toString()
      })
      expect(taken).toBe('a')
      await expect(store.own(shard)).rejects.toMatchObject({ code: 'STORE_DOWN' })
      await servers.master.start()
      const next = await eventually('the old master is a replica', patience, () =>
        store.own(shard).catch(() => undefined),
      )
      expect(next).toMatchObject({ position: 5 })
      expect(next.epoch).toBeGreaterThan(epoch as Epoch)
      expect(await store.apply(shard, epoch, batch(5, 6, 'zombie'))).toMatchObject({ kind: 'fenced' })
    } finally {
      await engine[Symbol.asyncDispose]()
      await servers[Symbol.asyncDispose]()
    }
  })
})

let made = 0
const newShard = (): Shard => ({ group: `failures.${uniquePrefix()}`, topic: 'events', partition: made++ })

function batch(from: number, to: number, value: string): ApplyBatch {
  const outputs = [{ topic: 'out', key: bytes('k'), value: bytes(value) }]
  return { from: offset(from), to: offset(to), states: new Map([['k', bytes(value)]]), outputs }
}

async function* maps(entries: [string, string][]): AsyncGenerator<ReadonlyMap<string, Buffer>> {
  yield new Map(entries.map(([key, value]) => [key, bytes(value)]))
}
