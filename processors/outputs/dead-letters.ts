import type { Code, Rejection } from '../app/errors.ts'
import { type EpochMs, epochMs, type Offset, offset } from '../app/units.ts'
import { unframe } from './wire.ts'

const MAX_MESSAGE_BYTES = 1_024
const MAX_PATH_BYTES = 512
const PREFIX = 'rtml-'

type Headers = Readonly<Record<string, Buffer>>

/** The record that was refused, as the log gave it. */
export interface RefusedRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
  readonly timestamp: EpochMs
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Headers
}

export interface DeadLetterRecord {
  readonly topic: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Headers
}

/**
 * The dead letter of a refused record: key, value and headers as they were, the reason and the place in headers.
 * Headers of an earlier refusal (a replayed dead letter that failed again) are replaced.
 */
export function deadLetter(record: RefusedRecord, rejection: Rejection, topic: string): DeadLetterRecord {
  const headers: Record<string, Buffer> = {}
  for (const [name, value] of Object.entries(record.headers)) if (!name.startsWith(PREFIX)) headers[name] = value
  headers['rtml-code'] = Buffer.from(rejection.code)
  headers['rtml-path'] = cut(rejection.path, MAX_PATH_BYTES)
  headers['rtml-message'] = cut(rejection.message, MAX_MESSAGE_BYTES)
  headers['rtml-topic'] = Buffer.from(record.topic)
  headers['rtml-partition'] = Buffer.from(String(record.partition))
  headers['rtml-offset'] = Buffer.from(String(record.offset))
  headers['rtml-timestamp'] = Buffer.from(String(record.timestamp))
  const schemaId = record.value && unframe(record.value)?.schemaId
  if (schemaId != null) headers['rtml-schema-id'] = Buffer.from(String(schemaId))
  return { topic, key: record.key, value: record.value, headers }
}

export interface DeadLetter {
  readonly rejection: Rejection
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
  readonly timestamp: EpochMs
  /** Of a framed value. */
  readonly schemaId: number | undefined
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** The original ones. */
  readonly headers: Headers
}

/** Reads a dead letter back. @returns undefined when a header is missing or not a number where it must be */
export function parseDeadLetter(record: Omit<DeadLetterRecord, 'topic'>): DeadLetter | undefined {
  const text = (name: string): string | undefined => record.headers[name]?.toString('utf8')
  const whole = (name: string): number | undefined => {
    const value = text(name)
    return value !== undefined && /^-?\d{1,16}$/.test(value) ? Number(value) : undefined
  }
  const code = text('rtml-code')
  const topic = text('rtml-topic')
  const [partition, position, timestamp] = [whole('rtml-partition'), whole('rtml-offset'), whole('rtml-timestamp')]
  if (code === undefined || topic === undefined) return undefined
  if (partition === undefined || position === undefined || timestamp === undefined) return undefined
  return {
    // A code of another version of rtml is passed on as it is: it is shown, never switched on.
    rejection: { code: code as Code, path: text('rtml-path') ?? '', message: text('rtml-message') ?? '' },
    topic,
    partition,
    offset: offset(position),
    timestamp: epochMs(timestamp),
    schemaId: whole('rtml-schema-id'),
    key: record.key,
    value: record.value,
    headers: Object.fromEntries(Object.entries(record.headers).filter(([name]) => !name.startsWith(PREFIX))),
  }
}

/** At most `maxBytes` of UTF-8, never half a character. */
function cut(text: string, maxBytes: number): Buffer {
  // A character has at least one byte: the slice bounds the work on a very long message.
  const bytes = Buffer.from(text.slice(0, maxBytes))
  if (bytes.length <= maxBytes) return bytes
  let end = maxBytes
  while ((bytes[end]! & 0xc0) === 0x80) end--
  return bytes.subarray(0, end)
}
