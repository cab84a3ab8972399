/** Which source the events of a datastream go to, and in what form its mapping takes them. */
import { RtmlError } from '../app/errors.ts'
import type { XdmEvent } from '../app/event.ts'
import type { Application } from '../app/schema.ts'
import { fusedSource } from '../app/topics.ts'
import type { Clock } from '../app/units.ts'
import type { Headers, NewRecord } from '../engine/ports.ts'
import type { Mapper } from '../mapper/index.ts'
import type { MapResult } from '../mapper/types.ts'
import type { Plan } from '../topology.ts'

/** An event as a client of the Edge Network API sends it. */
export interface IncomingEvent {
  readonly xdm: Readonly<Record<string, unknown>>
  readonly data?: unknown
}

/** A source that takes XDM: what comes in becomes a raw record, and at once the very event that the stream will see. */
export interface Datastream {
  readonly source: string
  /** @param headers of the request that belong to the record */
  take(event: IncomingEvent, headers: Headers): Taken
}

export interface Taken {
  readonly mapped: MapResult
  readonly record: NewRecord
}

/**
 * `request`: the record is a request body, {events: [{xdm, data}]}, for mappings such as `websdk`; `xdm`: the record is the
 * XDM itself, for mappings such as `xdm` and `adobe-analytics`. Found out by trying, because a mapping may be anything.
 */
type RecordForm = 'request' | 'xdm'

export class Datastreams {
  readonly #byId = new Map<string, Datastream>()

  constructor(plan: Pick<Plan, 'app' | 'topics' | 'mappers'>, clock: Clock) {
    const { app, mappers, topics } = plan
    const bySource = new Map<string, Datastream>()
    for (const [source, mapper] of mappers) {
      const form = formOf(mapper, app, clock)
      if (form === undefined) continue
      const isFused = fusedSource(app) === source
      const datastream = datastreamOf({ mapper, form, topic: topics.raw(source), isFused, clock })
      bySource.set(source, datastream)
      this.#byId.set(source, datastream)
    }
    for (const [id, source] of Object.entries(app.edge.datastreams)) {
      const datastream = bySource.get(source)
      if (datastream === undefined) {
        const message = `the mapping of source ${JSON.stringify(source)} takes neither XDM nor requests of the Web SDK. Use mapping: websdk.`
        throw new RtmlError('CONFIG', message, { place: `edge.datastreams.${id}` })
      }
      this.#byId.set(id, datastream)
    }
  }

  /** By the id of the application file, or by the name of a source. */
  find(id: string): Datastream | undefined {
    return this.#byId.get(id)
  }

  ids(): string[] {
    return [...this.#byId.keys()]
  }
}

function datastreamOf(options: {
  mapper: Mapper
  form: RecordForm
  topic: string
  isFused: boolean
  clock: Clock
}): Datastream {
  const { mapper, form, topic, isFused, clock } = options
  return {
    source: mapper.source,
    take(event, headers) {
      const value = recordOf(form, event)
      const mapped = mapper.map({ key: null, value, headers, timestamp: clock.now(), place: 'edge' })
      // The identity as key keeps a visitor's events in order; a fused source needs it.
      const key = mapped.events[0]?.key
      const isOne = mapped.events.every((it: XdmEvent) => it.key === key)
      return { mapped, record: { topic, key: key && (isOne || isFused) ? Buffer.from(key) : null, value, headers } }
    },
  }
}

const recordOf = (form: RecordForm, { xdm, data }: IncomingEvent): Buffer =>
  Buffer.from(JSON.stringify(form === 'xdm' ? xdm : { events: [data === undefined ? { xdm } : { xdm, data }] }))

const PROBE_ID = 'rtml-edge-probe'

function formOf(mapper: Mapper, app: Application, clock: Clock): RecordForm | undefined {
  const now = clock.now()
  const xdm = {
    _id: PROBE_ID,
    timestamp: new Date(now).toISOString(),
    eventType: 'web.webpagedetails.pageViews',
    identityMap: probeIdentities(app),
  }
  return (['request', 'xdm'] as const).find((form) => {
    const value = recordOf(form, { xdm })
    const { events } = mapper.map({ key: null, value, headers: {}, timestamp: now, place: 'edge' })
    return events.length === 1 && events[0]?.id === PROBE_ID
  })
}

/** Ids in the form of their namespaces, so that whatever the application allows is there. */
function probeIdentities({ identity }: Application): Record<string, { id: string }[]> {
  const namespaces = new Set(['ECID', ...identity.priority, ...(identity.allowed ?? [])])
  return Object.fromEntries(
    [...namespaces].map((namespace) => [namespace, [{ id: PROBE_IDS[namespace] ?? '12345678901234567890' }]]),
  )
}

const PROBE_IDS: Readonly<Record<string, string>> = {
  ECID: '12345678901234567890123456789012345678',
  Email: 'probe@example.com',
  Email_LC_SHA256: 'a'.repeat(64),
  Phone: '+14155550100',
  Phone_SHA256: 'a'.repeat(64),
}
