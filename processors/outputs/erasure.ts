/** Orders to forget a person, and what became of them. They stand in the topic `control`, without the person's identity. */
import { createHmac } from 'node:crypto'
import { type EpochMs, epochMs } from '../app/units.ts'

/** What the profile stage is told in its input, keyed by the profile: see runtime/stages/control-records.ts. */
export interface EraseOrder {
  /** Of the request. */
  readonly id: string
  /** All identities of the person, this profile's included. */
  readonly identities: readonly string[]
  /** Keys of other entities that are about this person alone. */
  readonly entities: Readonly<Record<string, readonly string[]>>
}

/** The profile stage's answer: the state is gone, and everything that follows from it was told. */
export interface Erased {
  readonly request: string
  /** `subjectOf` the profile's key. */
  readonly subject: string
  readonly at: EpochMs
  /** Of the order: what comes after it belongs to a new profile. */
  readonly place: string
  /** Whether there was a state. */
  readonly found: boolean
}

/** Identities of one person; an order for more is not believed. */
export const IDENTITIES_MAX = 256
const ENTITY_KEYS_MAX = 2_000
const SUBJECT_BYTES = 16

/** Stands for a profile's key where the key must not stand. Only who has the secret can tell whether it stands for a given key. */
export const subjectOf = (secret: string, key: string): string =>
  createHmac('sha256', secret)
    .update('erase\0')
    .update(key)
    .digest('hex')
    .slice(0, SUBJECT_BYTES * 2)

/** @returns undefined for what is no such order */
export function parseEraseOrder(data: unknown): EraseOrder | undefined {
  const { id, identities = [], entities = {} } = (data ?? {}) as Record<string, unknown>
  if (typeof id !== 'string' || id.length > 128 || !isTexts(identities, IDENTITIES_MAX)) return undefined
  if (typeof entities !== 'object' || entities === null) return undefined
  const lists = Object.values(entities as object)
  if (!lists.every((list) => isTexts(list, ENTITY_KEYS_MAX))) return undefined
  return { id, identities, entities: entities as EraseOrder['entities'] }
}

const isTexts = (value: unknown, max: number): value is string[] =>
  Array.isArray(value) && value.length <= max && value.every((it) => typeof it === 'string')

export const erasedKey = (request: string, subject: string): string => `erased:${request}:${subject}`

export const erasedRecord = (topic: string, erased: Erased): { topic: string; key: Buffer; value: Buffer } => ({
  topic,
  key: Buffer.from(erasedKey(erased.request, erased.subject)),
  value: Buffer.from(JSON.stringify({ ...erased, at: new Date(erased.at).toISOString() })),
})

/** @returns undefined for another kind of record */
export function parseErased(record: {
  readonly key: Buffer | null
  readonly value: Buffer | null
}): Erased | undefined {
  if (!record.value || !record.key?.toString().startsWith('erased:')) return undefined
  const { request, subject, at, place, found } = JSON.parse(record.value.toString()) as Record<string, unknown>
  const time = Date.parse(String(at))
  if (typeof request !== 'string' || typeof subject !== 'string' || typeof place !== 'string') return undefined
  return Number.isNaN(time) ? undefined : { request, subject, at: epochMs(time), place, found: found === true }
}
