/**
 * Reads Avro binary with its writer schema into plain JSON-like values. Written for hostile bytes, which general decoders
 * trust: every read is checked against the end, a list may not claim more items than bytes are left, and depth is bounded.
 * Formats: https://avro.apache.org/docs/1.12.0/specification/ (binary encoding, logical types).
 *
 * Values: unions unwrapped; int, float, double as numbers; long as a number, as text beyond 2^53; bytes and fixed as Buffer;
 * `decimal` as exact text; `date` as yyyy-mm-dd; `timestamp-*` as RFC 3339 in UTC; `local-timestamp-*` without a zone.
 */
import type { Limits } from './types.ts'

export class AvroError extends Error {
  readonly limit: boolean
  constructor(message: string, options: { limit?: boolean } = {}) {
    super(message)
    this.limit = options.limit ?? false
  }
}

interface Cursor {
  readonly bytes: Buffer
  at: number
  depth: number
}

type Read = (cursor: Cursor) => unknown
export type AvroReader = (bytes: Buffer, from: number) => unknown

/** Compiles a writer schema. @throws AvroError when it isn't an Avro schema that can be read safely */
export function createAvroReader(schema: unknown, limits: Limits): AvroReader {
  const read = compile(schema, '', new Map(), limits, 0)
  return (bytes, from) => {
    const cursor: Cursor = { bytes, at: from, depth: 0 }
    const value = read(cursor)
    if (cursor.at !== bytes.length)
      throw new AvroError(`${bytes.length - cursor.at} bytes are left over: written with another schema?`)
    return value
  }
}

type Names = Map<string, { read: Read }>

function compile(schema: unknown, space: string, names: Names, limits: Limits, level: number): Read {
  if (level > limits.depth * 2) throw new AvroError(`the schema is nested more than ${limits.depth * 2} deep`)
  if (typeof schema === 'string') return primitive(schema, limits) ?? named(schema, space, names)
  if (Array.isArray(schema)) {
    const branches = schema.map((branch) => compile(branch, space, names, limits, level + 1))
    return (cursor) => {
      const index = readInt(cursor)
      const branch = branches[index]
      if (!branch) throw new AvroError(`a union of ${branches.length} branches has no branch ${index}`)
      return branch(cursor)
    }
  }
  if (typeof schema !== 'object' || schema === null) throw new AvroError('the schema is not an Avro schema')
  const definition = schema as Record<string, unknown>
  const type = definition.type
  switch (type) {
    case 'record':
    case 'error':
      return record(definition, space, names, limits, level)
    case 'enum': {
      const symbols = (definition.symbols as string[]) ?? []
      return declare(definition, space, names, (cursor) => {
        const symbol = symbols[readInt(cursor)]
        if (symbol === undefined) throw new AvroError(`${String(definition.name)}: no such symbol`)
        return symbol
      })
    }
    case 'fixed': {
      const size = Number(definition.size)
      if (!Number.isInteger(size) || size < 0) throw new AvroError('a fixed type has no size')
      return declare(
        definition,
        space,
        names,
        logical(definition, (cursor) => take(cursor, size)),
      )
    }
    case 'array': {
      if (isEmptyType(definition.items)) throw new AvroError('a list of empty items has no bounded size')
      const item = compile(definition.items, space, names, limits, level + 1)
      return nested(limits, (cursor) => {
        const list: unknown[] = []
        for (let count = blockCount(cursor); count > 0; count = blockCount(cursor))
          for (let i = 0; i < count; i++) list.push(item(cursor))
        return list
      })
    }
    case 'map': {
      const item = compile(definition.values, space, names, limits, level + 1)
      return nested(limits, (cursor) => {
        const map: Record<string, unknown> = {}
        for (let count = blockCount(cursor); count > 0; count = blockCount(cursor))
          for (let i = 0; i < count; i++) {
            const key = readText(cursor, limits)
            const value = item(cursor)
            if (key !== '__proto__') map[key] = value
          }
        return map
      })
    }
    default:
      // {type: {type: …}} and {type: "long", logicalType: …}
      return logical(definition, compile(type, space, names, limits, level + 1))
  }
}

function record(definition: Record<string, unknown>, space: string, names: Names, limits: Limits, level: number): Read {
  const slot = { read: (() => undefined) as Read }
  const inner = register(definition, space, names, slot)
  const fields = definition.fields
  if (!Array.isArray(fields)) throw new AvroError(`record ${String(definition.name)} has no fields`)
  const keys = fields.map((field: Record<string, unknown>) => String(field.name))
  const reads = fields.map((field: Record<string, unknown>) => compile(field.type, inner, names, limits, level + 1))
  slot.read = nested(limits, (cursor) => {
    const value: Record<string, unknown> = {}
    for (let i = 0; i < keys.length; i++) value[keys[i] as string] = (reads[i] as Read)(cursor)
    return value
  })
  return slot.read
}

function register(definition: Record<string, unknown>, space: string, names: Names, slot: { read: Read }): string {
  const name = String(definition.name ?? '')
  if (name === '') throw new AvroError('a named type has no name')
  const dot = name.lastIndexOf('.')
  const inner = dot >= 0 ? name.slice(0, dot) : String(definition.namespace ?? space)
  const short = dot >= 0 ? name.slice(dot + 1) : name
  names.set(inner === '' ? short : `${inner}.${short}`, slot)
  return inner
}

function declare(definition: Record<string, unknown>, space: string, names: Names, read: Read): Read {
  register(definition, space, names, { read })
  return read
}

function named(name: string, space: string, names: Names): Read {
  const slot = (name.includes('.') || space === '' ? undefined : names.get(`${space}.${name}`)) ?? names.get(name)
  if (!slot) throw new AvroError(`the schema names an unknown type "${name}"`)
  return (cursor) => slot.read(cursor)
}

function primitive(name: string, limits: Limits): Read | undefined {
  switch (name) {
    case 'null':
      return () => null
    case 'boolean':
      return (cursor) => {
        const byte = take(cursor, 1)[0]
        if (byte !== 0 && byte !== 1) throw new AvroError(`a boolean is 0 or 1, got ${byte}`)
        return byte === 1
      }
    case 'int':
      return readInt
    case 'long':
      return readLong
    case 'float':
      return (cursor) => finite(take(cursor, 4).readFloatLE(0))
    case 'double':
      return (cursor) => finite(take(cursor, 8).readDoubleLE(0))
    case 'bytes':
      return (cursor) => take(cursor, readLength(cursor))
    case 'string':
      return (cursor) => readText(cursor, limits)
    default:
      return undefined
  }
}

/** NaN and infinities have no JSON form and poison every aggregate: they are missing. */
const finite = (value: number): number | null => (Number.isFinite(value) ? value : null)

function logical(definition: Record<string, unknown>, read: Read): Read {
  switch (definition.logicalType) {
    case 'decimal': {
      const scale = Number(definition.scale ?? 0)
      return (cursor) => {
        const bytes = read(cursor)
        return Buffer.isBuffer(bytes) ? decimalText(bytes, scale) : bytes
      }
    }
    case 'date':
      return (cursor) => isoOf(read(cursor), 86_400_000n, 1n)?.slice(0, 10) ?? null
    case 'timestamp-millis':
      return (cursor) => isoOf(read(cursor), 1n, 1n)
    case 'timestamp-micros':
      return (cursor) => isoOf(read(cursor), 1n, 1_000n)
    case 'timestamp-nanos':
      return (cursor) => isoOf(read(cursor), 1n, 1_000_000n)
    case 'local-timestamp-millis':
      return (cursor) => isoOf(read(cursor), 1n, 1n)?.slice(0, -1) ?? null
    case 'local-timestamp-micros':
      return (cursor) => isoOf(read(cursor), 1n, 1_000n)?.slice(0, -1) ?? null
    default:
      return read
  }
}

/** RFC 3339 of `value × multiply ÷ divide` milliseconds; null outside the range of dates. */
function isoOf(value: unknown, multiply: bigint, divide: bigint): string | null {
  if (typeof value !== 'number' && typeof value !== 'string') return null
  if (multiply === 1n && divide === 1n && typeof value === 'number')
    return Math.abs(value) <= 8.64e15 ? new Date(value).toISOString() : null
  const scaled = BigInt(value) * multiply
  const floor = scaled / divide - (scaled < 0n && scaled % divide !== 0n ? 1n : 0n)
  const ms = Number(floor)
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : null
}

/** Two's complement, big-endian, unscaled → exact decimal text. */
function decimalText(bytes: Buffer, scale: number): string {
  const unsigned = bytes.length === 0 ? 0n : BigInt(`0x${bytes.toString('hex')}`)
  const value = bytes.length > 0 && (bytes[0] as number) & 0x80 ? unsigned - (1n << BigInt(bytes.length * 8)) : unsigned
  if (scale <= 0) return value.toString()
  const sign = value < 0n ? '-' : ''
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0')
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

function nested(limits: Limits, read: Read): Read {
  return (cursor) => {
    if (++cursor.depth > limits.depth)
      throw new AvroError(`nested more than limits.depth (${limits.depth}) deep`, { limit: true })
    const value = read(cursor)
    cursor.depth--
    return value
  }
}

function take(cursor: Cursor, size: number): Buffer {
  const end = cursor.at + size
  if (end > cursor.bytes.length) throw new AvroError(`the record ends ${end - cursor.bytes.length} bytes too early`)
  const slice = cursor.bytes.subarray(cursor.at, end)
  cursor.at = end
  return slice
}

/** Zig-zag varint of at most 5 bytes. */
function readInt(cursor: Cursor): number {
  const value = readLong(cursor)
  if (typeof value !== 'number' || value < -2_147_483_648 || value > 2_147_483_647)
    throw new AvroError('an int is out of its 32-bit range')
  return value
}

/** Zig-zag varint; numbers up to 2^53, text beyond. */
function readLong(cursor: Cursor): number | string {
  const { bytes } = cursor
  let value = 0
  let factor = 1
  for (let i = 0; i < 7; i++) {
    const byte = bytes[cursor.at++]
    if (byte === undefined) throw new AvroError('the record ends inside a number')
    value += (byte & 0x7f) * factor
    if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    factor *= 128
  }
  // beyond 49 bits: exact, slow
  let wide = BigInt(value)
  for (let shift = 49n; shift < 70n; shift += 7n) {
    const byte = bytes[cursor.at++]
    if (byte === undefined) throw new AvroError('the record ends inside a number')
    wide |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) {
      if (wide >= 1n << 64n) break
      const signed = wide & 1n ? -((wide + 1n) >> 1n) : wide >> 1n
      const number = Number(signed)
      return Number.isSafeInteger(number) ? number : signed.toString()
    }
  }
  throw new AvroError('a long is out of its 64-bit range')
}

function readLength(cursor: Cursor): number {
  const length = readLong(cursor)
  if (typeof length !== 'number' || length < 0 || length > cursor.bytes.length - cursor.at)
    throw new AvroError('a length is negative or beyond the end of the record')
  return length
}

function readText(cursor: Cursor, limits: Limits): string {
  const bytes = take(cursor, readLength(cursor))
  const text = bytes.toString('utf8')
  if (text.length > limits.stringLength)
    throw new AvroError(`a text of ${text.length} characters; limits.stringLength is ${limits.stringLength}`, {
      limit: true,
    })
  return text
}

/** Items of the next block; a negative count is followed by the block's size. Each item takes a byte at least. */
function blockCount(cursor: Cursor): number {
  let count = readLong(cursor)
  if (typeof count === 'number' && count < 0) {
    count = -count
    readLong(cursor)
  }
  if (typeof count !== 'number' || count > cursor.bytes.length - cursor.at)
    throw new AvroError('a list claims more items than the record has bytes')
  return count
}

/** Types whose values take no bytes: a list of them could claim any length. */
function isEmptyType(schema: unknown): boolean {
  if (schema === 'null') return true
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return false
  const definition = schema as { type?: unknown; size?: unknown; fields?: unknown }
  if (definition.type === 'fixed') return definition.size === 0
  if (definition.type === 'record')
    return Array.isArray(definition.fields) && definition.fields.every((field) => isEmptyType(field?.type))
  return typeof definition.type === 'object' || definition.type === 'null' ? isEmptyType(definition.type) : false
}
