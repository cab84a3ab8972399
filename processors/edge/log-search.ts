/** Looking for a record among the newest ones of a partition, without reading the whole of it. */
import { type Clock, type Offset, offset } from '../app/units.ts'
import type { Log, LogRecord, PartitionBounds } from '../engine/ports.ts'

export interface SearchLimits {
  /** Offsets that are looked at, from the end back. */
  readonly maxOffsets: number
  /** Wall time. */
  readonly maxMs: number
}

const WINDOW = 2_000

export interface Searched<T> {
  readonly found: T | undefined
  /** The whole partition was looked at: what wasn't found isn't there. */
  readonly isComplete: boolean
}

/**
 * The newest record for which `read` gives a value. Walks back in windows, each read forward.
 * @throws RtmlError LOG_DOWN
 */
export async function findNewest<T>(
  log: Pick<Log, 'read'>,
  bounds: PartitionBounds,
  read: (record: LogRecord) => T | undefined | Promise<T | undefined>,
  limits: SearchLimits,
  clock: Clock,
): Promise<Searched<T>> {
  const until = clock.now() + limits.maxMs
  const lowest = Math.max(bounds.start, bounds.end - limits.maxOffsets)
  for (let to: number = bounds.end; to > lowest; ) {
    const from = Math.max(lowest, to - WINDOW)
    const records = await recordsBetween(log, bounds, offset(from), offset(to))
    for (let at = records.length - 1; at >= 0; at--) {
      const found = await read(records[at] as LogRecord)
      if (found !== undefined) return { found, isComplete: false }
    }
    to = from
    if (clock.now() > until) return { found: undefined, isComplete: to <= bounds.start }
  }
  return { found: undefined, isComplete: lowest <= bounds.start }
}

async function recordsBetween(
  log: Pick<Log, 'read'>,
  bounds: PartitionBounds,
  from: Offset,
  to: Offset,
): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  for await (const run of log.read(bounds, from, { until: to })) records.push(...run.records)
  return records
}

export interface Newest<T> {
  /** Newest first, at most `limit`. */
  readonly found: readonly { readonly value: T; readonly record: LogRecord }[]
  readonly isComplete: boolean
}

/**
 * The newest records for which `read` gives a value, walking back as `findNewest` does.
 * @throws RtmlError LOG_DOWN
 */
export async function newestOf<T>(
  log: Pick<Log, 'read'>,
  bounds: PartitionBounds,
  read: (record: LogRecord) => T | undefined,
  limits: SearchLimits & { readonly limit: number },
  clock: Clock,
): Promise<Newest<T>> {
  const found: { value: T; record: LogRecord }[] = []
  const collect = (record: LogRecord): true | undefined => {
    const value = read(record)
    if (value !== undefined) found.push({ value, record })
    return found.length >= limits.limit || undefined
  }
  const { found: isFull, isComplete } = await findNewest(log, bounds, collect, limits, clock)
  return { found, isComplete: isComplete && isFull === undefined }
}
