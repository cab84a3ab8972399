import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RtmlError } from '../../../processors/app/errors.ts'
import { ms, type Offset, offset } from '../../../processors/app/units.ts'
import { partitionOf } from '../../../processors/engine/murmur2.ts'
import type { Log, NewRecord, TopicPartition, TopicSpec } from '../../../processors/engine/ports.ts'
import {
  bytes,
  eventually,
  expectChain,
  join,
  Member,
  PATIENCE,
  type Patience,
  plain,
  readCount,
  readNow,
  readRuns,
  record,
  values,
  within,
} from './conditions.ts'
import { JAVA_MURMUR2 } from './java-murmur2.ts'

export interface LogFixture {
  readonly log: Log
  /** Begins the name of every topic, group and publisher; nothing that begins so exists yet. */
  readonly prefix: string
  /** Deletes the records below `before`, as retention does in time. */
  truncate(source: TopicPartition, before: Offset): Promise<void>
  close(): Promise<void>
}

/** The contract of `Log`. `open` is called once; each test uses topics of its own. */
export function describeLog(name: string, open: () => Promise<LogFixture>, patience: Patience = PATIENCE): void {
  describe(`${name}: log`, { timeout: patience.testMs }, () => {
    let fixture: LogFixture
    let log: Log
    let made = 0
    beforeAll(async () => {
      fixture = await open()
      log = fixture.log
    }, patience.testMs * 2)
    afterAll(() => fixture?.close(), patience.testMs * 2)

    const named = (what: string) => `${fixture.prefix}${what}-${made++}`
    const createTopic = async (partitions: number, rest: Partial<TopicSpec> = {}): Promise<string> => {
      const topic = named('topic')
      expect(await log.ensureTopics([{ topic, partitions, cleanup: 'delete', ...rest }])).toEqual([])
      return topic
    }
    const at = (topic: string, partition = 0): TopicPartition => ({ topic, partition })
    const append = (topic: string, count: number, partition = 0, first = 0): Promise<void> =>
      log.append(numbered(topic, count, partition, first))

    describe('topics', () => {
      it('creates topics once, however often it is asked', async () => {
        const specs: TopicSpec[] = [
          { topic: named('a'), partitions: 3, cleanup: 'delete', retentionMs: ms(604_800_000) },
          { topic: named('b'), partitions: 1, cleanup: 'compact' },
          { topic: named('c'), partitions: 2, cleanup: 'compact+delete', retentionMs: ms(86_400_000) },
        ]
        expect(await log.ensureTopics(specs)).toEqual([])
        expect(await log.ensureTopics(specs)).toEqual([])
        const topics = await log.topics()
        expect(topics).toEqual([...topics].sort())
        for (const { topic, partitions } of specs) {
          expect(topics).toContain(topic)
          const bounds = await log.bounds(topic)
          expect(bounds).toEqual(
            Array.from({ length: partitions }, (_, partition) => ({ topic, partition, start: 0, end: 0 })),
          )
        }
      })

      it('reports another number of partitions as fatal and changes nothing', async () => {
        const topic = await createTopic(2)
        const problems = await log.ensureTopics([{ topic, partitions: 4, cleanup: 'delete' }])
        expect(problems).toEqual([{ topic, setting: 'partitions', wanted: '4', found: '2', fatal: true }])
        expect(await log.bounds(topic)).toHaveLength(2)
      })

      it('reports other settings that differ', async () => {
        const topic = await createTopic(1, { retentionMs: ms(3_600_000) })
        const retention = await log.ensureTopics([
          { topic, partitions: 1, cleanup: 'delete', retentionMs: ms(7_200_000) },
        ])
        expect(retention).toMatchObject([{ topic, wanted: '7200000', found: '3600000', fatal: false }])
        const cleanup = await log.ensureTopics([
          { topic, partitions: 1, cleanup: 'compact', retentionMs: ms(3_600_000) },
        ])
        expect(cleanup).toHaveLength(1)
        expect(cleanup[0]?.topic).toBe(topic)
      })

      it('has no bounds for a topic that does not exist', async () => {
        expect(await log.bounds(named('absent'))).toEqual([])
      })
    })

    describe('append and read', () => {
      it('keeps the order of a partition over many appends', async () => {
        const topic = await createTopic(2)
        for (let i = 0; i < 10; i++) await append(topic, 50, 0, i * 50)
        await append(topic, 5, 1)
        expect(values(await readNow(log, at(topic, 0), patience))).toEqual(range(0, 500))
        expect(values(await readNow(log, at(topic, 1), patience))).toEqual(range(0, 5))
        const bounds = await log.bounds(topic)
        expect(bounds.map((b) => b.end - b.start)).toEqual([500, 5])
      })

      it('puts a key into the partition that the Java client chooses', async () => {
        const topic = await createTopic(5)
        const keys = JAVA_MURMUR2.map(([key]) => key)
        await log.append(keys.map((key) => record(topic, key, key)))
        for (let partition = 0; partition < 5; partition++) {
          const expected = JAVA_MURMUR2.filter(([, hash]) => (hash & 0x7fffffff) % 5 === partition)
          const found = values(await readNow(log, at(topic, partition), patience))
          expect(found).toEqual(expected.map(([key]) => key))
        }
      })

      it('puts equal keys into one partition, whatever their bytes', async () => {
        const topic = await createTopic(5)
        const keys = ['', 'a', 'ECID:0001', 'ключ', '\u0000', 'x'.repeat(999)]
        for (let i = 0; i < 2; i++) await log.append(keys.map((key) => record(topic, key, key)))
        for (let partition = 0; partition < 5; partition++) {
          const expected = keys.filter((key) => partitionOf(bytes(key), 5) === partition)
          expect(values(await readNow(log, at(topic, partition), patience))).toEqual([...expected, ...expected])
        }
      })

      it('takes a partition that the record names', async () => {
        const topic = await createTopic(3)
        await log.append([record(topic, 'k', 'x', 2), record(topic, 'k', 'y', 0), record(topic, 'k', 'z', 2)])
        expect(values(await readNow(log, at(topic, 0), patience))).toEqual(['y'])
        expect(values(await readNow(log, at(topic, 1), patience))).toEqual([])
        expect(values(await readNow(log, at(topic, 2), patience))).toEqual(['x', 'z'])
      })

      it('keeps a null key, a null value, empty ones and headers apart', async () => {
        const topic = await createTopic(1)
        const records: NewRecord[] = [
          { topic, key: null, value: bytes('v'), headers: {} },
          { topic, key: bytes('k'), value: null, headers: { reason: bytes('tombstone') } },
          { topic, key: Buffer.alloc(0), value: Buffer.alloc(0), headers: { empty: Buffer.alloc(0), ünï: bytes('ö') } },
          { topic, key: null, value: null },
        ]
        await log.append(records)
        expect((await readNow(log, at(topic), patience)).map(plain)).toEqual(records.map(plain))
      })

      it('is safe for any bytes in key, value and headers', async () => {
        const topic = await createTopic(1)
        const every = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
        const records = [{ topic, key: every, value: Buffer.concat([every, every]), headers: { bin: every } }]
        await log.append(records)
        expect((await readNow(log, at(topic), patience)).map(plain)).toEqual(records.map(plain))
      })

      it('keeps big records beside small ones', async () => {
        const topic = await createTopic(1)
        const big = Buffer.alloc(900_000, 7)
        await log.append([record(topic, 'a', 'before')])
        await log.append([{ topic, key: bytes('b'), value: big }])
        await log.append([record(topic, 'c', 'after')])
        const read = await readNow(log, at(topic), patience)
        expect(read.map((r) => r.key?.toString())).toEqual(['a', 'b', 'c'])
        expect(read[1]?.value?.equals(big)).toBe(true)
      })

      it('stamps records with times that do not fall', async () => {
        const topic = await createTopic(1)
        for (let i = 0; i < 3; i++) await append(topic, 2)
        const times = (await readNow(log, at(topic), patience)).map((r) => r.timestamp)
        expect(times).toEqual([...times].sort((a, b) => a - b))
        expect(times.every((time) => Number.isSafeInteger(time))).toBe(true)
      })

      it('accepts an empty append', async () => {
        await log.append([])
      })

      it('reads in chained runs from any offset up to `until`', async () => {
        const topic = await createTopic(1)
        for (let i = 0; i < 6; i++) await append(topic, 500, 0, i * 500)
        for (const [from, until] of [
          [0, 3_000],
          [0, 1],
          [499, 501],
          [1_250, 2_750],
          [2_999, 3_000],
          [700, 700],
        ] as const) {
          const runs = await readRuns(log, at(topic), from, until, patience)
          expect(values(runs.flatMap((run) => run.records))).toEqual(range(from, until))
        }
      })

      it('follows the log up to an `until` that is not yet written', async () => {
        const topic = await createTopic(1)
        await append(topic, 3)
        const reading = readRuns(log, at(topic), 1, 5, patience)
        await append(topic, 4, 0, 3)
        expect(values((await reading).flatMap((run) => run.records))).toEqual(['1', '2', '3', '4'])
      })

      it('follows the log until it is told to stop, and ends without an error', async () => {
        const topic = await createTopic(1)
        const stop = new AbortController()
        const seen: (string | null)[] = []
        const reading = (async () => {
          for await (const run of log.read(at(topic), offset(0), { signal: stop.signal }))
            seen.push(...values(run.records))
        })()
        await append(topic, 2)
        await eventually('two records are read', patience, () => seen.length === 2)
        await append(topic, 2, 0, 2)
        await eventually('four records are read', patience, () => seen.length === 4)
        stop.abort()
        await within('the read ends', patience, reading)
        expect(seen).toEqual(range(0, 4))
      })

      it('reads nothing with a signal that is already aborted', async () => {
        const topic = await createTopic(1)
        const reading = (async () => {
          for await (const _ of log.read(at(topic), offset(0), { signal: AbortSignal.abort() }))
            throw new Error('a run')
        })()
        await within('the read ends', patience, reading)
      })

      it('refuses to read below the start of the log', async () => {
        const topic = await createTopic(1)
        for (let i = 0; i < 4; i++) await append(topic, 10, 0, i * 10)
        await fixture.truncate(at(topic), offset(25))
        const [bounds] = await log.bounds(topic)
        expect(bounds).toEqual({ topic, partition: 0, start: 25, end: 40 })
        await expect(readRuns(log, at(topic), 24, 40, patience)).rejects.toMatchObject({ code: 'LOG_TRUNCATED' })
        expect(values(await readNow(log, at(topic), patience))).toEqual(range(25, 40))
      })
    })

    describe('groups', () => {
      it('delivers nothing before start, then everything from the position', async () => {
        const topic = await createTopic(2)
        await append(topic, 10, 0)
        await append(topic, 10, 1)
        const member = new Member('one')
        const subscription = await log.subscribe(named('group'), [topic], member)
        await eventually('both partitions are assigned', patience, () => member.owned.size === 2)
        expect(member.runs).toEqual([])
        await subscription.start(at(topic, 1), offset(4))
        await eventually('partition 1 is delivered', patience, () => member.records(1).length === 6)
        expect(member.records(0)).toEqual([])
        await subscription.start(at(topic, 0), offset(0))
        await eventually('partition 0 is delivered', patience, () => member.records(0).length === 10)
        await append(topic, 3, 0, 10)
        await eventually('what is appended later is delivered', patience, () => member.records(0).length === 13)
        await subscription.close()
        expect(values(member.records(0))).toEqual(range(0, 13))
        expect(values(member.records(1))).toEqual(range(4, 10))
        expectChain(
          member.runs.filter((run) => run.partition === 0),
          at(topic, 0),
          0,
        )
        expectChain(
          member.runs.filter((run) => run.partition === 1),
          at(topic, 1),
          4,
        )
        expect(member.failures).toEqual([])
      })

      it('restarts a partition at an earlier position', async () => {
        const topic = await createTopic(1)
        await append(topic, 8)
        const member = new Member('one')
        const subscription = await join(log, named('group'), topic, member)
        await eventually('all is delivered', patience, () => member.records().length === 8)
        const before = member.runs.length
        await subscription.start(at(topic), offset(5))
        await eventually('the tail is delivered again', patience, () => member.records().length === 11)
        const again = member.runs.slice(before)
        expectChain(again, at(topic), 5)
        expect(values(again.flatMap((run) => run.records))).toEqual(range(5, 8))
        await subscription.close()
      })

      it('goes on at the new position when it is restarted while a run is being delivered', async () => {
        const topic = await createTopic(1)
        await append(topic, 8)
        const gate = Promise.withResolvers<void>()
        const member = new Member('one')
        member.onDeliver = () => gate.promise
        const subscription = await join(log, named('group'), topic, member)
        await eventually('a run is being delivered', patience, () => member.runs.length === 1)
        const restarted = subscription.start(at(topic), offset(2))
        gate.resolve()
        await restarted
        await eventually(
          'the rest is delivered again',
          patience,
          () => member.runs.at(-1)?.to === 8 && member.runs.length > 1,
        )
        expect(member.overlap).toBe(1)
        expectChain(member.runs.slice(1), at(topic), 2)
        expect(values(member.runs.slice(1).flatMap((run) => run.records))).toEqual(range(2, 8))
        await subscription.close()
      })

      it('refuses to start below the start of the log', async () => {
        const topic = await createTopic(1)
        await append(topic, 10)
        await fixture.truncate(at(topic), offset(5))
        const member = new Member('one')
        const subscription = await log.subscribe(named('group'), [topic], member)
        await eventually('the partition is assigned', patience, () => member.owned.has(0))
        await expect(subscription.start(at(topic), offset(4))).rejects.toMatchObject({ code: 'LOG_TRUNCATED' })
        await subscription.start(at(topic), offset(5))
        await eventually('the rest is delivered', patience, () => member.records().length === 5)
        await subscription.close()
      })

      it('delivers one run of a partition at a time', async () => {
        const topic = await createTopic(1)
        await append(topic, 1)
        const gate = Promise.withResolvers<void>()
        const slow = new Member('slow')
        slow.onDeliver = () => gate.promise
        const fast = new Member('fast')
        const slowSubscription = await join(log, named('slow'), topic, slow)
        const fastSubscription = await join(log, named('fast'), topic, fast)
        await eventually('the first run arrives', patience, () => slow.records().length > 0)
        const first = slow.runs.length
        for (let i = 1; i <= 20; i++) await append(topic, 50, 0, 1 + (i - 1) * 50)
        await eventually('another group has read on', patience, () => fast.records().length === 1_001)
        expect(slow.runs.length).toBe(first)
        gate.resolve()
        await eventually('the held group follows', patience, () => slow.records().length === 1_001)
        expect([slow.overlap, fast.overlap]).toEqual([1, 1])
        for (const member of [slow, fast]) {
          expectChain(member.runs, at(topic), 0)
          expect(values(member.records())).toEqual(range(0, 1_001))
        }
        await slowSubscription.close()
        await fastSubscription.close()
      })

      it('takes everything back on close and delivers no more', async () => {
        const topic = await createTopic(2)
        await append(topic, 5, 0)
        await append(topic, 5, 1)
        const member = new Member('one')
        const revoked: number[] = []
        member.onRevoked = async (partitions, { lost }) => {
          expect(lost).toBe(false)
          revoked.push(...partitions.map((p) => p.partition))
        }
        const subscription = await join(log, named('group'), topic, member)
        await eventually('all is delivered', patience, () => member.records().length === 10)
        await subscription.close()
        expect(revoked.sort()).toEqual([0, 1])
        expect(member.owned.size).toBe(0)
        const other = new Member('other')
        const watch = await join(log, named('watch'), topic, other)
        await append(topic, 5, 0, 5)
        await eventually('another group reads on', patience, () => other.records(0).length === 10)
        expect(member.records()).toHaveLength(10)
        await watch.close()
      })

      it('shares partitions between two members and hands them over when one leaves', async () => {
        const [topic, drains] = [await createTopic(4), await createTopic(1)]
        const group = named('group')
        const positions = [0, 0, 0, 0]
        const story: string[] = []
        const member = (name: string) => {
          const made = new Member(name)
          made.onAssigned = (partitions) => {
            for (const { partition } of partitions) story.push(`${name}+${partition}`)
          }
          made.onRevoked = async (partitions, { lost }) => {
            await log.append([record(drains, name, 'a take-over must wait for the drain')])
            for (const { partition } of partitions) story.push(`${name}${lost ? '!' : '-'}${partition}`)
          }
          made.onDeliver = async (run) => {
            positions[run.partition] = Math.max(positions[run.partition]!, run.to)
          }
          return made
        }
        const appendAll = (first: number) =>
          log.append([0, 1, 2, 3].flatMap((partition) => numbered(topic, 10, partition, first)))
        const [a, b] = [member('a'), member('b')]
        const distinct = () => new Set([...a.records(), ...b.records()].map((r) => `${r.partition}:${r.value}`)).size

        const first = await join(log, group, topic, a, (partition) => positions[partition]!)
        await eventually('one member owns all', patience, () => a.owned.size === 4)
        await appendAll(0)
        await eventually('it is delivered all', patience, () => a.records().length === 40)

        const second = await join(log, group, topic, b, (partition) => positions[partition]!)
        await eventually('both own partitions', patience, () => a.owned.size === 2 && b.owned.size === 2)
        expect([...a.owned, ...b.owned].sort()).toEqual([0, 1, 2, 3])
        await appendAll(10)
        await eventually('each partition reaches a member', patience, () => distinct() === 80)
        expect(b.records().length).toBeGreaterThan(0)

        await first.close()
        await eventually('the other owns all', patience, () => b.owned.size === 4)
        await appendAll(20)
        await eventually('it is delivered all', patience, () => distinct() === 120)
        await second.close()
        expectSingleOwner(story)
        expect([...a.failures, ...b.failures]).toEqual([])
      })
    })

    describe('publishers', () => {
      it('knows no position before the first commit', async () => {
        const topic = await createTopic(1)
        expect(await log.committed(named('group'), at(topic))).toBeUndefined()
      })

      it('publishes records together with the position of the group', async () => {
        const [input, output] = [await createTopic(2), await createTopic(2)]
        const group = named('group')
        const publisher = await log.publisher(named('publisher'))
        const records = [...numbered(output, 20, 0), ...numbered(output, 30, 1)]
        await publisher.publish(records, { group, ...at(input, 1), position: offset(7) })
        expect(await log.committed(group, at(input, 1))).toBe(7)
        expect(await log.committed(group, at(input, 0))).toBeUndefined()
        expect(await log.committed(named('other'), at(input, 1))).toBeUndefined()
        expect(values(await readCount(log, at(output, 0), 0, 20, patience))).toEqual(range(0, 20))
        expect(values(await readCount(log, at(output, 1), 0, 30, patience))).toEqual(range(0, 30))
        await publisher.publish([], { group, ...at(input, 1), position: offset(9) })
        expect(await log.committed(group, at(input, 1))).toBe(9)
        await publisher.close()
      })

      it('keeps order and chain over many transactions, mixed with plain appends', async () => {
        const [input, output] = [await createTopic(1), await createTopic(1)]
        const group = named('group')
        const publisher = await log.publisher(named('publisher'))
        for (let i = 0; i < 10; i++) {
          const commit = { group, ...at(input), position: offset(i + 1) }
          await publisher.publish(numbered(output, 5, 0, i * 10), commit)
          await append(output, 5, 0, i * 10 + 5)
        }
        await publisher.close()
        expect(values(await readCount(log, at(output), 0, 100, patience))).toEqual(range(0, 100))
        const [bounds] = await log.bounds(output)
        const runs = await readRuns(log, at(output), 0, bounds!.end, patience)
        expect(values(runs.flatMap((run) => run.records))).toEqual(range(0, 100))
      })

      it('fences the older publisher with the same id, which then publishes nothing', async () => {
        const [input, output] = [await createTopic(1), await createTopic(2)]
        const [group, id] = [named('group'), named('publisher')]
        const older = await log.publisher(id)
        await older.publish(numbered(output, 2, 0), { group, ...at(input), position: offset(2) })
        const other = await log.publisher(named('publisher'))
        const newer = await log.publisher(id)
        const late = older.publish([...numbered(output, 9, 0, 900), ...numbered(output, 9, 1, 900)], {
          group,
          ...at(input),
          position: offset(99),
        })
        await expect(late).rejects.toBeInstanceOf(RtmlError)
        await expect(late).rejects.toMatchObject({ code: 'FENCED' })
        await expect(older.publish([], { group, ...at(input), position: offset(99) })).rejects.toMatchObject({
          code: 'FENCED',
        })
        expect(await log.committed(group, at(input))).toBe(2)
        await newer.publish(numbered(output, 2, 0, 2), { group, ...at(input), position: offset(4) })
        await other.publish(numbered(output, 2, 0, 4), { group, ...at(input), position: offset(6) })
        expect(values(await readCount(log, at(output, 0), 0, 6, patience))).toEqual(range(0, 6))
        expect(values(await readNow(log, at(output, 1), patience))).toEqual([])
        expect(await log.committed(group, at(input))).toBe(6)
        for (const publisher of [older, newer, other]) await publisher.close()
      })

      it('publishes all of a batch or nothing', async () => {
        const [input, output] = [await createTopic(1), await createTopic(2)]
        const group = named('group')
        const publisher = await log.publisher(named('publisher'))
        const absent = record(output, 'k', 'to a partition that does not exist', 77)
        const failing = publisher.publish([...numbered(output, 5, 0, 900), absent], {
          group,
          ...at(input),
          position: offset(5),
        })
        await expect(within('the publish fails', patience, failing)).rejects.toThrow()
        expect(await log.committed(group, at(input))).toBeUndefined()
        await publisher.close()
        const next = await log.publisher(named('publisher'))
        await next.publish(numbered(output, 5, 0), { group, ...at(input), position: offset(5) })
        await next.close()
        expect(values(await readCount(log, at(output, 0), 0, 5, patience))).toEqual(range(0, 5))
        expect(values(await readNow(log, at(output, 0), patience))).toEqual(range(0, 5))
        expect(await log.committed(group, at(input))).toBe(5)
      })

      it('shows readers and groups only what was committed, in order', async () => {
        const [input, output] = [await createTopic(1), await createTopic(1)]
        const [group, id] = [named('group'), named('publisher')]
        const member = new Member('reader')
        const subscription = await join(log, named('readers'), output, member)
        let publisher = await log.publisher(id)
        for (let i = 0; i < 6; i++) {
          const zombie = publisher
          publisher = await log.publisher(id)
          const commit = { group, ...at(input), position: offset(i + 1) }
          await expect(zombie.publish(numbered(output, 4, 0, 900), commit)).rejects.toMatchObject({ code: 'FENCED' })
          await publisher.publish(numbered(output, 4, 0, i * 4), commit)
        }
        await eventually('all is delivered', patience, () => member.records().length >= 24)
        await subscription.close()
        await publisher.close()
        expect(values(member.records())).toEqual(range(0, 24))
        expectChain(member.runs, at(output), 0)
      })
    })
  })
}

const range = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => String(from + i))

const numbered = (topic: string, count: number, partition: number, first = 0): NewRecord[] =>
  range(first, first + count).map((value) => record(topic, `k${value}`, value, partition))

/** `a+0` = given to a, `a-0` = taken from a after its drain, `a!0` = lost: nobody is given what another still drains. */
function expectSingleOwner(story: readonly string[]): void {
  const owner = new Map<string, string>()
  for (const step of story) {
    const [, name, what, partition] = /^(\w)([+!-])(\d)$/.exec(step)!
    if (what === '+') {
      expect(owner.get(partition!), `${step} in ${story.join(' ')}`).toBeUndefined()
      owner.set(partition!, name!)
    } else {
      expect(owner.get(partition!), `${step} in ${story.join(' ')}`).toBe(name)
      owner.delete(partition!)
    }
  }
}
