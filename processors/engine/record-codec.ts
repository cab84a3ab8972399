/**
 * A batch of records of one partition, packed into one value of a key-value store. The batch's first offset is not in
 * it: it belongs to the key, so a batch is packed before its place in the log is known.
 *
 *     header   u8 format · u8 flags (1 = sparse) · u16 count · u32 span (offsets covered) · f64 time of append (epoch ms)
 *     record   [sparse: varint offset − first offset] · bytes key · bytes value · varint headers · { text name · bytes value }
 *     bytes    varint (length + 1), 0 = null; then the bytes
 */
import { type EpochMs, offset } from '../app/units.ts'
import type { Headers, LogRecord, NewRecord, TopicPartition } from './ports.ts'

export const HEADER_BYTES = 16
const FORMAT = 1
const SPARSE = 1
const CUT = 'a batch ends inside a record'
const NO_HEADERS: Headers = Object.freeze({})

/** What a batch holds; its `count` is at most 65,535. */
export interface BatchInfo {
  readonly count: number
  /** Offsets covered, ≥ count: a compacted batch has holes. */
  readonly span: number
  readonly sparse: boolean
  readonly timestamp: EpochMs
}

type Content = Pick<NewRecord, 'key' | 'value' | 'headers'>

/** Bytes that a record takes in a dense batch. */
export function packedSize(record: Content): number {
  return bytesSize(record.key) + bytesSize(record.value) + headersSize(record.headers)
}

/** Packs records[from, to) densely. The header is left empty: `writeHeader` fills it when the time of append is known. */
export function packRecords(records: readonly Content[], from: number, to: number): Buffer {
  let size = HEADER_BYTES
  for (let i = from; i < to; i++) size += packedSize(records[i]!)
  const out = Buffer.allocUnsafeSlow(size)
  let at = HEADER_BYTES
  for (let i = from; i < to; i++) at = writeRecord(out, at, records[i]!)
  return out
}

/** Packs what compaction left of a batch, with the offsets that the records had. */
export function packSparse(records: readonly LogRecord[], base: number, info: BatchInfo): Buffer {
  let size = HEADER_BYTES
  for (const record of records) size += varintSize(record.offset - base) + packedSize(record)
  const out = Buffer.allocUnsafeSlow(size)
  let at = HEADER_BYTES
  for (const record of records) at = writeRecord(out, writeVarint(out, at, record.offset - base), record)
  writeHeader(out, { ...info, count: records.length, sparse: true })
  return out
}

export function writeHeader(batch: Buffer, info: BatchInfo): void {
  batch[0] = FORMAT
  batch[1] = info.sparse ? SPARSE : 0
  batch.writeUInt16LE(info.count, 2)
  batch.writeUInt32LE(info.span, 4)
  batch.writeDoubleLE(info.timestamp, 8)
}

/** @throws when the bytes are not a batch of this format */
export function readHeader(batch: Buffer): BatchInfo {
  if (batch.length < HEADER_BYTES || batch[0] !== FORMAT) throw new Error(`not a batch of format ${FORMAT}`)
  return {
    sparse: batch[1] === SPARSE,
    count: batch.readUInt16LE(2),
    span: batch.readUInt32LE(4),
    timestamp: batch.readDoubleLE(8) as EpochMs,
  }
}

/**
 * Appends to `into` the records of a batch whose offsets are in [from, until). Keys and values are views into `batch`.
 * @param base offset of the batch's first place
 */
export function unpackRecords(
  batch: Buffer,
  source: TopicPartition,
  base: number,
  from: number,
  until: number,
  into: LogRecord[],
): void {
  const { topic, partition } = source
  const { sparse, count, timestamp } = readHeader(batch)
  const reader = new Reader(batch, HEADER_BYTES)
  let next = base
  for (let i = 0; i < count; i++) {
    const at = sparse ? base + reader.varint() : next
    next = at + 1
    if (at >= until) return
    const key = reader.bytes()
    const value = reader.bytes()
    const headers = reader.headers()
    if (at >= from) into.push({ topic, partition, offset: offset(at), timestamp, key, value, headers })
  }
}

class Reader {
  readonly #from: Buffer
  #at: number
  constructor(from: Buffer, at: number) {
    this.#from = from
    this.#at = at
  }
  varint(): number {
    const from = this.#from
    let byte = from[this.#at++]
    if (byte! < 128) return byte!
    let value = byte! & 127
    let unit = 128
    do {
      byte = from[this.#at++]
      if (byte === undefined) throw new Error(CUT)
      value += (byte & 127) * unit
      unit *= 128
    } while (byte > 127)
    return value
  }
  bytes(): Buffer | null {
    const length = this.varint() - 1
    if (length < 0) return null
    const start = this.#at
    this.#at = start + length
    if (this.#at > this.#from.length) throw new Error(CUT)
    return this.#from.subarray(start, this.#at)
  }
  headers(): Headers {
    const count = this.varint()
    if (count === 0) return NO_HEADERS
    const headers: Record<string, Buffer> = {}
    for (let i = 0; i < count; i++) headers[this.bytes()!.toString()] = this.bytes()!
    return headers
  }
}

const varintSize = (value: number): number => {
  let size = 1
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) size++
  return size
}

function writeVarint(out: Buffer, at: number, value: number): number {
  let rest = value
  while (rest > 127) {
    out[at++] = (rest % 128) + 128
    rest = Math.floor(rest / 128)
  }
  out[at++] = rest
  return at
}

const bytesSize = (bytes: Uint8Array | null): number =>
  bytes === null ? 1 : varintSize(bytes.length + 1) + bytes.length

function writeBytes(out: Buffer, at: number, bytes: Uint8Array | null): number {
  if (bytes === null) {
    out[at] = 0
    return at + 1
  }
  const start = writeVarint(out, at, bytes.length + 1)
  out.set(bytes, start)
  return start + bytes.length
}

function headersSize(headers: Headers | undefined): number {
  if (headers === undefined) return 1
  let size = 0
  let count = 0
  for (const name in headers) {
    const length = Buffer.byteLength(name)
    size += varintSize(length + 1) + length + bytesSize(headers[name]!)
    count++
  }
  return size + varintSize(count)
}

function writeRecord(out: Buffer, at: number, record: Content): number {
  let end = writeBytes(out, writeBytes(out, at, record.key), record.value)
  const { headers } = record
  if (headers === undefined) {
    out[end] = 0
    return end + 1
  }
  end = writeVarint(out, end, Object.keys(headers).length)
  for (const name in headers) {
    const length = Buffer.byteLength(name)
    end = writeVarint(out, end, length + 1)
    out.write(name, end)
    end = writeBytes(out, end + length, headers[name]!)
  }
  return end
}
