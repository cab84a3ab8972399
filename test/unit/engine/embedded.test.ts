import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Clock, epochMs, ms, offset } from '../../../processors/app/units.ts'
import { type EmbeddedEngine, type EmbeddedOptions, openEmbedded } from '../../../processors/engine/embedded/engine.ts'
import type { NewRecord, TopicSpec } from '../../../processors/engine/ports.ts'
import { eventually, join as joinGroup, Member, PATIENCE, readNow, values } from '../../engine/contract/conditions.ts'

const DAY = ms(86_400_000)
const SHARD = { group: 'app.stage', topic: 'topic', partition: 0 }
const SOURCE = { topic: 'topic', partition: 0 }

describe('embedded engine', () => {
  let dir: string
  let now: number
  let engine: EmbeddedEngine
  const opened: EmbeddedEngine[] = []
  const clock: Clock = {
    now: () => epochMs(now),
    turn: () => Promise.resolve(),
    sleep: (duration, signal) =>
      new Promise((resolve) => {
        sleepers.add({ until: now + duration, wake: resolve })
        signal?.addEventListener('abort', () => resolve(), { once: true })
      }),
  }
  const sleepers = new Set<{ until: number; wake: () => void }>()
  const advance = (duration: number) => {
    now += duration
    for (const { until, wake } of sleepers) if (until <= now) wake()
  }
  const open = async (options: Partial<EmbeddedOptions> = {}): Promise<EmbeddedEngine> => {
    engine = await openEmbedded({ dir, clock, ...options })
    opened.push(engine)
    return engine
  }
  const reopen = async (options: Partial<EmbeddedOptions> = {}): Promise<EmbeddedEngine> => {
    await engine[Symbol.asyncDispose]()
    return open(options)
  }
  const create = (spec: Partial<TopicSpec> = {}) =>
    engine.log.ensureTopics([{ topic: 'topic', partitions: 1, cleanup: 'delete', ...spec }])
  const append = (...entries: readonly (readonly [string, string | null])[]) =>
    engine.log.append(entries.map(([key, value]) => toRecord(key, value)))
  const texts = async () => values(await readNow(engine.log, SOURCE, PATIENCE))
  const start = async () => (await engine.log.bounds('topic'))[0]!.start
  const apply = async (from: number, to: number, states: Record<string, string>, expireMs?: number) => {
    const { epoch } = await engine.store.own(SHARD)
    return engine.store.apply(SHARD, epoch, {
      from: offset(from),
      to: offset(to),
      states: new Map(Object.entries(states).map(([key, state]) => [key, Buffer.from(state)])),
      outputs: [],
      ...(expireMs === undefined ? {} : { expireMs: ms(expireMs) }),
    })
  }
  const load = async (...keys: string[]) => (await engine.store.load(SHARD, keys)).map((state) => state?.toString())

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rtml-embedded-'))
    now = 1_700_000_000_000
    await open({ upkeep: 'off' })
  })
  afterEach(async () => {
    for (const one of opened.splice(0)) await one[Symbol.asyncDispose]()
    await rm(dir, { recursive: true })
  })

  describe('after it was closed and opened again', () => {
    it('has its topics, records, positions, states, notes and schemas', async () => {
      await create({ retentionMs: DAY })
      await append(['a', '1'], ['b', '2'])
      await apply(0, 2, { a: 'state' })
      await engine.store.setNote('layout', Buffer.from('note'))
      const id = await engine.registry.register('s', { type: 'record', name: 'R', fields: [] })
      const { epoch } = await engine.store.own(SHARD)

      await reopen()
      expect(await create({ retentionMs: DAY })).toEqual([])
      expect(await texts()).toEqual(['1', '2'])
      expect(await engine.log.committed(SHARD.group, SHARD)).toBe(2)
      expect(await load('a')).toEqual(['state'])
      expect((await engine.store.note('layout'))?.toString()).toBe('note')
      expect(await engine.registry.schema(id)).toEqual({ type: 'record', name: 'R', fields: [] })
      expect(await engine.registry.register('s', { type: 'record', name: 'R', fields: [] })).toBe(id)
      const next = await engine.store.own(SHARD)
      expect(next).toEqual({ epoch: epoch + 1, position: 2 })
    })
  })

  describe('appends', () => {
    it('refuses a topic that does not exist, and names it', async () => {
      await expect(append(['a', '1'])).rejects.toMatchObject({ code: 'TOPIC_SETTING', place: 'topic' })
    })

    it('refuses a record that is too large, and writes nothing of its append', async () => {
      await create()
      const large = { topic: 'topic', key: null, value: Buffer.alloc(17 * 1_048_576) }
      await expect(engine.log.append([toRecord('a', '1'), large])).rejects.toMatchObject({ code: 'LIMIT' })
      expect(await texts()).toEqual([])
    })

    it('cuts a large append into runs of 1,000 records and 1 MiB at most', async () => {
      await create()
      await engine.log.append(Array.from({ length: 2_500 }, (_, i) => toRecord('k', String(i))))
      await engine.log.append(Array.from({ length: 9 }, () => toRecord('k', 'x'.repeat(300_000))))
      const sizes: [number, number][] = []
      for await (const run of engine.log.read(SOURCE, offset(0), { until: offset(2_509) })) {
        sizes.push([run.records.length, run.records.reduce((sum, r) => sum + r.value!.length, 0)])
      }
      expect(sizes.reduce((sum, [records]) => sum + records, 0)).toBe(2_509)
      for (const [records, bytes] of sizes) {
        expect(records).toBeLessThanOrEqual(1_000)
        expect(bytes).toBeLessThanOrEqual(1_048_576)
      }
    })

    it('gives small appends together as one run', async () => {
      await create()
      for (let i = 0; i < 40; i++) await append(['k', String(i)])
      const runs = []
      for await (const run of engine.log.read(SOURCE, offset(0), { until: offset(40) })) runs.push(run)
      expect(runs.map((run) => run.records.length)).toEqual([40])
    })
  })

  describe('apply', () => {
    it('writes no state when an output has no topic', async () => {
      await create()
      const { epoch } = await engine.store.own(SHARD)
      const batch = {
        from: offset(0),
        to: offset(1),
        states: new Map([['a', Buffer.from('x')]]),
        outputs: [{ topic: 'absent', key: null, value: null }],
      }
      await expect(engine.store.apply(SHARD, epoch, batch)).rejects.toMatchObject({ code: 'TOPIC_SETTING' })
      expect(await load('a')).toEqual([undefined])
      expect((await engine.store.own(SHARD)).position).toBeUndefined()
    })
  })

  describe('writes at the same time', () => {
    it('lets only the one fail that is wrong', async () => {
      await create()
      const { epoch } = await engine.store.own(SHARD)
      const states = new Map([
        ['a', Buffer.from('fine')],
        ['b', undefined as unknown as Buffer],
      ])
      const wrong = { from: offset(0), to: offset(1), outputs: [], states }
      const outcomes = await Promise.allSettled([
        append(['a', '1']),
        engine.store.apply(SHARD, epoch, wrong),
        append(['b', '2']),
        engine.store.setNote('note', Buffer.from('x')),
      ])
      expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
      expect((outcomes[1] as PromiseRejectedResult).reason).not.toHaveProperty('code')
      expect(await texts()).toEqual(['1', '2'])
      expect((await engine.store.own(SHARD)).position).toBeUndefined()
      expect([...engine.down()]).toEqual([])
    })
  })

  describe('groups', () => {
    it('reports a subscriber that throws, and stops delivering to it', async () => {
      await create()
      await append(['a', '1'])
      const member = new Member('one')
      member.onDeliver = async () => {
        throw new Error('a bug')
      }
      const subscription = await joinGroup(engine.log, 'group', 'topic', member)
      await eventually('the failure is reported', PATIENCE, () => member.failures.length > 0)
      expect(member.failures.map((error) => error.message)).toEqual(['a bug'])
      expect(member.runs).toHaveLength(1)
      await subscription.close()
    })

    it('gives the partitions of a member that does not drain to another one in the end', async () => {
      await create({ partitions: 2 })
      const [stuck, next] = [new Member('stuck'), new Member('next')]
      const gate = Promise.withResolvers<void>()
      const revoked: number[] = []
      stuck.onRevoked = (partitions) => {
        revoked.push(...partitions.map((one) => one.partition))
        return gate.promise
      }
      const first = await joinGroup(engine.log, 'group', 'topic', stuck)
      await eventually('it owns all', PATIENCE, () => stuck.owned.size === 2)
      const second = await joinGroup(engine.log, 'group', 'topic', next)
      await eventually('one is asked back', PATIENCE, () => revoked.length === 1)
      advance(29_999)
      expect(next.owned.size).toBe(0)
      advance(1)
      await eventually('the other owns it', PATIENCE, () => next.owned.size === 1)
      expect([...next.owned]).toEqual(revoked)
      gate.resolve()
      await first.close()
      await second.close()
    })

    it('reports a reader that retention has overtaken', async () => {
      await create()
      await append(['a', '1'])
      const member = new Member('slow')
      const gate = Promise.withResolvers<void>()
      member.onDeliver = () => gate.promise
      const subscription = await joinGroup(engine.log, 'group', 'topic', member)
      await eventually('the first run arrives', PATIENCE, () => member.runs.length === 1)
      await append(['b', '2'], ['c', '3'])
      await engine.log.truncate(SOURCE, offset(3))
      gate.resolve()
      await eventually('the failure is reported', PATIENCE, () => member.failures.length > 0)
      expect(member.failures[0]).toMatchObject({ code: 'LOG_TRUNCATED', place: 'topic[0]@1' })
      await subscription.close()
    })
  })

  describe('retention', () => {
    it('deletes what is older than the topic keeps', async () => {
      await create({ retentionMs: DAY })
      for (let i = 0; i < 30; i++) {
        await append(['k', String(i)])
        now += DAY / 24
      }
      await engine.upkeep.round()
      expect(await start()).toBe(7)
      expect((await texts())[0]).toBe('7')
      now += 2 * DAY
      await engine.upkeep.round()
      expect(await texts()).toEqual([])
      await append(['k', 'next'])
      expect(await engine.log.bounds('topic')).toEqual([{ ...SOURCE, start: 30, end: 31 }])
    })

    it('deletes the oldest above the bytes that a partition may have', async () => {
      await reopen({ upkeep: 'off', retentionBytes: 100_000 })
      await create()
      for (let i = 0; i < 30; i++) await append([String(i), 'x'.repeat(10_000)])
      await engine.upkeep.round()
      const records = await readNow(engine.log, SOURCE, PATIENCE)
      expect(records).toHaveLength(9)
      expect(records.at(-1)?.key?.toString()).toBe('29')
    })

    it('keeps a topic without retention for ever', async () => {
      await create()
      await append(['k', '1'])
      now += 10_000 * DAY
      await engine.upkeep.round()
      expect(await texts()).toEqual(['1'])
    })
  })

  describe('compaction', () => {
    it('keeps the newest record of each key, with its offset', async () => {
      await create({ cleanup: 'compact' })
      for (let i = 0; i < 300; i++) await append([`key ${i % 7}`, String(i)], [`once ${i}`, 'x'])
      const before = await readNow(engine.log, SOURCE, PATIENCE)
      await engine.upkeep.round()
      const newest = new Map(before.map((record) => [record.key!.toString(), record]))
      const expected = before.filter((record) => newest.get(record.key!.toString()) === record)
      expect(expected).toHaveLength(307)
      expect(await readNow(engine.log, SOURCE, PATIENCE)).toEqual(expected)
    })

    it('keeps on compacting as the log grows, and never loses a newest record', async () => {
      await create({ cleanup: 'compact' })
      const truth = new Map<string, string>()
      for (let round = 0; round < 6; round++) {
        const batch: [string, string][] = Array.from({ length: 1_100 }, (_, i) => [
          `key ${(i * (round + 3)) % 97}`,
          `${round}.${i}`,
        ])
        for (const [key, value] of batch) truth.set(key, value)
        await append(...batch)
        await engine.upkeep.round()
        const records = await readNow(engine.log, SOURCE, PATIENCE)
        expect(records.length).toBe(truth.size)
        expect(new Map(records.map((r) => [r.key!.toString(), r.value!.toString()]))).toEqual(truth)
      }
    })

    it('keeps tombstones until readers had time to see them', async () => {
      await create({ cleanup: 'compact' })
      await append(['a', '1'], ['b', '1'], ['a', null])
      await engine.upkeep.round()
      expect(await texts()).toEqual(['1', null])
      now += DAY + 1
      await engine.upkeep.round()
      expect(await texts()).toEqual(['1'])
      expect(await engine.log.bounds('topic')).toEqual([{ ...SOURCE, start: 0, end: 3 }])
    })

    it('keeps large values as they are', async () => {
      await create({ cleanup: 'compact' })
      const large = (i: number) => Buffer.alloc(200_000, i)
      for (let i = 0; i < 20; i++) {
        const records = [`key ${i % 3}`, `once ${i}`].map((key) => ({ ...toRecord(key, ''), value: large(i) }))
        await engine.log.append(records)
      }
      await engine.upkeep.round()
      const records = await readNow(engine.log, SOURCE, PATIENCE)
      expect(records.map((r) => r.key!.toString()).filter((key) => key.startsWith('key'))).toEqual([
        'key 2',
        'key 0',
        'key 1',
      ])
      expect(records).toHaveLength(23)
      for (const record of records) expect(record.value?.equals(large(Math.floor(record.offset / 2)))).toBe(true)
    })

    it('keeps records without a key', async () => {
      await create({ cleanup: 'compact' })
      await engine.log.append([1, 2].map((i) => ({ topic: 'topic', key: null, value: Buffer.from(String(i)) })))
      await engine.upkeep.round()
      expect(await texts()).toEqual(['1', '2'])
    })
  })

  describe('expiry', () => {
    it('hides an expired state at once and deletes it in upkeep', async () => {
      await apply(0, 1, { short: 'x' }, 1_000)
      await apply(1, 2, { ever: 'x' })
      now += 999
      expect(await load('short')).toEqual(['x'])
      now += 1
      expect(await load('short', 'ever')).toEqual([undefined, 'x'])
      await engine.upkeep.round()
      now -= 500
      expect(await load('short', 'ever')).toEqual([undefined, 'x'])
    })

    it('counts from the last write of a state', async () => {
      await apply(0, 1, { a: 'x' }, 1_000)
      now += 900
      await apply(1, 2, { a: 'y' }, 1_000)
      now += 900
      await engine.upkeep.round()
      expect(await load('a')).toEqual(['y'])
    })
  })

  describe('restore', () => {
    it('leaves the old states whole until the new ones are complete, and cleans up after a failed one', async () => {
      await apply(0, 5, { a: 'old' })
      const { epoch } = await engine.store.own(SHARD)
      const broken = async function* () {
        yield new Map([['a', Buffer.from('new')]])
        expect(await load('a')).toEqual(['old'])
        throw new Error('the snapshot ends too early')
      }
      await expect(engine.store.restore(SHARD, epoch, offset(3), broken())).rejects.toThrow('too early')
      expect(await load('a')).toEqual(['old'])
      const used = await stateCount()
      await engine.upkeep.round()
      expect(await stateCount()).toBe(used)
      await engine.store.own(SHARD)
      await engine.upkeep.round()
      expect(await stateCount()).toBe(used - 1)
      expect(await load('a')).toEqual(['old'])
    })

    /** States of all shards, live or not, as the file has them. */
    const stateCount = async (): Promise<number> => engine.size().states
  })

  describe('a full disk', () => {
    it('makes writes wait with a clear error, and goes on by itself when there is room', async () => {
      await reopen({ upkeep: 'off', maxBytes: 1_000_000 })
      await create({ retentionMs: DAY })
      await expect(fill()).rejects.toMatchObject({ code: 'LOG_DOWN', isTransient: true })
      await expect(append(['k', '1'])).rejects.toThrow(/bytes are used of the 1000000 that are allowed/)
      await expect(engine.store.own(SHARD)).rejects.toMatchObject({ code: 'STORE_DOWN', isTransient: true })
      expect([...engine.down()]).toEqual([
        ['log', now],
        ['store', now],
      ])
      expect((await texts()).length).toBeGreaterThan(0)
      now += DAY + 1
      await engine.upkeep.round()
      await append(['k', 'after'])
      expect([...engine.down()]).toEqual([])
      expect(await texts()).toEqual(['after'])
    })

    it('keeps some room on the disk for everybody else', async () => {
      await reopen({ upkeep: 'off', minDiskFreeBytes: Number.MAX_SAFE_INTEGER })
      await expect(create()).rejects.toThrow(/LOG_DOWN .* the disk has only \d+ bytes left/)
    })

    const fill = async (): Promise<void> => {
      for (let i = 0; i < 200; i++) {
        await append(['k', 'x'.repeat(50_000)])
        now += 1_000
      }
    }
  })
})

const toRecord = (key: string, value: string | null): NewRecord => ({
  topic: 'topic',
  key: Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
})
