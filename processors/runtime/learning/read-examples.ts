/** Reads all partitions of `training.examples` in one order: by time of append, then partition, then offset. */
import { type Offset, offset } from '../../app/units.ts'
import type { Log, LogRecord } from '../../engine/ports.ts'

/** What is there of one partition. */
export interface Slice {
  readonly partition: number
  readonly records: readonly LogRecord[]
  /** Position after the stretch. */
  readonly to: Offset
  /** There is more: nothing later than its last record may be taken from other partitions. */
  readonly isCut: boolean
}

export interface Merged {
  readonly records: readonly LogRecord[]
  /** Position after what was taken, by partition. */
  readonly positions: ReadonlyMap<number, Offset>
}

const comesBefore = (a: LogRecord, b: LogRecord): boolean =>
  a.timestamp < b.timestamp ||
  (a.timestamp === b.timestamp && (a.partition < b.partition || (a.partition === b.partition && a.offset < b.offset)))

/**
 * Merges slices. Over a log that stands still the order is the same however it was cut: a learner that is killed and goes
 * on learns in the order in which it would have learned. Time of append need not rise within a partition; its own order wins.
 */
export function merge(slices: readonly Slice[]): Merged {
  const heads = slices.map(() => 0)
  const records: LogRecord[] = []
  for (;;) {
    let first = -1
    for (const [i, { records: own }] of slices.entries()) {
      const head = own[heads[i]!]
      if (head && (first < 0 || comesBefore(head, slices[first]!.records[heads[first]!]!))) first = i
    }
    if (first < 0) break
    records.push(slices[first]!.records[heads[first]!]!)
    heads[first]!++
    const { isCut, records: own } = slices[first]!
    if (isCut && heads[first] === own.length) break
  }
  const positions = new Map(
    slices.map(({ partition, records: own, to }, i) => [
      partition,
      heads[i] === own.length ? to : own[heads[i]!]!.offset,
    ]),
  )
  return { records, positions }
}

export interface ReadOptions {
  readonly log: Log
  readonly topic: string
  /** Next offset by partition; absent: from the start. */
  readonly positionOf: (partition: number) => Offset | undefined
  /** Records of one partition at a time. */
  readonly most: number
  readonly signal: AbortSignal
}

/** What can be read now. @returns undefined when nothing is new @throws RtmlError LOG_DOWN, LOG_TRUNCATED */
export async function readNext({ log, topic, positionOf, most, signal }: ReadOptions): Promise<Merged | undefined> {
  const slices: Slice[] = []
  for (const bounds of await log.bounds(topic)) {
    const { partition, start, end } = bounds
    // Retention may have taken what was not learned: the rest is still worth it.
    const from = offset(Math.max(start, positionOf(partition) ?? start))
    if (from < end) slices.push(await readSlice(log, { topic, partition, from, end }, most, signal))
  }
  return slices.length === 0 ? undefined : merge(slices)
}

async function readSlice(
  log: Log,
  { topic, partition, from, end }: { topic: string; partition: number; from: Offset; end: Offset },
  most: number,
  signal: AbortSignal,
): Promise<Slice> {
  const records: LogRecord[] = []
  let to = from
  for await (const run of log.read({ topic, partition }, from, { until: end, signal })) {
    for (const record of run.records) {
      if (records.length === most)
        return { partition, records, to: (records.at(-1)!.offset + 1) as Offset, isCut: true }
      records.push(record)
    }
    to = run.to
    if (records.length === most && to < end) return { partition, records, to, isCut: true }
  }
  return { partition, records, to, isCut: to < end }
}
