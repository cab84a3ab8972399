import type { Headers, LogRecord, NewRecord } from '../../engine/ports.ts'
import type { EventSource, Sourced } from './event-source.ts'

/**
 * Records that rtml itself appends to a stage's input, so that what they order has a position among the events and every
 * replay meets it at the same place. The kind and its data stand in headers and the value is null: whoever reads the topic
 * without knowing them sees a tombstone.
 */
export interface Control {
  readonly kind: ControlKind
  readonly record: LogRecord
  /** The record's key as text: for a keyed stage, the key of the state. Undefined: for the partition as a whole. */
  readonly key: string | undefined
  /** JSON as it was appended; check it before use. */
  readonly data: unknown
  /** Index of the first event of the batch that comes after it; the number of events when none does. */
  readonly before: number
}

/** `tick`: a timer is due; `scores`: what models said of an event comes back; `rules`: changed segments and decisions hold from here. */
export type ControlKind = 'erase' | 'consent' | 'tick' | 'scores' | 'rules'

const KINDS: ReadonlySet<string> = new Set<ControlKind>(['erase', 'consent', 'tick', 'scores', 'rules'])
const KIND_HEADER = 'rtml-control'
const DATA_HEADER = 'rtml-control-data'
const DATA_BYTES = 65_536

const NO_CONTROLS: readonly Control[] = []

/** @param order `partition`: where there is no key */
export function controlRecord(order: {
  readonly topic: string
  readonly kind: ControlKind
  readonly key?: string
  readonly partition?: number
  readonly data: unknown
}): NewRecord {
  const { topic, kind, key, partition, data } = order
  const headers: Headers = { [KIND_HEADER]: Buffer.from(kind), [DATA_HEADER]: Buffer.from(JSON.stringify(data)) }
  const place = partition === undefined ? {} : { partition }
  return { topic, key: key === undefined ? null : Buffer.from(key), value: null, headers, ...place }
}

/** Kind of a control record; undefined for an event, and for kinds that only a later version knows. */
export function controlKind({ headers, value }: Pick<LogRecord, 'headers' | 'value'>): ControlKind | undefined {
  const kind = value === null ? headers[KIND_HEADER]?.toString() : undefined
  return kind !== undefined && KINDS.has(kind) ? (kind as ControlKind) : undefined
}

/** A source whose control records are taken out before anything tries to decode them as events. */
export function withControls(events: EventSource): EventSource {
  return {
    async read(records) {
      const isControl = records.some(isControlRecord)
      const sourced = await events.read(isControl ? records.filter((record) => !isControlRecord(record)) : records)
      return isControl ? { ...sourced, controls: controlsOf(records, sourced) } : sourced
    },
  }
}

/** The control records of a batch, in log order. */
export const controlsIn = ({ controls }: Sourced): readonly Control[] => controls ?? NO_CONTROLS

const isControlRecord = ({ headers, value }: LogRecord): boolean => value === null && headers[KIND_HEADER] !== undefined

function controlsOf(records: readonly LogRecord[], { events }: Sourced): Control[] {
  const controls: Control[] = []
  let before = 0
  for (const record of records) {
    const kind = controlKind(record)
    if (kind === undefined) continue
    while (before < events.length && events[before]!.record.offset < record.offset) before++
    const data = dataOf(record)
    // Appended by a hand, or cut: an order that can't be read orders nothing.
    if (data !== undefined) controls.push({ kind, record, key: record.key?.toString(), data, before })
  }
  return controls
}

/** Data of a control record of a kind; undefined for any other record. */
export const controlData = (record: LogRecord, kind: ControlKind): unknown =>
  controlKind(record) === kind ? dataOf(record) : undefined

function dataOf({ headers }: LogRecord): unknown {
  const bytes = headers[DATA_HEADER]
  if (bytes === undefined || bytes.length > DATA_BYTES) return undefined
  try {
    return JSON.parse(bytes.toString()) as unknown
  } catch {
    return undefined
  }
}
