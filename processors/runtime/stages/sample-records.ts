import type { LogRecord, NewRecord } from '../../engine/ports.ts'
import { hash48, SEED } from '../../features/hash.ts'
import { SampleTable } from '../../outputs/index.ts'
import { controlData, controlRecord } from './control-records.ts'

/** A record of `samples` and what is in it. */
export interface SampleRecord {
  readonly record: LogRecord
  readonly table: SampleTable
}

/** Decoded tables by record: a record is looked at when its time is awaited, and again when it is taken. */
const known = new WeakMap<LogRecord, SampleTable>()

/** @throws Error when a record is none of samples */
export function sampleRecords(records: readonly LogRecord[]): SampleRecord[] {
  return records.flatMap((record) => {
    if (!record.value) return []
    let table = known.get(record)
    if (!table) {
      table = new SampleTable(record.value)
      known.set(record, table)
    }
    return [{ record, table }]
  })
}

/** The order to settle no more samples of a pseudonym. It names nobody: the profile that had the pseudonym is gone. */
export interface ErasedSamples {
  readonly pseudonym: string
  readonly offset: number
}

/** @param partition of the profile stage's input: the record goes where the profile's samples are */
export function eraseSamplesRecord(topic: string, partition: number, pseudonym: Uint8Array): NewRecord {
  const text = Buffer.from(pseudonym).readBigUInt64LE().toString(16).padStart(16, '0')
  return controlRecord({ topic, kind: 'erase', key: String(partition), data: { pseudonym: text } })
}

/** The orders among records of `samples`. */
export function erasedSamples(records: readonly LogRecord[]): ErasedSamples[] {
  return records.flatMap((record) => {
    if (record.value !== null) return []
    const pseudonym = (controlData(record, 'erase') as { pseudonym?: unknown } | undefined)?.pseudonym
    return typeof pseudonym === 'string' ? [{ pseudonym, offset: record.offset }] : []
  })
}

/** Event ids and what must match are kept as numbers; '' stays 0, so that most matches cost nothing. */
export const idHash = (id: string): number => hash48(id, SEED.id)
export const matchHash = (match: string): number => (match === '' ? 0 : hash48(match, SEED.text))
