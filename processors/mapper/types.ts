import type { Rejection } from '../app/errors.ts'
import type { XdmEvent } from '../app/event.ts'
import type { EpochMs } from '../app/units.ts'

/** A record of a raw topic, or a line of a file, before decoding. */
export interface RawRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, Buffer>>
  /** Time of the append: the reference for the future-skew bound. */
  readonly timestamp: EpochMs
  /** `topic[partition]@offset`, or `file:line`. Part of the id of an event that carries neither an id nor a time. */
  readonly place: string
}

export interface MapResult {
  readonly events: readonly XdmEvent[]
  /** One entry a refused event; the other events of the record are not affected. */
  readonly rejected: readonly Rejection[]
  /** Events left out by `when` or by consent; counted, not errors. */
  readonly skipped: number
  /** Optional fields that became null because their value failed: path → count. */
  readonly nulled: ReadonlyMap<string, number>
  /** Fields of copied objects that the XDM schema doesn't know and so left out: path → count. */
  readonly dropped: ReadonlyMap<string, number>
}

/** One source's raw records → XDM events. */
export interface Mapper {
  readonly source: string
  /** Resolves what `map` needs from outside (writer schemas of Avro ids not seen yet). Call before `map`. @throws RtmlError REGISTRY_DOWN */
  prepare(records: readonly RawRecord[]): Promise<void>
  /** Pure and synchronous; never throws: whatever is wrong becomes a rejection. */
  map(record: RawRecord): MapResult
}
