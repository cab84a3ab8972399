/**
 * Just enough of the protobuf wire format to read an ONNX file's outline and to write it back with a few fields changed.
 * Why not a library: the runtime binding exposes no graph, the generated ONNX classes decode every weight into JavaScript
 * numbers (a 200 MB model becomes gigabytes), and protobufjs would be kept for four message types. Here a message is a
 * list of slices over the file's own bytes, so untouched fields (the weights) are never decoded and survive unchanged.
 * Wire format: protobuf.dev/programming-guides/encoding.
 */

/** The bytes are not a protobuf message, or end too early. */
export class ProtoError extends Error {}

type WireType = 0 | 1 | 2 | 5

/** One field of a message, as it stands in the file. */
export interface Field {
  readonly number: number
  readonly wire: WireType
  /** Tag and payload, ready to be written again. */
  readonly raw: Uint8Array
  /** Payload of wire type 2 (text, bytes, message, packed); empty for the others. */
  readonly body: Uint8Array
  /** Value of wire type 0, else 0. Signed 64-bit as protobuf's int64. */
  readonly varint: bigint
}

const EMPTY = new Uint8Array(0)
/** A model of a million nodes is beyond any real one; a crafted file must not exhaust memory with empty fields. */
const MAX_FIELDS = 4_000_000
const decoder = new TextDecoder('utf-8')
const encoder = new TextEncoder()

interface Cursor {
  readonly bytes: Uint8Array
  at: number
}

function readVarint(cursor: Cursor): bigint {
  let low = 0
  let shift = 0
  // 4 groups of 7 bits fit a small integer: nearly every tag and length ends here.
  for (; shift < 28; shift += 7) {
    const byte = cursor.bytes[cursor.at++]
    if (byte === undefined) throw new ProtoError(`the file ends inside a number at byte ${cursor.at - 1}`)
    low |= (byte & 0x7f) << shift
    if (byte < 0x80) return BigInt(low)
  }
  let value = BigInt(low)
  for (let big = 28n; big < 70n; big += 7n) {
    const byte = cursor.bytes[cursor.at++]
    if (byte === undefined) throw new ProtoError(`the file ends inside a number at byte ${cursor.at - 1}`)
    value |= BigInt(byte & 0x7f) << big
    if (byte < 0x80) return BigInt.asIntN(64, value)
  }
  throw new ProtoError(`a number is longer than 10 bytes at byte ${cursor.at}`)
}

function readLength(cursor: Cursor): number {
  const length = readVarint(cursor)
  const left = cursor.bytes.length - cursor.at
  if (length < 0n || length > BigInt(left)) {
    throw new ProtoError(`a field of ${length} bytes starts at byte ${cursor.at}, but only ${left} are left`)
  }
  return Number(length)
}

/**
 * Splits a message into its fields, without copying.
 * @throws ProtoError when the bytes are not a protobuf message
 */
export function readFields(bytes: Uint8Array): Field[] {
  const fields: Field[] = []
  const cursor: Cursor = { bytes, at: 0 }
  while (cursor.at < bytes.length) {
    if (fields.length >= MAX_FIELDS) throw new ProtoError(`more than ${MAX_FIELDS} fields in one message`)
    const start = cursor.at
    const tag = readVarint(cursor)
    const number = Number(tag >> 3n)
    if (number < 1 || number > 536_870_911) throw new ProtoError(`field number ${number} at byte ${start}`)
    const wire = Number(tag & 7n)
    let body: Uint8Array = EMPTY
    let varint = 0n
    switch (wire) {
      case 0:
        varint = readVarint(cursor)
        break
      case 1:
        cursor.at += 8
        break
      case 2: {
        const length = readLength(cursor)
        body = bytes.subarray(cursor.at, cursor.at + length)
        cursor.at += length
        break
      }
      case 5:
        cursor.at += 4
        break
      default:
        throw new ProtoError(`wire type ${wire} at byte ${start}`)
    }
    if (cursor.at > bytes.length) throw new ProtoError(`the file ends inside a field that starts at byte ${start}`)
    fields.push({ number, wire: wire as WireType, raw: bytes.subarray(start, cursor.at), body, varint })
  }
  return fields
}

export const textOf = (field: Field): string => decoder.decode(field.body)

/** First field of a number as text; '' when absent, as protobuf has it. */
export function text(fields: readonly Field[], number: number): string {
  const found = fields.findLast((it) => it.number === number)
  return found ? textOf(found) : ''
}

/** Last value of a number (protobuf: the last one wins); 0 when absent. */
export function integer(fields: readonly Field[], number: number): bigint {
  return fields.findLast((it) => it.number === number)?.varint ?? 0n
}

export function message(fields: readonly Field[], number: number): Field[] | undefined {
  const found = fields.findLast((it) => it.number === number)
  return found && readFields(found.body)
}

/** Repeated int64, packed or not. */
export function integers(fields: readonly Field[], number: number): bigint[] {
  const values: bigint[] = []
  for (const field of fields) {
    if (field.number !== number) continue
    if (field.wire === 0) values.push(field.varint)
    const cursor: Cursor = { bytes: field.body, at: 0 }
    while (cursor.at < field.body.length) values.push(readVarint(cursor))
  }
  return values
}

function varintBytes(value: bigint): number[] {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, value)
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return bytes
}

export function writeVarint(number: number, value: bigint | number): Uint8Array {
  return Uint8Array.from([...varintBytes(BigInt(number) << 3n), ...varintBytes(BigInt(value))])
}

/** A field of wire type 2: text, or the bytes of a message. */
export function writeBytes(number: number, payload: Uint8Array | string): Uint8Array {
  const body = typeof payload === 'string' ? encoder.encode(payload) : payload
  const head = Uint8Array.from([...varintBytes((BigInt(number) << 3n) | 2n), ...varintBytes(BigInt(body.length))])
  return concat([head, body])
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const whole = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
