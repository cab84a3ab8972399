import { createHash } from 'node:crypto'

/** Keys of the embedded engine's databases. All sort by their parts: numbers are big-endian. */

const U48_HIGH = 2 ** 32

/** Place of a batch in the log: u32 topic id · u32 partition · u48 first offset. */
export function batchKey(topicId: number, partition: number, base: number): Buffer {
  const key = Buffer.allocUnsafe(14)
  key.writeUInt32BE(topicId, 0)
  key.writeUInt32BE(partition, 4)
  key.writeUInt16BE(Math.floor(base / U48_HIGH), 8)
  key.writeUInt32BE(base % U48_HIGH, 10)
  return key
}

export const baseOf = (key: Buffer): number => key.readUInt16BE(8) * U48_HIGH + key.readUInt32BE(10)

export function headKey(topicId: number, partition: number): Buffer {
  const key = Buffer.allocUnsafe(8)
  key.writeUInt32BE(topicId, 0)
  key.writeUInt32BE(partition, 4)
  return key
}

/** Parts are names without NUL, at most 1,900 bytes together. */
export const nameKey = (...parts: readonly (string | number)[]): Buffer => Buffer.from(parts.join('\0'))

export function idKey(id: number): Buffer {
  const key = Buffer.allocUnsafe(4)
  key.writeUInt32BE(id)
  return key
}

/** Longest key of a state that is kept as it is; LMDB's own limit is 1,978 bytes. */
const PLAIN_KEY_BYTES = 1_900
/** Never a byte of UTF-8: marks the hash of a key that is too long. */
const HASHED = 0xff

/** Place of a state: u32 states id · the key in UTF-8, or 0xff · its SHA-256 where it is longer than PLAIN_KEY_BYTES. */
export function stateKey(statesId: number, key: string): Buffer {
  // three bytes a UTF-16 unit at most, so that short keys, nearly all, are measured without a second look
  const short = key.length * 3 <= PLAIN_KEY_BYTES
  if (short || Buffer.byteLength(key) <= PLAIN_KEY_BYTES) {
    const out = Buffer.allocUnsafe(4 + (short ? key.length * 3 : Buffer.byteLength(key)))
    out.writeUInt32BE(statesId)
    const length = out.write(key, 4)
    return out.length === 4 + length ? out : out.subarray(0, 4 + length)
  }
  const digest = createHash('sha256').update(key).digest()
  return Buffer.concat([idKey(statesId), Buffer.from([HASHED]), digest])
}

export const isHashedKey = (key: Buffer): boolean => key[4] === HASHED
