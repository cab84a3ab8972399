import { describe, expect, it } from 'vitest'
import { type Epoch, type Offset, offset } from '../../../processors/app/units.ts'
import type {
  Engine,
  NewRecord,
  Publisher,
  RecordRun,
  Shard,
  Subscription,
  TopicPartition,
} from '../../../processors/engine/ports.ts'
import { bytes, eventually, Member, PATIENCE, type Patience, readCount, readNow, record } from './conditions.ts'

export interface EngineFixture {
  readonly engine: Engine
  /** Begins the name of every topic, group, publisher and subject; nothing that begins so exists yet. */
  readonly prefix: string
  close(): Promise<void>
}

/**
 * What the ports are for: events are counted by key, exactly once, while workers come, go and die. Each test opens an
 * engine of its own.
 */
export function describeEngine(name: string, open: () => Promise<EngineFixture>, patience: Patience = PATIENCE): void {
  describe(`${name}: engine`, { timeout: patience.testMs * 2 }, () => {
    const PARTITIONS = 3
    const names = (prefix: string): Names => ({
      input: `${prefix}events`,
      output: `${prefix}counts`,
      group: `${prefix}app.count`,
    })
    const create = async ({ engine, prefix }: EngineFixture): Promise<Names> => {
      const { input, output, group } = names(prefix)
      const specs = [input, output].map((topic) => ({ topic, partitions: PARTITIONS, cleanup: 'delete' as const }))
      expect(await engine.log.ensureTopics(specs)).toEqual([])
      return { input, output, group }
    }
    const events = (topic: string, count: number, first = 0): NewRecord[] =>
      Array.from({ length: count }, (_, i) => record(topic, `key ${(first + i) % 17}`, `event ${first + i}`))

    /** Every event has one output, with the count of its key in log order; states and positions agree with the log. */
    const check = async ({ engine }: EngineFixture, { input, output, group }: Names, count: number): Promise<void> => {
      let total = 0
      for (const { partition, end } of await engine.log.bounds(input)) {
        const source = { topic: input, partition }
        const counts = new Map<string, number>()
        const wanted: string[] = []
        for (const { key, value } of await readNow(engine.log, source, patience)) {
          const next = (counts.get(key!.toString()) ?? 0) + 1
          counts.set(key!.toString(), next)
          wanted.push(`${value} is number ${next}`)
        }
        total += wanted.length
        const found = await readCount(engine.log, { topic: output, partition }, 0, wanted.length, patience)
        expect(found.map((r) => r.value!.toString())).toEqual(wanted)
        const shard: Shard = { group, ...source }
        const states = await engine.store.load(shard, [...counts.keys()])
        expect(states.map((state) => state?.readUInt32LE())).toEqual([...counts.values()])
        await eventually('the outbox is empty', patience, async () => (await engine.store.outbox(shard)).length === 0)
        if (end > 0) expect(await engine.log.committed(group, source)).toBe(end)
        if (end > 0) expect((await engine.store.own(shard)).position).toBe(end)
      }
      expect(total).toBe(count)
    }

    it('says who it is and that nothing is down', async () => {
      const fixture = await open()
      try {
        expect(['embedded', 'kafka', 'simulated']).toContain(fixture.engine.name)
        expect([...fixture.engine.down()]).toEqual([])
      } finally {
        await fixture.close()
      }
    })

    it('counts every event once while events arrive and a worker is replaced', async () => {
      const fixture = await open()
      try {
        const at = await create(fixture)
        const { log } = fixture.engine
        await log.append(events(at.input, 300))
        const first = new Counter('first', fixture.engine, at)
        await first.run()
        await log.append(events(at.input, 300, 300))
        await first.reached(600, patience)
        await log.append(events(at.input, 200, 600))
        await first.stop()
        await log.append(events(at.input, 200, 800))
        const second = new Counter('second', fixture.engine, at)
        await second.run()
        await second.reached(1_000 - first.counted, patience)
        await second.stop()
        await check(fixture, at, 1_000)
      } finally {
        await fixture.close()
      }
    })

    it('counts every event once while a second worker joins and the first one leaves', async () => {
      const fixture = await open()
      try {
        const at = await create(fixture)
        const { log } = fixture.engine
        const [first, second] = [new Counter('first', fixture.engine, at), new Counter('second', fixture.engine, at)]
        await first.run()
        let sent = 0
        const send = async (count: number) => {
          await log.append(events(at.input, count, sent))
          sent += count
        }
        const all = (count: number) =>
          eventually(`${count} are counted`, patience, () => first.counted + second.counted === count)
        await send(200)
        await all(200)
        const joining = second.run()
        for (let i = 0; i < 5; i++) await send(40)
        await joining
        await eventually('both work', patience, () => first.member.owned.size > 0 && second.member.owned.size > 0)
        await send(200)
        await all(600)
        await first.stop()
        await send(200)
        await all(800)
        await second.stop()
        await check(fixture, at, 800)
      } finally {
        await fixture.close()
      }
    })

    it('counts every event once when a worker goes on after another one took its shards', async () => {
      const fixture = await open()
      try {
        const at = await create(fixture)
        const { log } = fixture.engine
        await log.append(events(at.input, 90))
        const zombie = new Counter('zombie', fixture.engine, at)
        const gate = Promise.withResolvers<void>()
        const held = Promise.withResolvers<void>()
        zombie.beforeApply = async () => {
          held.resolve()
          await gate.promise
        }
        await zombie.run()
        await held.promise
        // The runtime of a lost partition only stops; here another owner takes the shards while a batch is under way.
        for (let partition = 0; partition < PARTITIONS; partition++) {
          await fixture.engine.store.own({ group: at.group, topic: at.input, partition })
        }
        gate.resolve()
        await eventually('the zombie is refused', patience, () => zombie.fenced > 0)
        await zombie.stop()
        expect(zombie.counted).toBe(0)
        const next = new Counter('next', fixture.engine, at)
        await next.run()
        await next.reached(90, patience)
        await next.stop()
        await check(fixture, at, 90)
      } finally {
        await fixture.close()
      }
    })
  })
}

interface Names {
  readonly input: string
  readonly output: string
  readonly group: string
}

interface Owned {
  readonly epoch: Epoch
  readonly publisher: Publisher
}

/** The smallest worker that keeps the protocol: own, recover the outbox, start at the store's position, apply, publish, trim. */
class Counter {
  readonly member: Member
  readonly #engine: Engine
  readonly #names: Names
  readonly #owned = new Map<number, Owned>()
  /** Partitions given and not yet taken back, with the work under way for each: a revoke waits for it. */
  readonly #work = new Map<number, Promise<void>>()
  #subscription: Subscription | undefined
  /** Events that this worker applied. */
  counted = 0
  fenced = 0
  beforeApply: () => Promise<void> = async () => {}

  constructor(name: string, engine: Engine, names: Names) {
    this.#engine = engine
    this.#names = names
    this.member = new Member(name)
  }

  async run(): Promise<void> {
    const ready = Promise.withResolvers<Subscription>()
    this.member.onAssigned = (partitions) => {
      for (const source of partitions) {
        this.#work.set(source.partition, Promise.resolve())
        const taken = ready.promise.then((subscription) => {
          const taking = this.#take(source, subscription)
          if (this.#work.has(source.partition)) this.#work.set(source.partition, taking)
          return taking
        })
        taken.catch((error: Error) => this.member.failed(error))
      }
    }
    this.member.onRevoked = async (partitions) => {
      for (const { partition } of partitions) {
        const work = this.#work.get(partition)
        this.#work.delete(partition)
        await work?.catch(() => {})
        const owned = this.#owned.get(partition)
        this.#owned.delete(partition)
        await owned?.publisher.close()
      }
    }
    this.member.onDeliver = (run) => {
      const counted = this.#count(run)
      if (this.#work.has(run.partition)) this.#work.set(run.partition, counted)
      return counted
    }
    this.#subscription = await this.#engine.log.subscribe(this.#names.group, [this.#names.input], this.member)
    ready.resolve(this.#subscription)
  }

  async reached(count: number, patience: Patience): Promise<void> {
    await eventually(`${this.member.name} counted ${count}`, patience, () => {
      if (this.member.failures[0]) throw this.member.failures[0]
      return this.counted >= count
    })
  }

  async stop(): Promise<void> {
    await this.#subscription?.close()
    expect(this.member.failures).toEqual([])
  }

  async #take(source: TopicPartition, subscription: Subscription): Promise<void> {
    if (!this.#work.has(source.partition)) return
    const shard = this.#shard(source.partition)
    const { epoch } = await this.#engine.store.own(shard)
    const publisher = await this.#engine.log.publisher(`${shard.group}-${shard.partition}`)
    // Only now, when both the store and the log refuse the previous owner, is the position final.
    const { position, epoch: sure } = await this.#engine.store.own(shard)
    expect(sure).toBeGreaterThan(epoch)
    const owned = { epoch: sure, publisher }
    this.#owned.set(source.partition, owned)
    await this.#publish(shard, owned)
    if (this.#work.has(source.partition)) await subscription.start(source, position ?? offset(0))
  }

  async #count(run: RecordRun): Promise<void> {
    const owned = this.#owned.get(run.partition)
    if (!owned) return
    const shard = this.#shard(run.partition)
    const keys = [...new Set(run.records.map((r) => r.key!.toString()))]
    const states = await this.#engine.store.load(shard, keys)
    const counts = new Map(keys.map((key, i) => [key, states[i]?.readUInt32LE() ?? 0]))
    const outputs: NewRecord[] = run.records.map((r) => {
      const key = r.key!.toString()
      const next = counts.get(key)! + 1
      counts.set(key, next)
      return { topic: this.#names.output, key: r.key, value: bytes(`${r.value} is number ${next}`) }
    })
    const packed = new Map([...counts].map(([key, count]) => [key, uint32(count)]))
    await this.beforeApply()
    const { from, to } = run
    const applied = await this.#engine.store.apply(shard, owned.epoch, { from, to, states: packed, outputs })
    if (applied.kind === 'fenced') {
      this.fenced++
      return
    }
    expect(applied).toMatchObject({ kind: 'applied', position: to })
    this.counted += run.records.length
    if (applied.kind === 'applied' && !applied.published) await this.#publish(shard, owned)
  }

  async #publish(shard: Shard, { epoch, publisher }: Owned): Promise<void> {
    const entries = await this.#engine.store.outbox(shard)
    const position: Offset | undefined = entries.at(-1)?.to
    if (position === undefined) return
    await publisher.publish(
      entries.flatMap((entry) => entry.records),
      { ...shard, position },
    )
    await this.#engine.store.trim(shard, epoch, position)
  }

  #shard(partition: number): Shard {
    return { group: this.#names.group, topic: this.#names.input, partition }
  }
}

function uint32(value: number): Buffer {
  const packed = Buffer.alloc(4)
  packed.writeUInt32LE(value)
  return packed
}
