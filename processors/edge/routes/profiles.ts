import { Readable } from 'node:stream'
import { z } from 'zod'
import { groupOf } from '../../app/topics.ts'
import { epochMs, offset } from '../../app/units.ts'
import type { RuleState } from '../../decisions/rule-state.ts'
import { partitionOf } from '../../engine/murmur2.ts'
import type { LogRecord, PartitionBounds } from '../../engine/ports.ts'
import type { Vector } from '../../features/types.ts'
import { valuesOf } from '../../host/profile-view.ts'
import { decodeSamples, type ProfileScores, scoresReader, unframe } from '../../outputs/index.ts'
import { controlKind } from '../../runtime/stages/control-records.ts'
import type { Edge } from '../edge.ts'
import { profileOfIdentity } from '../links.ts'
import { findNewest } from '../log-search.ts'
import { Problem } from '../problem.ts'
import { profileTopic } from '../profile-reader.ts'
import { profileAnswer, whyAnswer } from '../schemas.ts'
import { featureValues, NO_KEY } from './predict.ts'
import { answers, inputOf, type RouteContext } from './route.ts'

export interface IdentityParams {
  readonly namespace: string
  readonly id: string
}

export const IDENTITY_PARAMS = {
  type: 'object',
  properties: {
    namespace: { type: 'string', pattern: '^[A-Za-z][A-Za-z0-9_]{0,63}$' },
    id: { type: 'string', minLength: 1, maxLength: 512 },
  },
  required: ['namespace', 'id'],
}

const SCORES_BACK = { maxOffsets: 20_000, maxMs: 250 }
/** Events of the profile answer, and how far behind the newest they are looked for: the rest is in the export. */
const EVENTS_MAX = 20
const EVENTS_BACK = 4_000
const SAMPLES_BACK = { maxOffsets: 4_000, maxMs: 1_000 }
const EXPLAIN_MS = 2_000
/** Features alone: no model is asked. */
const NO_SERVICE = ''

const whyQuery = z.strictObject({
  eventId: z.string().max(512).optional().meta({ description: 'the score of this event; default: the last one' }),
})

export function profileRoutes({ server, edge }: RouteContext): void {
  server.route<{ Params: IdentityParams }>({
    method: 'GET',
    url: '/v1/profiles/:namespace/:id',
    config: { scope: 'profiles:read' },
    schema: {
      tags: ['profiles'],
      summary:
        'Features with ages, scores of the last event, last events, position of the state; by any linked identity',
      params: IDENTITY_PARAMS,
      response: answers({ 200: profileAnswer }, [404]),
    },
    handler: ({ params }) => viewOf(edge(), params),
  })
  server.route<{ Params: IdentityParams; Querystring: z.output<typeof whyQuery> }>({
    method: 'GET',
    url: '/v1/profiles/:namespace/:id/why',
    config: { scope: 'profiles:read' },
    schema: {
      tags: ['profiles'],
      summary: 'Why a score is what it is: what the model saw, how much each feature moved it, and where the event is',
      params: IDENTITY_PARAMS,
      querystring: inputOf(whyQuery),
      response: answers({ 200: whyAnswer }, [404]),
    },
    handler: ({ params, query }) => whyOf(edge(), params, query.eventId),
  })
  server.route<{ Params: IdentityParams }>({
    method: 'GET',
    url: '/v1/profiles/:namespace/:id/export',
    config: { scope: 'profiles:read' },
    schema: {
      tags: ['profiles'],
      summary: 'Everything that is kept about a person under this identity, as JSON lines',
      params: IDENTITY_PARAMS,
      response: {
        ...answers({}, [404]),
        200: {
          description: 'JSON lines: {kind: profile | event | score, …}',
          content: { 'application/x-ndjson': { schema: { type: 'string' } } },
        },
      },
    },
    handler: async ({ params }, reply) => {
      const it = edge()
      const key = await keyOf(it, params)
      const lease = exports.take()
      // Also for a caller who leaves before the first line.
      reply.raw.once('close', () => lease.release())
      const lines = exportOf(it, params, key, () => lease.release())
      return reply
        .type('application/x-ndjson')
        .header('content-disposition', 'attachment; filename="profile.ndjson"')
        .send(Readable.from(lines))
    },
  })
}

/** @throws Problem when no profile can be kept under the identity */
async function keyOf(edge: Edge, params: IdentityParams): Promise<string> {
  const key = edge.keyOf(params)
  if (key !== undefined) return profileOfIdentity(edge, key, EXPLAIN_MS)
  throw new Problem('not-found', `${params.namespace}: ${NO_KEY}.`)
}

const missing = (params: IdentityParams): never => {
  throw new Problem('not-found', `There is no profile under this identity in namespace ${params.namespace}.`)
}

async function profileOf(edge: Edge, params: IdentityParams) {
  const key = await keyOf(edge, params)
  const question = { key, events: [], ages: true, budgetMs: EXPLAIN_MS, service: NO_SERVICE }
  const evaluation = await edge.evaluator.evaluate(question)
  const { profile } = evaluation
  if (profile?.status === 'unavailable') {
    throw new Problem('unavailable', 'The store does not answer.', { retryAfterS: 5 })
  }
  if (profile === undefined || (profile.status === 'new' && profile.pending === 0)) return missing(params)
  return { key, profile, evaluation }
}

async function viewOf(edge: Edge, params: IdentityParams): Promise<z.output<typeof profileAnswer>> {
  const { key, profile, evaluation } = await profileOf(edge, params)
  const partition = partitionOf(Buffer.from(key), edge.reader.partitions)
  const stage = edge.service.status().find(({ stage }) => stage === 'profile')
  const events = await lastEvents(edge, key)
  const last = events[0]
  const colon = key.indexOf(':')
  return {
    identity: params,
    profile: { namespace: key.slice(0, colon), id: key.slice(colon + 1) },
    partition,
    position: stage?.shards.get(partition)?.position ?? null,
    lastEventAt: Number.isFinite(profile.state.time) ? new Date(profile.state.time).toISOString() : null,
    stateBytes: profile.bytes,
    pendingEvents: profile.pending,
    featureSetVersion: edge.plan.featureSet.version,
    evaluatedAt: new Date(evaluation.at).toISOString(),
    features: featureValues(edge, evaluation.vector, evaluation.ages ?? []),
    segments: membershipsOf(edge, profile.rules),
    lastScores: last
      ? {
          eventId: last.scores.eventId,
          eventAt: new Date(last.scores.eventTime).toISOString(),
          processedAt: new Date(last.scores.processedAt).toISOString(),
          scores: last.scores.scores.map(servedScore),
        }
      : null,
    lastEvents: events.map(({ scores, place }) => ({
      eventId: scores.eventId,
      eventAt: new Date(scores.eventTime).toISOString(),
      processedAt: new Date(scores.processedAt).toISOString(),
      source: scores.source,
      place,
    })),
  }
}

function membershipsOf({ book }: Edge, rules: RuleState | undefined): z.output<typeof profileAnswer>['segments'] {
  return (book?.current.segments ?? []).flatMap(({ name, hash }) => {
    const membership = rules?.memberships.get(hash)
    if (!membership) return []
    const { isIn, since } = membership
    return [{ segment: name, status: isIn ? 'realized' : 'exited', since: new Date(since).toISOString() }]
  })
}

function servedScore({ model, version, role, output, score, fallback, explanation }: ProfileScores['scores'][number]) {
  return { model, version, role, output, score, fallback, ...(explanation ? { explanation: [...explanation] } : {}) }
}

interface FoundScores {
  readonly scores: ProfileScores
  readonly place: string
  readonly traceparent: string | null
}

/** The profile's newest scored events, newest first: each is a record of the scores. At most `EVENTS_MAX`. */
async function lastEvents(edge: Edge, key: string): Promise<FoundScores[]> {
  const bounds = await scoresOf(edge, key)
  if (!bounds) return []
  const bytes = Buffer.from(key)
  const found: LogRecord[] = []
  const collect = (record: LogRecord): true | undefined => {
    if (found[0] && found[0].offset - record.offset > EVENTS_BACK) return true
    if (!record.key?.equals(bytes)) return undefined
    // The person was erased here: what came before is nobody's.
    if (record.value === null) return true
    return found.push(record) >= EVENTS_MAX || undefined
  }
  await findNewest<true>(edge.engine.log, bounds, collect, SCORES_BACK, edge.clock)
  const read = scoresReader((id) => edge.engine.registry.schema(id))
  return Promise.all(found.map((record) => scoresIn(record, read)))
}

async function scoresIn(record: LogRecord, read: ReturnType<typeof scoresReader>): Promise<FoundScores> {
  const { value, headers, topic, partition, offset: at } = record
  return {
    scores: await read(value as Buffer),
    place: `${topic}[${partition}]@${at}`,
    traceparent: headers.traceparent?.toString() ?? null,
  }
}

/** The partition with the scores of a profile. */
async function scoresOf({ engine, plan }: Edge, key: string): Promise<PartitionBounds | undefined> {
  const all = await engine.log.bounds(plan.topics.scores)
  return all[partitionOf(Buffer.from(key), Math.max(1, all.length))]
}

async function lastScores(edge: Edge, key: string, eventId: string | undefined): Promise<FoundScores | undefined> {
  const bounds = await scoresOf(edge, key)
  if (!bounds) return undefined
  const bytes = Buffer.from(key)
  const read = scoresReader((id) => edge.engine.registry.schema(id))
  const { found } = await findNewest<FoundScores | 'erased'>(
    edge.engine.log,
    bounds,
    async (record) => {
      if (!record.key?.equals(bytes)) return undefined
      // The person was erased here: what came before is nobody's.
      if (record.value === null) return 'erased'
      const found = await scoresIn(record, read)
      return eventId !== undefined && found.scores.eventId !== eventId ? undefined : found
    },
    SCORES_BACK,
    edge.clock,
  )
  return found === 'erased' ? undefined : found
}

interface FoundSample {
  readonly vector: Vector
  readonly place: string
  readonly input: string | null
}

async function whyOf(
  edge: Edge,
  params: IdentityParams,
  eventId: string | undefined,
): Promise<z.output<typeof whyAnswer>> {
  const key = await keyOf(edge, params)
  const found = await lastScores(edge, key, eventId)
  if (!found) {
    throw new Problem(
      'not-found',
      `No score ${eventId === undefined ? '' : 'of this event '}is among the newest records. rtml explain looks further back.`,
    )
  }
  const { scores } = found
  const sample =
    scores.featureSetVersion === edge.plan.featureSet.version ? await sampleOf(edge, scores.eventId, key) : undefined
  const explained = sample ? await explain(edge, scores, sample.vector) : []
  const values = new Map(sample ? valuesOf(edge.plan, sample.vector).map(({ column, value }) => [column, value]) : [])
  return {
    identity: params,
    eventId: scores.eventId,
    eventAt: new Date(scores.eventTime).toISOString(),
    processedAt: new Date(scores.processedAt).toISOString(),
    featureSetVersion: scores.featureSetVersion,
    trace: {
      score: found.place,
      sample: sample?.place ?? null,
      input: sample?.input ?? null,
      traceparent: found.traceparent,
    },
    scores: scores.scores.map((served) => {
      const { explanation: logged, ...score } = servedScore(served)
      const now = explained.find(
        ({ model, output, version }) =>
          model === served.model && output === served.output && version === served.version,
      )
      return {
        ...score,
        explanation: (now?.explanation ?? logged ?? []).map(({ feature, contribution }) => ({
          feature,
          contribution,
          value: values.get(feature) ?? null,
        })),
      }
    }),
  }
}

async function explain(edge: Edge, scores: ProfileScores, vector: Vector) {
  const { namespace, id } = scores.profile
  const ts = epochMs(scores.eventTime)
  const xdm = { _id: scores.eventId, timestamp: new Date(ts).toISOString() }
  const event = { id: scores.eventId, ts, key: `${namespace}:${id}`, xdm }
  const rows = await edge.scorer.score([{ event, vector, explain: true, hypothetical: true }])
  return rows[0] ?? []
}

/** What the models saw of an event. A profile's samples are in the partition that is named by its input partition. */
async function sampleOf(edge: Edge, eventId: string, key: string): Promise<FoundSample | undefined> {
  const { plan, engine } = edge
  const all = await engine.log.bounds(plan.topics.samples)
  const input = partitionOf(Buffer.from(key), edge.reader.partitions)
  const bounds = all[partitionOf(Buffer.from(String(input)), Math.max(1, all.length))]
  if (!bounds) return undefined
  const { found } = await findNewest<FoundSample>(
    engine.log,
    bounds,
    (record) =>
      record.value === null
        ? undefined
        : sampleRow(edge, record.value, eventId, `${record.topic}[${record.partition}]@${record.offset}`),
    SAMPLES_BACK,
    edge.clock,
  )
  return found
}

function sampleRow(edge: Edge, value: Buffer, eventId: string, place: string): FoundSample | undefined {
  // Most records hold other events: their bytes tell without being decoded.
  if (!value.includes(eventId)) return undefined
  const { table, featureSetVersion } = decodeSamples(value)
  const { featureSet } = edge.plan
  if (featureSetVersion !== featureSet.version) return undefined
  const ids = table.getChild('event_id')
  for (let row = 0; row < table.numRows; row++) {
    if (ids?.get(row) !== eventId) continue
    const vector = featureSet.newVector()
    for (const { name, type, index } of featureSet.columns) {
      const cell: unknown = table.getChild(name)?.get(row)
      if (type === 'float') vector.floats[index] = cell === null ? Number.NaN : (cell as number)
      else vector.strings[index] = (cell as string | null) ?? ''
    }
    const partition: unknown = table.getChild('partition')?.get(row)
    const position: unknown = table.getChild('position')?.get(row)
    const input = partition == null || position == null ? null : `${profileTopic(edge.plan)}[${partition}]@${position}`
    return { vector, place, input }
  }
  return undefined
}

/** One export reads whole partitions: few at a time. */
const exports = {
  underWay: 0,
  max: 2,
  take(): { release(): void } {
    if (this.underWay >= this.max) {
      throw new Problem('unavailable', `${this.max} exports are under way already.`, { retryAfterS: 10 })
    }
    this.underWay++
    let isOver = false
    return {
      release: () => {
        if (!isOver) this.underWay--
        isOver = true
      },
    }
  },
}

async function* exportOf(edge: Edge, params: IdentityParams, key: string, done: () => void): AsyncGenerator<string> {
  try {
    const { topics, app, schema } = edge.plan
    yield line({
      kind: 'about',
      identity: params,
      application: app.name,
      group: groupOf(app, 'profile'),
      at: new Date(edge.clock.now()).toISOString(),
    })
    const profile = await viewOf(edge, params).catch((error: unknown) => {
      if (error instanceof Problem && error.problem === 'not-found') return null
      throw error
    })
    yield line({ kind: 'profile', profile })
    const readScores = scoresReader((id) => edge.engine.registry.schema(id))
    for await (const record of recordsOf(edge, topics.scores, key)) {
      yield line({ kind: 'score', place: record.place, score: await readScores(record.value) })
    }
    const decoders = new Map<number, ReturnType<typeof schema.resolver>>()
    for await (const { place, value } of recordsOf(edge, topics.events, key)) {
      const framed = unframe(value)
      if (!framed) continue
      let decode = decoders.get(framed.schemaId)
      if (!decode) {
        decode = schema.resolver(await edge.engine.registry.schema(framed.schemaId))
        decoders.set(framed.schemaId, decode)
      }
      yield line({ kind: 'event', place, xdm: decode(framed.payload).xdm })
    }
  } finally {
    done()
  }
}

const line = (value: object): string => `${JSON.stringify(value)}\n`

/** A tombstone, or an order to erase; ticks, scores and consents that come back into the input forget nothing. */
const isForgotten = (record: LogRecord): boolean =>
  record.value === null && (controlKind(record) ?? 'erase') === 'erase'

/** All records of a key, from the start of its partition. */
async function* recordsOf(edge: Edge, topic: string, key: string): AsyncGenerator<{ place: string; value: Buffer }> {
  const all = await edge.engine.log.bounds(topic)
  const bytes = Buffer.from(key)
  const bounds: PartitionBounds | undefined = all[partitionOf(bytes, Math.max(1, all.length))]
  if (!bounds || bounds.start >= bounds.end) return
  // Up to the last tombstone or order to forget the key, records are nobody's: found first, in a pass of its own.
  let start: number = bounds.start
  for await (const run of edge.engine.log.read(bounds, bounds.start, { until: bounds.end })) {
    for (const record of run.records) if (record.key?.equals(bytes) && isForgotten(record)) start = record.offset + 1
  }
  if (start >= bounds.end) return
  for await (const run of edge.engine.log.read(bounds, offset(start), { until: bounds.end })) {
    for (const record of run.records) {
      if (record.value !== null && record.key?.equals(bytes)) {
        yield { place: `${topic}[${record.partition}]@${record.offset}`, value: record.value }
      }
    }
  }
}
