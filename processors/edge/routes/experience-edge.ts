/**
 * The Edge Network's shapes: interact and collect, for server API (v2) and Web SDK (v1), with or without a location hint.
 * Sources: Experience Platform documentation, server-api/*; adobe/alloy, packages/core/src.
 */
import { randomUUID } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { Rejection } from '../../app/errors.ts'
import type { Identity, XdmEvent } from '../../app/event.ts'
import type { Headers, NewRecord } from '../../engine/ports.ts'
import { SEGMENT_NAMESPACE } from '../../outputs/index.ts'
import type { Datastream, IncomingEvent, Taken } from '../datastreams.ts'
import { cookieName, ecidOfCookie, ecidOfFpid, IDENTITY_MAX_AGE_S, identityCookie, newEcid } from '../ecid.ts'
import type { Edge } from '../edge.ts'
import type { Evaluation } from '../evaluator.ts'
import { IntakeFull, type Ticket } from '../intake.ts'
import { Problem, type ProblemBody, problemBody } from '../problem.ts'
import { recordHeaders } from '../record-headers.ts'
import {
  acceptedAnswer,
  collectManyBody,
  type EdgeBody,
  handleAnswer,
  interactManyBody,
  interactOneBody,
  serverQuery,
  webQuery,
} from '../schemas.ts'
import type { Decided } from '../types.ts'
import { within } from '../within.ts'
import { modelScore, WARNINGS } from './predict.ts'
import { answers, inputOf, type RouteContext } from './route.ts'

/** 64 KB a request: the published limit. */
export const EDGE_BODY_BYTES = 65_536
/** How long a collect waits for the log. */
const COLLECT_WAIT_MS = 5_000
const HINT_TTL_S = 1_800

export const HINT_PARAMS = {
  type: 'object',
  properties: { locationHint: { type: 'string', pattern: '^[a-z0-9]{2,16}$' } },
  required: ['locationHint'],
}

export interface EdgeQuery {
  readonly dataStreamId?: string
  readonly configId?: string
  readonly requestId?: string
  readonly silent?: 'true' | 'false'
}

export type EdgeRequest = FastifyRequest<{ Querystring: EdgeQuery; Body: EdgeBody & { event?: IncomingEvent } }>

export interface Handle {
  readonly type: string
  readonly payload: readonly unknown[]
  readonly eventIndex?: number
}

export function experienceEdgeRoutes({ server, edge }: RouteContext): void {
  const hints = ['', '/:locationHint']
  for (const hint of hints) {
    for (const version of ['v1', 'v2'] as const) {
      const shared = {
        ...(hint === '' ? {} : { params: HINT_PARAMS }),
        querystring: inputOf(version === 'v2' ? serverQuery : webQuery),
        tags: ['experience edge'],
      }
      server.route({
        method: 'POST',
        url: `/ee${hint}/${version}/interact`,
        bodyLimit: EDGE_BODY_BYTES,
        config: { scope: 'interact' },
        schema: {
          ...shared,
          summary: version === 'v2' ? 'One event in, decisions out (server API)' : 'Events in, decisions out (Web SDK)',
          body: inputOf(version === 'v2' ? interactOneBody : interactManyBody),
          response: answers({ 200: handleAnswer, 207: handleAnswer }, [413, 415, 422]),
        },
        handler: async (request, reply) => {
          const answer = await interact(edge(), request as EdgeRequest, version)
          return reply.code(answer.errors ? 207 : 200).send(answer)
        },
      })
      server.route({
        method: 'POST',
        url: `/ee${hint}/${version}/collect`,
        bodyLimit: EDGE_BODY_BYTES,
        config: { scope: 'collect' },
        schema: {
          ...shared,
          summary: 'Events in, acknowledged when the log has them',
          body: inputOf(collectManyBody),
          response: answers({ 202: acceptedAnswer, 204: null }, [413, 415, 422]),
        },
        handler: async (request, reply) => {
          const it = request as EdgeRequest
          await collect(edge(), it, version)
          if (it.query.silent === 'true') return reply.code(204).send()
          return reply.code(202).send({ requestId: requestIdOf(it) })
        },
      })
    }
  }
}

export const requestIdOf = ({ query, id }: EdgeRequest): string => query.requestId ?? id

export function datastreamOf(edge: Edge, { query }: EdgeRequest): Datastream {
  const id = query.dataStreamId ?? query.configId ?? ''
  const found = edge.datastreams.find(id)
  if (found) return found
  throw new Problem(
    'bad-request',
    `There is no datastream ${JSON.stringify(id)}. Name it under edge.datastreams of the application file.`,
  )
}

const eventsOf = ({ body }: EdgeRequest): readonly IncomingEvent[] => (body.event ? [body.event] : (body.events ?? []))

async function interact(edge: Edge, request: EdgeRequest, version: 'v1' | 'v2') {
  const startedAt = edge.clock.now()
  const datastream = datastreamOf(edge, request)
  const requestId = requestIdOf(request)
  const incoming = eventsOf(request)
  const isOut = hasOptedOut(edge, request)
  const device = deviceOf(edge, request, version)
  const taken = isOut ? [] : takeAll(edge, datastream, request, device)
  const events = taken.flatMap(({ mapped }) => mapped.events)
  // Consent said no, in the cookie or in the events themselves: nothing is kept, nothing is personal.
  if (isOut || (incoming.length > 0 && events.length === 0)) return { requestId, handle: [] as Handle[] }

  const leftMs = () => edge.app.edge.deadline - (edge.clock.now() - startedAt)
  const last = events.at(-1)
  let evaluation: Evaluation | undefined
  let decided: Decided | undefined
  let ticket: Ticket | undefined
  if (last) {
    // Of one visitor, all events count; the answer is about the last one's profile.
    const own = events.filter(({ key }) => key === last.key)
    evaluation = await edge.evaluator.evaluate({ key: last.key, events: own, budgetMs: leftMs() })
    // The person said no, on this device or another: nothing is sent.
    if (evaluation.profile?.isOptedOut) return { requestId, handle: [] as Handle[] }
    decided = decide(edge, request, last, evaluation)
    // One append: whatever dies now, the log has the event with what was answered to it, or neither.
    ticket = offer(edge, taken, decided?.record)
    const now = edge.clock.now()
    for (const event of events) edge.overlay.add(event, now)
  }
  const errors = ticket ? await notDurable(edge, ticket, events, leftMs(), requestId) : []
  const warnings = (evaluation?.missing ?? []).map((part) => ({
    type: 'https://ns.adobe.com/aep/errors/EXEG-0204-200',
    status: 200,
    title: WARNINGS[part],
  }))
  return {
    requestId,
    handle: handlesOf(edge, request, device, evaluation, decided, Math.max(0, incoming.length - 1)),
    ...(warnings.length > 0 ? { warnings } : {}),
    ...(errors.length > 0 ? { errors } : {}),
  }
}

/** Faults of the way to the log, for the answer to say. With `acknowledge: log` it waits, until the deadline at most. */
async function notDurable(
  edge: Edge,
  { durable }: Ticket,
  events: readonly XdmEvent[],
  budgetMs: number,
  requestId: string,
): Promise<ProblemBody[]> {
  // An event that the log never takes must not live on in the overlay.
  durable.catch(() => {
    for (const event of events) edge.overlay.remove(event)
  })
  const waits = edge.app.edge.acknowledge === 'log'
  const isDurable = waits ? await within(durable, budgetMs).then(YES, NO) : !edge.intake.isStalled
  if (isDurable) return []
  const detail =
    'The log has not acknowledged the event yet. It waits in memory and is sent as soon as the log answers.'
  return [{ ...problemBody('unavailable', detail, requestId), type: 'https://ns.adobe.com/aep/errors/EXEG-0201-503' }]
}

const YES = () => true
const NO = () => false

async function collect(edge: Edge, request: EdgeRequest, version: 'v1' | 'v2'): Promise<void> {
  const datastream = datastreamOf(edge, request)
  if (hasOptedOut(edge, request)) return
  const device = version === 'v1' ? deviceOf(edge, request, version) : undefined
  const taken = takeAll(edge, datastream, request, device)
  const kept = taken.filter(({ mapped }) => mapped.events.length > 0)
  if (kept.length === 0) return
  await acknowledged(offer(edge, kept))
  const now = edge.clock.now()
  for (const { mapped } of kept) for (const event of mapped.events) edge.overlay.add(event, now)
}

/** Waits for the log. @throws Problem 503, never a false acknowledgement */
export async function acknowledged(ticket: Ticket): Promise<void> {
  try {
    await within(ticket.durable, COLLECT_WAIT_MS)
  } catch {
    ticket.cancel()
    throw new Problem(
      'unavailable',
      'The log does not acknowledge. Send it again: events with an _id are counted once.',
      {
        retryAfterS: 5,
      },
    )
  }
}

export function offerRecords(edge: Edge, records: Parameters<Edge['intake']['offer']>[0]): Ticket {
  try {
    return edge.intake.offer(records)
  } catch (error) {
    if (!(error instanceof IntakeFull)) throw error
    throw new Problem('unavailable', 'The queue in front of the log is full. Nothing was taken.', { retryAfterS: 5 })
  }
}

function offer(edge: Edge, taken: readonly Taken[], decision?: NewRecord): Ticket {
  const records = taken.map(({ record }) => record)
  return offerRecords(edge, decision ? [...records, decision] : records)
}

/** @throws Problem when an event can't become one: nothing of the request is taken then */
function takeAll(edge: Edge, datastream: Datastream, request: EdgeRequest, device: string | undefined): Taken[] {
  const headers: Headers = recordHeaders(request.headers)
  const faults: string[] = []
  const taken = eventsOf(request).map((event, index) => {
    const identityMap = identityMapOf(request.body, event, device)
    const now = new Date(edge.clock.now()).toISOString()
    const xdm = { ...event.xdm, _id: idOf(event.xdm), timestamp: event.xdm.timestamp ?? now, identityMap }
    const one = datastream.take(event.data === undefined ? { xdm } : { xdm, data: event.data }, headers)
    faults.push(...one.mapped.rejected.map((rejection) => faultOf(rejection, index)))
    if (one.mapped.rejected.some(({ code }) => code === 'IDENTITY')) {
      throw new Problem(
        'no-primary-identity',
        'No primary identity found in the input event. Update the request accordingly to your schema and try again.',
        { errors: faults },
      )
    }
    return one
  })
  if (faults.length === 0) return taken
  const detail = 'Invalid request (report attached). Please check your input and try again.'
  throw new Problem('unprocessable', detail, { errors: faults.slice(0, 20) })
}

const faultOf = ({ code, path, message }: Rejection, index: number): string =>
  `events[${index}].xdm${path === '' ? '' : `.${path}`}: ${code} ${message}`

const idOf = ({ _id }: Readonly<Record<string, unknown>>): unknown =>
  _id === undefined || _id === '' ? randomUUID() : _id

type IdentityMap = Record<string, (Omit<Identity, 'primary'> & { primary?: boolean | string })[]>

/** Identities of the request hold for each of its events; the device's is added, and is primary where none is marked. */
function identityMapOf(body: EdgeBody, { xdm }: IncomingEvent, device: string | undefined): unknown {
  const own = (xdm.identityMap ?? {}) as IdentityMap
  const ofRequest = (body.xdm?.identityMap ?? {}) as IdentityMap
  if (typeof own !== 'object' || typeof ofRequest !== 'object') return own
  const merged: IdentityMap = { ...ofRequest, ...own }
  if (device === undefined || merged.ECID !== undefined) return merged
  const isMarked = Object.values(merged).some(
    (list) => Array.isArray(list) && list.some((it) => it?.primary === true || it?.primary === 'true'),
  )
  return { ...merged, ECID: [{ id: device, authenticatedState: 'ambiguous', primary: !isMarked }] }
}

/**
 * The visitor's device: the ECID of the request, of its cookie, of its first-party id, or a new one. The server API gets a new
 * one only for a visitor who has no identity at all.
 */
export function deviceOf(edge: Edge, request: EdgeRequest, version: 'v1' | 'v2'): string | undefined {
  const { organization } = edge.app.edge
  const events = eventsOf(request)
  const maps = [request.body.xdm?.identityMap, ...events.map(({ xdm }) => xdm.identityMap)] as (
    | IdentityMap
    | undefined
  )[]
  const idIn = (namespace: string) =>
    maps.map((map) => map?.[namespace]?.[0]?.id).find((id): id is string => typeof id === 'string' && id !== '')
  const known = idIn('ECID') ?? ecidOfCookie(cookieOf(edge, request, 'identity') ?? '')
  if (known !== undefined) return known
  const fpid = idIn('FPID')
  if (fpid !== undefined) return ecidOfFpid(organization, fpid)
  const hasIdentity = maps.some((map) => map !== undefined && Object.keys(map).length > 0)
  return version === 'v2' && hasIdentity ? undefined : newEcid()
}

/**
 * A cookie of the visitor: relayed in the request's state, or, where the edge is in the site's own domain, sent by the
 * browser itself.
 */
function cookieOf(edge: Edge, { body, headers }: EdgeRequest, name: string): string | undefined {
  const key = cookieName(edge.app.edge.organization, name)
  const relayed = body.meta?.state?.entries?.find((it) => it.key === key)
  if (relayed) return relayed.value
  const own = headers.cookie?.split(';').find((pair) => pair.trimStart().startsWith(`${key}=`))
  return own?.slice(own.indexOf('=') + 1).trim()
}

const hasOptedOut = (edge: Edge, request: EdgeRequest): boolean =>
  decodeURIComponentSafe(cookieOf(edge, request, 'consent') ?? '') === 'general=out'

function decodeURIComponentSafe(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function handlesOf(
  edge: Edge,
  request: EdgeRequest,
  device: string | undefined,
  evaluation: Evaluation | undefined,
  decided: Decided | undefined,
  eventIndex: number,
): Handle[] {
  const { organization } = edge.app.edge
  const now = edge.clock.now()
  const handles: Handle[] = []
  if (device) handles.push({ type: 'identity:result', payload: [{ id: device, namespace: { code: 'ECID' } }] })
  if (evaluation) {
    handles.push({ type: 'personalization:decisions', payload: decided?.propositions ?? [], eventIndex })
    const segments = decided?.segments ?? []
    if (segments.length > 0) handles.push({ type: 'activation:pull', payload: [profileLookup(segments)], eventIndex })
    if (wantsScores(request))
      handles.push({ type: 'rtml:scores', payload: evaluation.scores.map(modelScore), eventIndex })
  }
  if (edge.region) {
    handles.push({
      type: 'locationHint:result',
      payload: [{ scope: 'EdgeNetwork', hint: edge.region, ttlSeconds: HINT_TTL_S }],
    })
  }
  const stored: { key: string; value: string; maxAge: number }[] = []
  if (device) {
    stored.push({
      key: cookieName(organization, 'identity'),
      value: identityCookie(device, now),
      maxAge: IDENTITY_MAX_AGE_S,
    })
  }
  if (edge.region) stored.push({ key: cookieName(organization, 'cluster'), value: edge.region, maxAge: HINT_TTL_S })
  if (stored.length > 0) handles.push({ type: 'state:store', payload: stored })
  return handles
}

/** Scores are the operator's, not the page's: only for callers who may predict, and who ask. */
const wantsScores = ({ body, principal }: EdgeRequest): boolean =>
  (body.query as { rtml?: { scores?: unknown } } | undefined)?.rtml?.scores === true && principal.scopes.has('predict')

/** Where the Web SDK looks for what a page may know of the visitor: `destinations` of its answer. */
const profileLookup = (segments: readonly string[]) => ({
  type: 'profileLookup',
  destinationId: 'rtml',
  alias: 'rtml',
  segments: segments.map((id) => ({ id, namespace: SEGMENT_NAMESPACE })),
})

function decide(
  edge: Edge,
  request: EdgeRequest,
  event: XdmEvent,
  { vector, scores, at, state, profile, missing }: Evaluation,
): Decided | undefined {
  // What the visitor has seen or clicked is told, not asked about.
  if (edge.decisions === undefined || event.xdm.eventType?.startsWith('decisioning.')) return undefined
  const queries = [request.body.query, ...eventsOf(request).map((it) => (it as { query?: EdgeBody['query'] }).query)]
  const asked = queries.map((query) => query?.personalization).filter((it) => it !== undefined)
  return edge.decisions.decide({
    event,
    vector,
    scores,
    state,
    rules: profile?.rules,
    missing,
    at,
    scopes: asked.flatMap((it) => [...(it.decisionScopes ?? []), ...(it.surfaces ?? [])]),
    schemas: asked.flatMap((it) => it.schemas ?? []),
  })
}
