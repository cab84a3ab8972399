import type { Rejection } from '../../app/errors.ts'
import type { XdmEvent } from '../../app/event.ts'
import type { EpochMs, Offset } from '../../app/units.ts'
import type { Headers, LogRecord } from '../../engine/ports.ts'
import type { Mapper, RawRecord } from '../../mapper/index.ts'
import { unframe } from '../../outputs/index.ts'
import type { XdmSchema } from '../../xdm/index.ts'
import type { Alignment } from '../alignment.ts'
import type { Aligned } from '../stage.ts'
import type { Metrics } from '../telemetry.ts'
import type { Control } from './control-records.ts'

/** An event with the record that carried it. */
export interface SourcedEvent {
  readonly event: XdmEvent
  readonly record: LogRecord
  /** Name of the source in the application file. */
  readonly source: string
}

export interface Refused {
  readonly record: LogRecord
  readonly rejection: Rejection
}

export interface Sourced {
  readonly events: readonly SourcedEvent[]
  readonly refused: readonly Refused[]
  /** Records that order something among the events: see control-records.ts. Absent: none. */
  readonly controls?: readonly Control[]
}

/** How a stage's records become events. */
export interface EventSource {
  /** @throws RtmlError REGISTRY_DOWN */
  read(records: readonly LogRecord[]): Promise<Sourced>
}

/** How a stage's partitions are kept together in event time. */
export function alignedBy<Prepared extends Sourced>(alignment: Alignment): Aligned<Prepared> {
  return {
    alignment,
    times({ events }) {
      const times: { offset: Offset; time: number }[] = []
      for (const { event, record } of events) {
        // An event that is dated ahead of its arrival must not be waited with until that time has come.
        const time = Math.min(event.ts, record.timestamp)
        const last = times.at(-1)
        if (last?.offset === record.offset) last.time = Math.max(last.time, time)
        else times.push({ offset: record.offset, time })
      }
      return times
    },
    split(prepared, at) {
      const isHead = ({ record }: { readonly record: LogRecord }) => record.offset < at
      const isTail = (it: { readonly record: LogRecord }) => !isHead(it)
      const events = prepared.events.filter(isHead)
      const shifted = (control: Control) => ({ ...control, before: control.before - events.length })
      const { controls } = prepared
      return [
        {
          ...prepared,
          events,
          refused: prepared.refused.filter(isHead),
          ...(controls ? { controls: controls.filter(isHead) } : {}),
        },
        {
          ...prepared,
          events: prepared.events.filter(isTail),
          refused: prepared.refused.filter(isTail),
          ...(controls ? { controls: controls.filter(isTail).map(shifted) } : {}),
        },
      ]
    },
  }
}

/** Header of records from before the application went live: they change states, and are neither scored nor sampled. */
export const HISTORY_HEADER = 'rtml-history'

/** Header of `xdm.events` with the name of the source. */
export const SOURCE_HEADER = 'rtml-source'

/** Records of a raw topic through a mapper. */
export function mappedSource(mapper: Mapper, metrics: Metrics): EventSource {
  return {
    async read(records) {
      const raw = records.map((record) => new LogRaw(record))
      await mapper.prepare(raw)
      const events: SourcedEvent[] = []
      const refused: Refused[] = []
      let skipped = 0
      for (let index = 0; index < raw.length; index++) {
        const record = records[index]!
        const result = mapper.map(raw[index]!)
        for (const event of result.events) events.push({ event, record, source: mapper.source })
        for (const rejection of result.rejected) refused.push({ record, rejection })
        skipped += result.skipped
        if (result.nulled.size === 0) continue
        for (const [path, count] of result.nulled) metrics.count('rtml_nulled_total', [mapper.source, path], count)
      }
      const stage = `map.${mapper.source}`
      if (events.length > 0) metrics.count('rtml_events_total', [stage, 'mapped'], events.length)
      if (skipped > 0) metrics.count('rtml_events_total', [stage, 'skipped'], skipped)
      return { events, refused }
    },
  }
}

/** A record of the log as mappers take it. Its place is only made where a message or an id wants it. */
class LogRaw implements RawRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Headers
  readonly timestamp: EpochMs
  readonly #record: LogRecord

  constructor(record: LogRecord) {
    this.key = record.key
    this.value = record.value
    this.headers = record.headers
    this.timestamp = record.timestamp
    this.#record = record
  }

  get place(): string {
    return `${this.#record.topic}[${this.#record.partition}]@${this.#record.offset}`
  }
}

/** Records of `xdm.events`: framed Avro, of this version of the schema or of another one. */
export function xdmSource(
  schema: XdmSchema,
  schemaId: number,
  schemaById: (id: number) => Promise<object>,
): EventSource {
  const decoders = new Map<number, (payload: Buffer) => XdmEvent>([[schemaId, (payload) => schema.decode(payload)]])
  return {
    async read(records) {
      const events: SourcedEvent[] = []
      const refused: Refused[] = []
      for (const record of records) {
        const framed = record.value && unframe(record.value)
        if (!framed) {
          if (record.value)
            refused.push({
              record,
              rejection: { code: 'DECODE', path: '', message: 'not framed Avro: the first byte is not 0' },
            })
          continue
        }
        try {
          let decode = decoders.get(framed.schemaId)
          if (!decode) {
            decode = schema.resolver(await schemaById(framed.schemaId))
            decoders.set(framed.schemaId, decode)
          }
          events.push({
            event: decode(framed.payload),
            record,
            source: record.headers[SOURCE_HEADER]?.toString() ?? '',
          })
        } catch (error) {
          refused.push({ record, rejection: rejectionOf(error) })
        }
      }
      return { events, refused }
    },
  }
}

function rejectionOf(error: unknown): Rejection {
  const { code, message } = error as { code?: string; message: string }
  if (code === 'SCHEMA_ID' || code === 'DECODE') return { code, path: '', message }
  throw error
}
