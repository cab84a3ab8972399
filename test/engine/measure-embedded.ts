/**
 * Costs of the embedded engine, as docs/decisions/003 gives them: `node test/engine/measure-embedded.ts [rounds]`.
 * CPU time of the main thread and of the whole process for each event; best on a quiet machine.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../processors/app/system-clock.ts'
import { type Epoch, offset } from '../../processors/app/units.ts'
import { openEmbedded } from '../../processors/engine/embedded/engine.ts'
import type { NewRecord, RecordRun, Shard, Subscription, TopicPartition } from '../../processors/engine/ports.ts'

const PARTITIONS = 4
const BATCH = 512
const STATES = 300
const PROFILES = 100_000
const VARIANTS = 16
const rounds = Number(process.argv[2] ?? 400)

const dir = await mkdtemp(join(tmpdir(), 'rtml-measure-'))
const engine = await openEmbedded({ dir, clock: systemClock })
const { log, store } = engine
await log.ensureTopics(
  ['in', 'next', 'out'].map((topic) => ({ topic, partitions: PARTITIONS, cleanup: 'delete' as const })),
)

const value = Buffer.alloc(200, 'a')
const state = Buffer.alloc(250, 1)
const profiles = shuffled(Array.from({ length: PROFILES }, (_, i) => `ECID:${String(i).padStart(24, '0')}`))
const recordsOf = (topic: string, variant: number): NewRecord[] =>
  Array.from({ length: BATCH }, (_, i) => ({
    topic,
    key: Buffer.from(profiles[(variant * BATCH + i) % PROFILES]!),
    value,
    partition: variant % PARTITIONS,
  }))
/** Every profile is in one of these maps; map i is of partition i % PARTITIONS. */
const states = Array.from({ length: Math.floor(PROFILES / STATES / PARTITIONS) * PARTITIONS }, (_, i) => {
  const keys = profiles.slice(i * STATES, (i + 1) * STATES)
  return new Map(keys.map((key) => [key, state]))
})
const variants = Array.from({ length: VARIANTS }, (_, i) => i)
const [inputs, outputs] = [variants.map((i) => recordsOf('in', i)), variants.map((i) => recordsOf('out', i))]
const each = async (what: (partition: number, round: number) => Promise<unknown>) => {
  const run = async (_: unknown, partition: number) => {
    for (let round = 0; round < rounds / PARTITIONS; round++) await what(partition, round)
  }
  await Promise.all(Array.from({ length: PARTITIONS }).map(run))
}

async function measure(name: string, events: number, run: () => Promise<unknown>): Promise<void> {
  const [main, all, start] = [process.threadCpuUsage(), process.cpuUsage(), performance.now()]
  await run()
  const wallMs = performance.now() - start
  const perEvent = ({ user, system }: NodeJS.CpuUsage) => `${((user + system) / events).toFixed(2)} µs/event`
  const cpu = `main ${perEvent(process.threadCpuUsage(main))}, process ${perEvent(process.cpuUsage(all))}`
  console.log(`${name.padEnd(26)} ${String(Math.round((events / wallMs) * 1_000)).padStart(9)} events/s, ${cpu}`)
}

const events = rounds * BATCH
const owned: { shard: Shard; epoch: Epoch; at: number }[] = []
for (let partition = 0; partition < PARTITIONS; partition++) {
  const shard = { group: 'measure', topic: 'in', partition }
  owned.push({ shard, epoch: (await store.own(shard)).epoch, at: 0 })
}

await measure('append', events, () =>
  each((partition, round) => log.append(inputs[(round * PARTITIONS + partition) % VARIANTS]!)),
)
const bounds = await log.bounds('in')
await measure('read', events, async () => {
  let records = 0
  for (const { topic, partition, end } of bounds) {
    for await (const run of log.read({ topic, partition }, offset(0), { until: end })) records += run.records.length
  }
  if (records !== events) throw new Error(`${records} of ${events} records were read`)
})
for (const [i, _] of states.entries()) await applyNext(i % PARTITIONS, i) // every profile has a state from here on
await measure('apply', events, () => each((partition, round) => applyNext(partition, round * PARTITIONS + partition)))
await measure('load', events, () =>
  each((partition, round) =>
    store.load(owned[partition]!.shard, [...states[(round * PARTITIONS + partition) % states.length]!.keys()]),
  ),
)
await measure('append + deliver + apply', events, together)
await engine[Symbol.asyncDispose]()
await rm(dir, { recursive: true })

async function applyNext(partition: number, variant: number): Promise<void> {
  const own = owned[partition]!
  await apply(own.shard, own.epoch, own.at, own.at + BATCH, variant)
  own.at += BATCH
}

async function apply(shard: Shard, epoch: Epoch, from: number, to: number, variant: number): Promise<void> {
  const applied = await store.apply(shard, epoch, {
    from: offset(from),
    to: offset(to),
    states: states[variant % states.length]!,
    outputs: outputs[variant % VARIANTS]!,
  })
  if (applied.kind !== 'applied') throw new Error(applied.kind)
}

/** Appends to one topic while a subscriber applies what it is given. */
async function together(): Promise<void> {
  const epochs = new Map<number, Epoch>()
  const ready = Promise.withResolvers<Subscription>()
  const done = Promise.withResolvers<void>()
  let seen = 0
  const rounds = new Array<number>(PARTITIONS).fill(0)
  const start = async (source: TopicPartition) => {
    epochs.set(source.partition, (await store.own({ group: 'together', ...source })).epoch)
    await (await ready.promise).start(source, offset(0))
  }
  const subscription = await log.subscribe('together', ['next'], {
    assigned: (partitions) => void Promise.all(partitions.map(start)).catch(done.reject),
    revoked: async () => {},
    failed: done.reject,
    deliver: async ({ topic, partition, from, to, records }: RecordRun) => {
      const variant = rounds[partition]!++ * PARTITIONS + partition
      await apply({ group: 'together', topic, partition }, epochs.get(partition)!, from, to, variant)
      seen += records.length
      if (seen === events) done.resolve()
    },
  })
  ready.resolve(subscription)
  const appended = each((partition, round) =>
    log.append(inputs[(round * PARTITIONS + partition) % VARIANTS]!.map((record) => ({ ...record, topic: 'next' }))),
  )
  await Promise.all([appended, done.promise])
  await subscription.close()
}

/** The same order each time, unlike the order of keys. */
function shuffled<T>(list: T[]): T[] {
  let seed = 1
  for (let i = list.length - 1; i > 0; i--) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    const j = seed % (i + 1)
    ;[list[i], list[j]] = [list[j]!, list[i]!]
  }
  return list
}
