/** Append → score readable: one side appends at a pace and notes when, the other follows the scores and notes when. */
import type { Engine, NewRecord, PartitionBounds } from '../../../processors/engine/ports.ts'
import type { PartOptions } from './children.ts'
import { newRecord, topicOf } from './engine.ts'
import { generate } from './generate.ts'
import { JOB, type RawClick } from './job.ts'

/** Instants by event id, milliseconds of the wall clock with fractions. */
export interface Instants {
  readonly ids: readonly string[]
  readonly at: Float64Array
}

const now = (): number => performance.timeOrigin + performance.now()

const TICK_MS = 2

/** Appends the job's records at `rate` a second. An event's instant is the call of its append: the earliest possible. */
export async function produce(engine: Engine, options: PartOptions & { rate: number }): Promise<Instants> {
  const topic = topicOf(options, JOB.topic)
  const ids: string[] = []
  const at = new Float64Array(options.events)
  const records: NewRecord[] = []
  const eventIds: string[] = []
  // Made before, so that making them isn't part of the pace.
  for (const record of generate(options)) {
    records.push(newRecord(topic, record))
    eventIds.push((JSON.parse(record.json) as RawClick).id)
  }
  let failure: unknown
  const startedAt = performance.now()
  let next = 0
  while (next < records.length && failure === undefined) {
    const due = Math.min(records.length, Math.ceil(((performance.now() - startedAt) / 1_000) * options.rate))
    if (due > next) {
      at.fill(now(), next, due)
      for (let index = next; index < due; index++) ids.push(eventIds[index]!)
      engine.log.append(records.slice(next, due)).catch((error: unknown) => {
        failure = error
      })
      next = due
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS))
  }
  if (failure !== undefined) throw failure
  return { ids, at }
}

/** Avro writes the event's id first: its length (zigzag, one byte below 64), then its bytes. */
const ID_AT = 6

/** Follows `profile.scores` from its end of now on until `signal` aborts. `ready` is called when it listens. */
export async function follow(
  engine: Engine,
  options: PartOptions,
  { signal, ready }: { signal: AbortSignal; ready: () => void },
): Promise<Instants> {
  const topic = topicOf(options, 'profile.scores')
  const ids: string[] = []
  const at: number[] = []
  const followOne = async ({ partition, end }: PartitionBounds) => {
    for await (const { records } of engine.log.read({ topic, partition }, end, { signal })) {
      const instant = now()
      for (const { value } of records) {
        ids.push(value!.toString('latin1', ID_AT, ID_AT + value![ID_AT - 1]! / 2))
        at.push(instant)
      }
    }
  }
  const bounds = await engine.log.bounds(topic)
  const following = bounds.map(followOne)
  ready()
  await Promise.all(following)
  return { ids, at: Float64Array.from(at) }
}

export interface Latency {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
  /** Events that the figures are of. */
  readonly events: number
  /** Events that nobody saw a score of. */
  readonly missing: number
}

/** @param skipMs events of the first so many milliseconds don't count: code is being compiled, caches are empty */
export function latencyOf(produced: Instants, followed: Instants, skipMs: number): Latency {
  const seen = new Map(followed.ids.map((id, index) => [id, followed.at[index]!]))
  const first = (produced.at[0] ?? 0) + skipMs
  const latencies: number[] = []
  const counted = new Set<string>()
  let missing = 0
  for (const [index, id] of produced.ids.entries()) {
    const appended = produced.at[index]!
    // A repetition has no score of its own.
    if (appended < first || counted.has(id)) continue
    counted.add(id)
    const readable = seen.get(id)
    if (readable === undefined) missing++
    else latencies.push(readable - appended)
  }
  const sorted = Float64Array.from(latencies).sort()
  const quantile = (q: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
  return {
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    p999Ms: quantile(0.999),
    maxMs: quantile(1),
    events: sorted.length,
    missing,
  }
}
