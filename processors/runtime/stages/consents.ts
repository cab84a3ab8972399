import { type EpochMs, epochMs } from '../../app/units.ts'
import type { NewRecord } from '../../engine/ports.ts'
import { type Control, controlRecord } from './control-records.ts'

/** What a person said about `consents.collect`, and when: the later word wins. */
export interface Consent {
  readonly val: 'y' | 'n'
  readonly at: EpochMs
}

/** @param topic input of the profile stage @param key of the profile */
export const consentRecord = (topic: string, key: string, { val, at }: Consent): NewRecord =>
  controlRecord({ topic, kind: 'consent', key, data: { val, at } })

/** @returns undefined for another kind of record, and for what says neither yes nor no */
export function consentOf({ kind, data }: Control): Consent | undefined {
  if (kind !== 'consent') return undefined
  const { val, at } = (data ?? {}) as Record<string, unknown>
  if ((val !== 'y' && val !== 'n') || typeof at !== 'number' || !Number.isFinite(at)) return undefined
  return { val, at: epochMs(at) }
}

/** Begins a section of a packed profile; those of segments begin with another byte. */
const MARK = 0xc0
const BYTES = 10

export function encodeConsent({ val, at }: Consent): Buffer {
  const bytes = Buffer.alloc(BYTES)
  bytes[0] = MARK
  bytes[1] = val === 'y' ? 1 : 0
  bytes.writeDoubleLE(at, 2)
  return bytes
}

/** @returns the consent at the beginning of the bytes, if one is there, and what comes after it */
export function decodeConsent(bytes: Buffer): { readonly consent: Consent | undefined; readonly rest: Buffer } {
  if (bytes.length < BYTES || bytes[0] !== MARK) return { consent: undefined, rest: bytes }
  const consent: Consent = { val: bytes[1] === 1 ? 'y' : 'n', at: epochMs(bytes.readDoubleLE(2)) }
  return { consent, rest: bytes.subarray(BYTES) }
}
