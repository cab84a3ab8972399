import type { LogRecord } from '../engine/ports.ts'

/** What stands for a person in bytes. */
export interface Needles {
  readonly identities: readonly string[]
  /** Whether the record is keyed by one of the identities. */
  isKeyOf(record: Pick<LogRecord, 'key'>): boolean
  /** Whether a text, such as the key of a state, names the person. */
  isIn(text: string): boolean
  /** Whether key, value or headers of a record hold one of the ids. */
  isInRecord(record: Pick<LogRecord, 'key' | 'value' | 'headers'>): boolean
  isInBytes(bytes: Buffer): boolean
}

/** Shorter ids stand in other people's bytes by chance: they count only where they are a text of their own. */
const DISTINCT_BYTES = 8

/**
 * @param identities `<NAMESPACE>:<id>`
 * @param spellings other forms of the ids: as they were typed, before they were hashed
 */
export function needlesOf(identities: readonly string[], spellings: readonly string[] = []): Needles {
  const keys = identities.map((it) => Buffer.from(it))
  const ids = [...new Set([...identities.map((it) => it.slice(it.indexOf(':') + 1)), ...spellings])]
  const patterns = ids.filter((id) => id !== '').flatMap(patternsOf)
  // Whole parts only: ECID:v7 is not in ECID:v70.
  const isIn = (text: string) => partsOf(text).some((part) => identities.includes(part) || ids.includes(part))
  const isInBytes = (bytes: Buffer) => patterns.some((pattern) => bytes.includes(pattern))
  return {
    identities,
    isKeyOf: ({ key }) => key !== null && keys.some((it) => it.equals(key)),
    isIn,
    isInBytes,
    isInRecord({ key, value, headers }) {
      if (key !== null && (isIn(key.toString()) || isInBytes(key))) return true
      if (value !== null && isInBytes(value)) return true
      return Object.values(headers).some(isInBytes)
    },
  }
}

/** Parts of a crossed key: see features/keys.ts. */
const partsOf = (key: string): string[] => key.split(/(?<!\\)\|/).map((part) => part.replaceAll(/\\([\\|])/g, '$1'))

function patternsOf(id: string): Buffer[] {
  const bytes = Buffer.from(id)
  const quoted = Buffer.from(JSON.stringify(id))
  if (bytes.length >= DISTINCT_BYTES) {
    const escaped = quoted.subarray(1, -1)
    return escaped.equals(bytes) ? [bytes] : [bytes, escaped]
  }
  // Avro writes the length of a text, zigzag, before it; 7 bytes at most, so one byte.
  return [quoted, Buffer.concat([Buffer.from([bytes.length * 2]), bytes])]
}
