import type { LogRecord } from '../../engine/ports.ts'
import { hash48, SEED } from '../../features/hash.ts'
import { SampleTable } from '../../outputs/index.ts'

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

/** Event ids and what must match are kept as numbers; '' stays 0, so that most matches cost nothing. */
export const idHash = (id: string): number => hash48(id, SEED.id)
export const matchHash = (match: string): number => (match === '' ? 0 : hash48(match, SEED.text))
