import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import { type Offset, offset } from '../../../processors/app/units.ts'
import type {
  Headers,
  Log,
  LogRecord,
  NewRecord,
  RecordRun,
  Subscriber,
  Subscription,
  TopicPartition,
} from '../../../processors/engine/ports.ts'

/** How long the suite waits. An engine that talks to servers on a busy machine gets larger ones. */
export interface Patience {
  /** For one condition to become true. */
  readonly deadlineMs: number
  /** For one test. */
  readonly testMs: number
}

export const PATIENCE: Patience = { deadlineMs: 10_000, testMs: 30_000 }

const POLL_MS = 5

/** The first value of `check` that isn't undefined or false. @throws when there is none within the deadline */
export async function eventually<T>(
  what: string,
  { deadlineMs }: Patience,
  check: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    const value = await check()
    if (value !== undefined && value !== false) return value
    if (performance.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await pause(POLL_MS)
  }
}

/** `promise`, or an error after the deadline. */
export async function within<T>(what: string, { deadlineMs }: Patience, promise: Promise<T>): Promise<T> {
  const done = new AbortController()
  const late = pause(deadlineMs, undefined, { signal: done.signal, ref: false }).then(() => {
    throw new Error(`not within ${deadlineMs} ms: ${what}`)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    late.catch(() => {})
    done.abort()
  }
}

export const bytes = (text: string): Buffer => Buffer.from(text)

export const values = (records: readonly { value: Buffer | null }[]): (string | null)[] =>
  records.map((record) => record.value?.toString() ?? null)

/** A record to append, by text. */
export function record(topic: string, key: string | null, value: string | null, partition?: number): NewRecord {
  const made = { topic, key: key === null ? null : bytes(key), value: value === null ? null : bytes(value) }
  return partition === undefined ? made : { ...made, partition }
}

/** A record without what two engines may express differently: an absent partition, absent headers. */
export function plain(from: NewRecord | LogRecord): object {
  return { topic: from.topic, key: from.key, value: from.value, headers: plainHeaders(from.headers) }
}

function plainHeaders(headers: Headers | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, value.toString('hex')]))
}

/** Checks what every sequence of runs must hold: a chain from `from` on, and records inside their run in rising order. */
export function expectChain(runs: readonly RecordRun[], source: TopicPartition, from: number): void {
  let position = from
  for (const run of runs) {
    expect({ topic: run.topic, partition: run.partition }).toEqual({ topic: source.topic, partition: source.partition })
    expect(run.from).toBe(position)
    let last = run.from - 1
    for (const { topic, partition, offset } of run.records) {
      expect({ topic, partition }).toEqual({ topic: source.topic, partition: source.partition })
      expect(offset).toBeGreaterThan(last)
      last = offset
    }
    expect(run.to).toBeGreaterThan(last)
    expect(run.to).toBeGreaterThanOrEqual(run.from)
    position = run.to
  }
}

/** Runs of [from, until), checked to be a chain that ends at `until`. */
export async function readRuns(
  log: Log,
  source: TopicPartition,
  from: number,
  until: number,
  patience: Patience,
): Promise<RecordRun[]> {
  const runs: RecordRun[] = []
  const all = (async () => {
    for await (const run of log.read(source, offset(from), { until: offset(until) })) runs.push(run)
  })()
  await within(`${source.topic}[${source.partition}] is read up to ${until}`, patience, all)
  expectChain(runs, source, from)
  if (until > from) expect(runs.at(-1)?.to).toBe(until)
  return runs
}

/** All records that are readable now. */
export async function readNow(log: Log, source: TopicPartition, patience: Patience): Promise<LogRecord[]> {
  const bounds = (await log.bounds(source.topic))[source.partition]
  if (!bounds) throw new Error(`${source.topic}[${source.partition}] does not exist`)
  return (await readRuns(log, source, bounds.start, bounds.end, patience)).flatMap((run) => run.records)
}

/** The first `count` records from `from` on, waiting for them. */
export async function readCount(
  log: Log,
  source: TopicPartition,
  from: number,
  count: number,
  patience: Patience,
): Promise<LogRecord[]> {
  const stop = new AbortController()
  const runs: RecordRun[] = []
  let found = 0
  const all = (async () => {
    for await (const run of log.read(source, offset(from), { signal: stop.signal })) {
      runs.push(run)
      found += run.records.length
      if (found >= count) break
    }
  })()
  try {
    await within(`${source.topic}[${source.partition}] has ${count} records from ${from} on`, patience, all)
  } catch (error) {
    throw new Error(`${(error as Error).message} (found ${found})`, { cause: error })
  } finally {
    stop.abort()
  }
  expectChain(runs, source, from)
  return runs.flatMap((run) => run.records)
}

/** A member of a group that notes everything; `onDeliver` and `onRevoked` may hold it back. */
export class Member implements Subscriber {
  readonly name: string
  readonly runs: RecordRun[] = []
  readonly owned = new Set<number>()
  readonly failures: Error[] = []
  /** Highest number of deliveries of one partition at the same time. */
  overlap = 0
  onDeliver: (run: RecordRun) => Promise<void> = async () => {}
  onAssigned: (partitions: readonly TopicPartition[]) => void = () => {}
  onRevoked: (partitions: readonly TopicPartition[], options: { lost: boolean }) => Promise<void> = async () => {}
  readonly #open = new Map<number, number>()

  constructor(name: string) {
    this.name = name
  }

  assigned(partitions: readonly TopicPartition[]): void {
    for (const { partition } of partitions) this.owned.add(partition)
    this.onAssigned(partitions)
  }

  async revoked(partitions: readonly TopicPartition[], options: { lost: boolean }): Promise<void> {
    await this.onRevoked(partitions, options)
    for (const { partition } of partitions) this.owned.delete(partition)
  }

  async deliver(run: RecordRun): Promise<void> {
    const open = (this.#open.get(run.partition) ?? 0) + 1
    this.#open.set(run.partition, open)
    this.overlap = Math.max(this.overlap, open)
    this.runs.push(run)
    try {
      await this.onDeliver(run)
    } finally {
      this.#open.set(run.partition, open - 1)
    }
  }

  failed(error: Error): void {
    this.failures.push(error)
  }

  records(partition?: number): LogRecord[] {
    return this.runs.filter((run) => partition === undefined || run.partition === partition).flatMap((r) => r.records)
  }
}

/**
 * Subscribes `member` to one topic and starts every assigned partition at `position(partition)`. A start that finds the
 * partition already taken away again is no failure.
 */
export async function join(
  log: Log,
  group: string,
  topic: string,
  member: Member,
  position: (partition: number) => number | Promise<number> = () => 0,
): Promise<Subscription> {
  const ready = Promise.withResolvers<Subscription>()
  const then = member.onAssigned
  member.onAssigned = (partitions) => {
    then(partitions)
    for (const source of partitions) {
      void (async () => {
        const subscription = await ready.promise
        const at: Offset = offset(await position(source.partition))
        if (member.owned.has(source.partition)) await subscription.start(source, at)
      })().catch((error: Error) => {
        if (member.owned.has(source.partition)) member.failures.push(error)
      })
    }
  }
  const subscription = await log.subscribe(group, [topic], member)
  ready.resolve(subscription)
  return subscription
}
