import type { Application } from '../../app/schema.ts'
import { groupOf, type TopicNames } from '../../app/topics.ts'
import type { LogRecord, NewRecord } from '../../engine/ports.ts'
import { deadLetter, frame } from '../../outputs/index.ts'
import type { XdmSchema } from '../../xdm/index.ts'
import type { Alignment } from '../alignment.ts'
import type { Stage } from '../stage.ts'
import type { Metrics } from '../telemetry.ts'
import { traced } from '../trace.ts'
import { alignedBy, type EventSource, HISTORY_HEADER, SOURCE_HEADER, type Sourced } from './event-source.ts'

const HISTORY = Buffer.from('1')

/** raw.<source> → xdm.events, re-keyed by the primary identity. Keeps no state: duplicates are the profile stage's business. */
export function mapStage(options: {
  app: Application
  topics: TopicNames
  source: string
  events: EventSource
  schema: XdmSchema
  schemaId: number
  isHistory: (record: LogRecord) => boolean
  /** Of all sources: their events meet in the profiles. */
  alignment: Alignment
  metrics: Metrics
}): Stage<Sourced, never, Sourced> {
  const { app, topics, source, events, schema, schemaId, isHistory, alignment, metrics } = options
  const name = `map.${source}`
  const sourceHeader = Buffer.from(source)
  return {
    name,
    group: groupOf(app, name),
    topic: topics.raw(source),
    stateExpireMs: undefined,
    aligned: alignedBy(alignment),
    prepare: (records) => events.read(records),
    keys: () => [],
    decode: () => {
      throw new Error(`${name} keeps no state`)
    },
    compute: (work) => ({ changed: new Map(), work }),
    async outputs({ events: mapped, refused }) {
      const outputs: NewRecord[] = mapped.map(({ event, record }) => ({
        topic: topics.events,
        key: Buffer.from(event.key),
        value: frame(schemaId, schema.encode(event)),
        headers: {
          [SOURCE_HEADER]: sourceHeader,
          ...(isHistory(record) ? { [HISTORY_HEADER]: HISTORY } : {}),
          ...traced(name, record.headers),
        },
      }))
      for (const { record, rejection } of refused) {
        metrics.count('rtml_rejected_total', [name, rejection.code])
        outputs.push(deadLetter(record, rejection, topics.deadRaw))
      }
      return outputs
    },
    poison: (record: LogRecord, message) => deadLetter(record, { code: 'POISON', path: '', message }, topics.deadRaw),
  }
}
