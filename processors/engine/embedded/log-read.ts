import { RtmlError } from '../../app/errors.ts'
import { offset } from '../../app/units.ts'
import type { LogRecord, RecordRun, TopicPartition } from '../ports.ts'
import { packSparse, readHeader, unpackRecords } from '../record-codec.ts'
import type { Tables } from './environment.ts'
import { baseOf, batchKey } from './keys.ts'
import { BATCH_BYTES, BATCH_RECORDS, type LogWrite, readHead } from './log-write.ts'

const ABOVE_ALL = 2 ** 48 - 1

/** First batch at or after `from`. */
export function batchFrom(
  tables: Tables,
  topicId: number,
  partition: number,
  from: number,
): { base: number; batch: Buffer } | undefined {
  const range = { start: batchKey(topicId, partition, from), end: batchKey(topicId, partition, ABOVE_ALL), limit: 1 }
  for (const { key, value } of tables.log.getRange(range)) return { base: baseOf(key), batch: value }
  return undefined
}

/** Base of the batch that covers `position`, or of the last one before it. */
function baseBefore(tables: Tables, topicId: number, partition: number, position: number): number | undefined {
  const range = {
    start: batchKey(topicId, partition, position),
    end: batchKey(topicId, partition, 0),
    reverse: true,
    limit: 1,
    inclusiveEnd: true,
  }
  for (const key of tables.log.getKeys(range)) return baseOf(key as Buffer)
  return undefined
}

/** @throws RtmlError LOG_TRUNCATED when retention deleted what `from` wants to read */
export function requireKept(source: TopicPartition, from: number, start: number): void {
  if (from >= start) return
  throw new RtmlError(
    'LOG_TRUNCATED',
    `offset ${from} is below the log's start ${start}: ${start - from} records were deleted by retention before they were read. Rebuild from a snapshot, or start at ${start} and accept the loss.`,
    { place: `${source.topic}[${source.partition}]@${from}` },
  )
}

/**
 * The next run from `from` on: whole batches up to BATCH_RECORDS and BATCH_BYTES together, at least one.
 * @returns undefined when nothing is written at `from` yet
 * @throws RtmlError LOG_TRUNCATED
 */
export function fetchRun(
  tables: Tables,
  topicId: number,
  source: TopicPartition,
  from: number,
  until = Number.POSITIVE_INFINITY,
): RecordRun | undefined {
  const { topic, partition } = source
  const head = readHead(tables, topicId, partition)
  requireKept(source, from, head.start)
  const limit = Math.min(until, head.end)
  if (from >= limit) return undefined
  const records: LogRecord[] = []
  let bytes = 0
  let position = from
  // Readers stand at the start of a batch nearly always; only after a restart in mid-batch it must be searched.
  let base: number | undefined = from
  let batch = tables.log.getBinary(batchKey(topicId, partition, from))
  if (!batch) {
    base = baseBefore(tables, topicId, partition, from)
    batch = base === undefined ? undefined : tables.log.getBinary(batchKey(topicId, partition, base))
  }
  while (position < limit) {
    if (batch && base !== undefined) {
      const { count, span } = readHeader(batch)
      if (records.length > 0 && (records.length + count > BATCH_RECORDS || bytes + batch.length > BATCH_BYTES)) break
      unpackRecords(batch, source, base, from, limit, records)
      bytes += batch.length
      position = Math.max(position, Math.min(base + span, limit))
      if (position >= limit) break
      base = position
      batch = tables.log.getBinary(batchKey(topicId, partition, position))
      if (batch) continue
    }
    // A hole: compaction took the batch away as a whole.
    const next = batchFrom(tables, topicId, partition, position)
    if (!next || next.base >= limit) {
      position = limit
      break
    }
    position = next.base
    base = next.base
    batch = next.batch
  }
  return { topic, partition, from: offset(from), to: offset(position), records }
}

/**
 * Writes the batch that covers `at` again without the records at `offsets`.
 * @returns how many were taken out; 0 when an earlier step has done it
 */
export function purgeBatch(
  write: LogWrite,
  topicId: number,
  { topic, partition }: TopicPartition,
  at: number,
  offsets: ReadonlySet<number>,
): number {
  const { tables } = write
  const base = baseBefore(tables, topicId, partition, at)
  const key = base === undefined ? undefined : batchKey(topicId, partition, base)
  const batch = key && tables.log.getBinary(key)
  if (!batch || base === undefined) return 0
  const records: LogRecord[] = []
  unpackRecords(batch, { topic, partition }, base, 0, Number.POSITIVE_INFINITY, records)
  const kept = records.filter((record) => !offsets.has(record.offset))
  if (kept.length === records.length) return 0
  const head = write.head(topicId, partition)
  // An empty batch stays: its span keeps the offsets that are gone from being taken for ones that never came.
  const rest = packSparse(kept, base, readHeader(batch))
  tables.log.putSync(key, rest)
  head.bytes += rest.length - batch.length
  return records.length - kept.length
}
