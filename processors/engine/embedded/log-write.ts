import type { EpochMs, Offset } from '../../app/units.ts'
import { HEADER_BYTES, writeHeader } from '../record-codec.ts'
import type { Tables } from './environment.ts'
import { batchKey, headKey } from './keys.ts'

/** What is known of a partition: five f64, little-endian. */
export interface Head {
  /** First offset that is still kept. */
  start: number
  /** Offset after the last record. */
  end: number
  /** Bytes of its batches. */
  bytes: number
  /** Time of the last append; times don't fall. */
  timestamp: number
  /** Compaction has seen everything below. */
  cleaned: number
}

/** Records of one append to one partition, packed with an empty header. */
export interface Packed {
  readonly topicId: number
  readonly partition: number
  readonly count: number
  readonly batch: Buffer
}

/** Most that one batch of the log holds. */
export const BATCH_RECORDS = 1_000
export const BATCH_BYTES = 1_048_576

interface Pending {
  readonly topicId: number
  readonly partition: number
  readonly head: Head
  readonly packed: Packed[]
}

/**
 * The log inside one write transaction. Appends of several operations to one partition become one batch where they fit,
 * so that many small appends don't become many small entries.
 */
export class LogWrite {
  readonly tables: Tables
  readonly now: EpochMs
  readonly #pending = new Map<string, Pending>()

  constructor(tables: Tables, now: EpochMs) {
    this.tables = tables
    this.now = now
  }

  append(packed: readonly Packed[]): void {
    for (const one of packed) this.#partition(one.topicId, one.partition).packed.push(one)
  }

  /** The head of a partition, to be changed in place. */
  head(topicId: number, partition: number): Head {
    return this.#partition(topicId, partition).head
  }

  position(key: Buffer, position: Offset): void {
    this.tables.positions.putSync(key, numberValue(position))
  }

  /** Writes batches and heads. @returns partitions that grew, as `topicId/partition` */
  finish(): ReadonlySet<string> {
    const grown = new Set<string>()
    for (const [name, pending] of this.#pending) {
      if (pending.packed.length > 0) grown.add(name)
      this.#flush(pending)
    }
    return grown
  }

  #partition(topicId: number, partition: number): Pending {
    const name = partitionName(topicId, partition)
    let pending = this.#pending.get(name)
    if (!pending) {
      const head = readHead(this.tables, topicId, partition)
      pending = { topicId, partition, head, packed: [] }
      this.#pending.set(name, pending)
    }
    return pending
  }

  #flush({ topicId, partition, head, packed }: Pending): void {
    head.timestamp = Math.max(head.timestamp, packed.length > 0 ? this.now : 0)
    for (let i = 0; i < packed.length; ) {
      const from = i
      let count = 0
      let bytes = 0
      do {
        count += packed[i]!.count
        bytes += packed[i]!.batch.length
        i++
      } while (
        i < packed.length &&
        count + packed[i]!.count <= BATCH_RECORDS &&
        bytes + packed[i]!.batch.length <= BATCH_BYTES
      )
      const batch = join(packed, from, i)
      writeHeader(batch, { count, span: count, sparse: false, timestamp: head.timestamp as EpochMs })
      this.tables.log.putSync(batchKey(topicId, partition, head.end), batch)
      head.end += count
      head.bytes += batch.length
    }
    this.tables.heads.putSync(headKey(topicId, partition), packHead(head))
  }
}

export const partitionName = (topicId: number, partition: number): string => `${topicId}/${partition}`

function join(packed: readonly Packed[], from: number, to: number): Buffer {
  if (to - from === 1) return packed[from]!.batch
  const parts = [packed[from]!.batch]
  for (let i = from + 1; i < to; i++) parts.push(packed[i]!.batch.subarray(HEADER_BYTES))
  return Buffer.concat(parts)
}

export function readHead(tables: Tables, topicId: number, partition: number): Head {
  const value = tables.heads.getBinary(headKey(topicId, partition))
  if (!value) return { start: 0, end: 0, bytes: 0, timestamp: 0, cleaned: 0 }
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  return {
    start: view.getFloat64(0, true),
    end: view.getFloat64(8, true),
    bytes: view.getFloat64(16, true),
    timestamp: view.getFloat64(24, true),
    cleaned: view.getFloat64(32, true),
  }
}

function packHead(head: Head): Buffer {
  const value = Buffer.allocUnsafe(40)
  value.writeDoubleLE(head.start, 0)
  value.writeDoubleLE(head.end, 8)
  value.writeDoubleLE(head.bytes, 16)
  value.writeDoubleLE(head.timestamp, 24)
  value.writeDoubleLE(head.cleaned, 32)
  return value
}

export function numberValue(value: number): Buffer {
  const out = Buffer.allocUnsafe(8)
  out.writeDoubleLE(value)
  return out
}

export const numberOf = (value: Buffer): number =>
  new DataView(value.buffer, value.byteOffset, value.byteLength).getFloat64(0, true)

/** The next number of a kind: 1, 2, … */
export function nextNumber(tables: Tables, kind: string): number {
  const key = Buffer.from(kind)
  const last = tables.counters.getBinary(key)
  const next = (last ? numberOf(last) : 0) + 1
  tables.counters.putSync(key, numberValue(next))
  return next
}
