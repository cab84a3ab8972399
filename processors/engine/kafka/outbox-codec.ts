import { RtmlError } from '../../app/errors.ts'
import { type Offset, offset } from '../../app/units.ts'
import type { NewRecord, OutboxEntry } from '../ports.ts'

/**
 * Binary form of an outbox entry, big-endian: u8 format (1), f64 from, f64 to, u32 records; each record: text topic,
 * i32 partition (-1: by key), bytes key, bytes value, u16 headers, each: text name, bytes value.
 * A text is u16 length + UTF-8; bytes are i32 length (-1: null) + bytes.
 */
const FORMAT = 1
const HEAD_BYTES = 21

export function encodeOutboxEntry(from: Offset, to: Offset, records: readonly NewRecord[]): Buffer {
  let size = HEAD_BYTES
  for (const record of records) size += sizeOf(record)
  const out = Buffer.allocUnsafe(size)
  out.writeUInt8(FORMAT, 0)
  out.writeDoubleBE(from, 1)
  out.writeDoubleBE(to, 9)
  out.writeUInt32BE(records.length, 17)
  let at = HEAD_BYTES
  for (const { topic, partition, key, value, headers } of records) {
    at = writeText(out, at, topic)
    at = out.writeInt32BE(partition ?? -1, at)
    at = writeBytes(out, at, key)
    at = writeBytes(out, at, value)
    const countAt = at
    at += 2
    let count = 0
    for (const name in headers) {
      count++
      at = writeText(out, at, name)
      at = writeBytes(out, at, headers[name]!)
    }
    out.writeUInt16BE(count, countAt)
  }
  return out.subarray(0, at)
}

/** @throws RtmlError STORE_BEHIND for an entry of another format: the outputs must be computed anew */
export function decodeOutboxEntry(bytes: Buffer): OutboxEntry {
  if (bytes.length < HEAD_BYTES || bytes.readUInt8(0) !== FORMAT) {
    throw new RtmlError('STORE_BEHIND', 'an outbox entry is of an unknown format; rebuild the shard')
  }
  const from = offset(bytes.readDoubleBE(1))
  const to = offset(bytes.readDoubleBE(9))
  const reader = new Reader(bytes, HEAD_BYTES)
  const records = Array.from({ length: bytes.readUInt32BE(17) }, () => readRecord(reader))
  return { from, to, records }
}

function readRecord(reader: Reader): NewRecord {
  const topic = reader.text()
  const partition = reader.int32()
  const key = reader.bytes()
  const value = reader.bytes()
  const count = reader.uint16()
  const record: NewRecord = partition < 0 ? { topic, key, value } : { topic, key, value, partition }
  if (count === 0) return record
  const headers: Record<string, Buffer> = {}
  for (let i = 0; i < count; i++) headers[reader.text()] = reader.bytes() ?? Buffer.alloc(0)
  return { ...record, headers }
}

function sizeOf({ topic, key, value, headers }: NewRecord): number {
  let size = 2 + topic.length * 3 + 4 + 4 + (key?.length ?? 0) + 4 + (value?.length ?? 0) + 2
  for (const name in headers) size += 2 + name.length * 3 + 4 + headers[name]!.length
  return size
}

function writeText(out: Buffer, at: number, text: string): number {
  const length = out.write(text, at + 2, 'utf8')
  out.writeUInt16BE(length, at)
  return at + 2 + length
}

function writeBytes(out: Buffer, at: number, bytes: Buffer | null): number {
  out.writeInt32BE(bytes?.length ?? -1, at)
  if (bytes) out.set(bytes, at + 4)
  return at + 4 + (bytes?.length ?? 0)
}

class Reader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  uint16(): number {
    this.#at += 2
    return this.#bytes.readUInt16BE(this.#at - 2)
  }

  int32(): number {
    this.#at += 4
    return this.#bytes.readInt32BE(this.#at - 4)
  }

  text(): string {
    const length = this.uint16()
    this.#at += length
    return this.#bytes.toString('utf8', this.#at - length, this.#at)
  }

  bytes(): Buffer | null {
    const length = this.int32()
    if (length < 0) return null
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }
}
