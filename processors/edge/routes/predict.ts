import { randomUUID } from 'node:crypto'
import type { z } from 'zod'
import type { XdmEvent } from '../../app/event.ts'
import { type EpochMs, epochMs } from '../../app/units.ts'
import type { Vector } from '../../features/types.ts'
import { valuesOf } from '../../host/profile-view.ts'
import type { Score, ScoringRow } from '../../scorer/types.ts'
import { parseRfc3339 } from '../../xdm/index.ts'
import type { Edge } from '../edge.ts'
import type { Evaluation } from '../evaluator.ts'
import { profileOfIdentity } from '../links.ts'
import { compileOverrides, type FeatureValues } from '../overrides.ts'
import { Problem } from '../problem.ts'
import { type Prediction, predictAnswer, predictBody, predictQuery } from '../schemas.ts'
import { answers, inputOf, type RouteContext } from './route.ts'

type Body = z.output<typeof predictBody>
type Query = z.output<typeof predictQuery>

/** One row of a request, read. */
interface Row {
  readonly name: string | undefined
  readonly identity?: { readonly namespace: string; readonly id: string } | undefined
  readonly features?: FeatureValues | undefined
  readonly xdm?: Readonly<Record<string, unknown>> | undefined
  readonly at?: string | undefined
  /** What a graph reads besides features. */
  readonly record?: Readonly<Record<string, unknown>> | undefined
  readonly event?: Readonly<Record<string, unknown>> | undefined
  readonly profile?: { readonly features?: FeatureValues } & ScoringRow['profile']
}

const BODY_BYTES = 1024 * 1024
/** Rows between two looks at other work: about a millisecond. */
const ROWS_AT_ONCE = 32
/** Of the deadline, for finding the profile of an identity that has none of its own. */
const LINK_SHARE = 0.25

export function predictRoutes({ server, edge }: RouteContext): void {
  server.route<{ Params: { service: string }; Querystring: Query; Body: Body }>({
    method: 'POST',
    url: '/v1/predict/:service',
    bodyLimit: BODY_BYTES,
    config: { scope: 'predict' },
    schema: {
      tags: ['predictions'],
      summary: 'Score profiles, features, events or frames',
      description:
        'Each row: a profile by identity, features of the request, an event that is applied in memory first, or several of them. Nothing is stored.',
      params: { type: 'object', properties: { service: { type: 'string', maxLength: 64 } }, required: ['service'] },
      querystring: inputOf(predictQuery),
      body: inputOf(predictBody),
      response: answers({ 200: predictAnswer }, [404, 413, 415, 422]),
    },
    handler: async (request) => {
      const it = edge()
      const { service } = request.params
      checkService(it, service, request.query.model)
      const rows = rowsOf(request.body)
      const predictions: Prediction[] = []
      for (let from = 0; from < rows.length; from += ROWS_AT_ONCE) {
        const part = rows.slice(from, from + ROWS_AT_ONCE)
        predictions.push(
          ...(await Promise.all(part.map((row, at) => predict(it, service, row, request.query, from + at)))),
        )
      }
      return { requestId: request.id, service, featureSetVersion: it.plan.featureSet.version, predictions }
    },
  })
}

function checkService(edge: Edge, service: string, model: string | undefined): void {
  const models = edge.serving().filter((it) => it.service === service)
  if (models.length === 0) {
    throw new Problem('not-found', `There is no service ${JSON.stringify(service)}; GET /v1/services lists them.`)
  }
  if (model !== undefined && !models.some((it) => it.model === model)) {
    throw new Problem('not-found', `Service ${service} has no model ${JSON.stringify(model)}.`)
  }
}

const QUESTION_KEYS = ['identity', 'features', 'xdm', 'at', 'record', 'event', 'profile']

/** @throws Problem when there is no row */
function rowsOf(body: Body): Row[] {
  if ('records' in body && Array.isArray(body.records))
    return body.records.map((record: object) => rowOf(record, undefined))
  const keys = Object.keys(body)
  if (keys.length === 0)
    throw new Problem('bad-request', 'The body is empty. Give identity, features, xdm, or records.')
  if (keys.every((key) => QUESTION_KEYS.includes(key))) return [rowOf(body, undefined)]
  return frameRows(body as Record<string, Record<string, number | string | boolean | null>>)
}

function rowOf(record: object, name: string | undefined): Row {
  const keys = Object.keys(record)
  if (keys.every((key) => QUESTION_KEYS.includes(key))) return { ...record, name } as Row
  return { name, features: record as FeatureValues }
}

const MAX_FRAME_ROWS = 500

/** JSON has made texts of the row numbers: order them as numbers. */
function frameRows(frame: Record<string, Record<string, number | string | boolean | null>>): Row[] {
  const names = [...new Set(Object.values(frame).flatMap((column) => Object.keys(column)))]
  if (names.length === 0) throw new Problem('bad-request', 'The frame has no rows.')
  if (names.length > MAX_FRAME_ROWS) {
    throw new Problem('too-large', `The frame has ${names.length} rows; ${MAX_FRAME_ROWS} go into one request.`)
  }
  return names
    .sort((a, b) => Number(a) - Number(b))
    .map((name) => {
      const cells = Object.entries(frame).map(([column, rows]) => [
        column,
        Object.hasOwn(rows, name) ? rows[name] : null,
      ])
      return { name, features: Object.fromEntries(cells) as FeatureValues }
    })
}

async function predict(edge: Edge, service: string, row: Row, query: Query, index: number): Promise<Prediction> {
  const event = row.xdm && eventOf(edge, row, index)
  const { deadline } = edge.app.edge
  // An event makes its own profile, as it would in the stream.
  const key =
    event?.key ??
    (row.identity && (await profileOfIdentity(edge, keyOf(edge, row.identity, index), deadline * LINK_SHARE)))
  const graph = edge.serving().some((it) => it.service === service && it.binding.answers !== undefined)
  const features = graph ? graphFeatures(edge, row) : row.features
  const given = features && compileOverrides(features, edge.app, edge.plan.featureSet)
  if (given && !given.ok) refuse(index, given.errors)
  const isExplained = query.explain === 'true'
  const evaluation = await edge.evaluator.evaluate({
    key,
    events: event ? [event] : [],
    at: row.at === undefined ? undefined : timeOf(row.at, index),
    override: given?.apply,
    ...(graph ? { given: { record: row.record ?? row.features, event: row.event, profile: row.profile } } : {}),
    service,
    explain: isExplained,
    ages: query.features === 'true',
    budgetMs: deadline,
  })
  const prediction = predictionOf(edge, row, key, evaluation, query)
  return graph ? { ...prediction, output: answerOf(evaluation.scores, prediction.model) } : prediction
}

/** Of what a graph is given, the part that are features; the rest it reads from the request itself. */
function graphFeatures({ plan }: Edge, { features, record, profile }: Row): FeatureValues | undefined {
  const all = { ...features, ...record, ...profile?.features }
  const known = Object.entries(all).filter(
    ([name, value]) => plan.featureSet.resolve(name) !== undefined && (value === null || typeof value !== 'object'),
  )
  return known.length > 0 ? (Object.fromEntries(known) as FeatureValues) : undefined
}

function eventOf(edge: Edge, { xdm, identity }: Row, index: number): XdmEvent {
  const now = edge.clock.now()
  const identityMap = identity && { [identity.namespace]: [{ id: identity.id, primary: true }] }
  const whole = {
    _id: randomUUID(),
    timestamp: new Date(now).toISOString(),
    ...xdm,
    ...(identityMap && { identityMap }),
  }
  const value = Buffer.from(JSON.stringify(whole))
  const { events, rejected } = edge.xdm.map({
    key: null,
    value,
    headers: {},
    timestamp: now,
    place: `records[${index}]`,
  })
  const [event] = events
  if (event) return event
  const [reason] = rejected
  if (!reason) throw new Problem('unprocessable', `records[${index}]: the event's consent doesn't allow it.`)
  return refuse(index, [`xdm.${reason.path}: ${reason.code} ${reason.message}`])
}

function keyOf(edge: Edge, identity: NonNullable<Row['identity']>, index: number): string {
  return edge.keyOf(identity) ?? refuse(index, [`identity: ${NO_KEY}`])
}

/** What is wrong with an identity that has no key. */
export const NO_KEY = 'no profile can be kept under it: not in the form of its namespace, or not allowed'

function timeOf(text: string, index: number): EpochMs {
  const time = parseRfc3339(text)
  return Number.isNaN(time) ? refuse(index, ['at: not an RFC 3339 time']) : epochMs(time)
}

function refuse(index: number, errors: readonly string[]): never {
  throw new Problem('unprocessable', 'Invalid request (report attached). Please check your input and try again.', {
    errors: errors.slice(0, 20).map((text) => `records[${index}].${text}`),
  })
}

function predictionOf(
  edge: Edge,
  row: Row,
  key: string | undefined,
  evaluation: Evaluation,
  { model, models, features }: Query,
): Prediction {
  const { scores, at, profile, outcomes, missing } = evaluation
  const served = scores.filter((it) => (model === undefined ? it.role !== 'shadow' : it.model === model))
  const [first] = served
  const colon = key?.indexOf(':') ?? -1
  return {
    ...(row.name === undefined ? {} : { row: row.name }),
    identity: key === undefined ? null : { namespace: key.slice(0, colon), id: key.slice(colon + 1) },
    score: first?.value ?? null,
    model: first?.model ?? null,
    version: first?.version ?? null,
    role: first?.role ?? null,
    fallback: first?.fallback ?? null,
    outputs: Object.fromEntries(served.filter((it) => it.model === first?.model).map((it) => [it.output, it.value])),
    evaluatedAt: new Date(at).toISOString(),
    state: {
      status: profile?.status ?? 'none',
      storedEventAt: profile?.storedTime === undefined ? null : new Date(profile.storedTime).toISOString(),
      stalenessMs: profile?.storedTime === undefined ? null : Math.max(0, at - profile.storedTime),
      pendingEvents: profile?.pending ?? 0,
      event: outcomes.at(-1) ?? null,
    },
    ...(models === 'all' ? { models: scores.map(modelScore) } : {}),
    ...(first?.explanation ? { explanation: [...first.explanation] } : {}),
    ...(features === 'true' ? { features: featureValues(edge, evaluation.vector, evaluation.ages ?? []) } : {}),
    ...(missing.length > 0 ? { warnings: missing.map((part) => WARNINGS[part]) } : {}),
  }
}

/** The columns of a graph's answer; null: the row was filtered or has failed. */
const answerOf = (scores: readonly Score[], model: string | null): Prediction['output'] =>
  scores.find((it) => it.model === model && it.answer)?.answer?.output ?? null

export const WARNINGS = {
  profile: 'the profile could not be read in time: its features are at their defaults',
  entities: 'other entities could not be read in time: their features are at their defaults',
  scores: 'the models did not answer in time',
} as const

export function modelScore({ model, version, role, output, value, fallback, explanation }: Score) {
  return {
    model,
    version,
    role,
    output,
    score: value,
    fallback,
    ...(explanation ? { explanation: [...explanation] } : {}),
  }
}

export function featureValues(
  { plan }: Pick<Edge, 'plan'>,
  vector: Vector,
  ages: NonNullable<Evaluation['ages']>,
): { feature: string; column: string; value: number | string | null; ageMs: number | null }[] {
  const ageOf = new Map(ages.map(({ feature, ageMs }) => [feature, ageMs]))
  return valuesOf(plan, vector).map(({ feature, column, value }) => ({
    feature,
    column,
    value,
    ageMs: ageOf.get(feature) ?? null,
  }))
}
