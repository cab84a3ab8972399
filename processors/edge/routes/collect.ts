import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { XdmEvent } from '../../app/event.ts'
import type { SourceDefinition } from '../../app/schema.ts'
import { fusedSource } from '../../app/topics.ts'
import type { Headers, NewRecord } from '../../engine/ports.ts'
import type { Mapper } from '../../mapper/index.ts'
import type { Edge } from '../edge.ts'
import { Problem } from '../problem.ts'
import { recordHeaders } from '../record-headers.ts'
import { collectAnswer } from '../schemas.ts'
import { isSignedBy } from '../webhook.ts'
import { acknowledged, offerRecords } from './experience-edge.ts'
import { answers, type RouteContext } from './route.ts'

const BODY_BYTES = 1024 * 1024
const MAX_RECORDS = 1_000
const MAX_REPORTED = 100

type CollectRequest = FastifyRequest<{ Params: { source: string }; Body: Buffer }>

/**
 * Raw records over HTTP, in whatever format the source has. Bytes reach the log as they came; only lines (NDJSON) and
 * elements of JSON batches become records of their own.
 */
export function collectRoutes({ server, edge }: RouteContext): void {
  void server.register(async (scope: FastifyInstance) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    scope.route<{ Params: { source: string }; Body: Buffer }>({
      method: 'POST',
      url: '/collect/:source',
      bodyLimit: BODY_BYTES,
      // A source with a webhook secret is checked by its signature, which needs the body: see `verify`.
      config: { scope: 'collect', isSigned: (request) => hasSecret(edge(), (request as CollectRequest).params.source) },
      schema: {
        tags: ['collection'],
        summary: 'Raw records of a source, acknowledged when the log has them',
        description:
          'Any content type of the source; text/plain for sendBeacon; application/x-ndjson and JSON lists are batches. Content-Encoding gzip, deflate or br. ' +
          'A source with secretEnv takes only bodies signed with X-Shopify-Hmac-Sha256, and asks for no key.',
        params: { type: 'object', properties: { source: { type: 'string', maxLength: 64 } }, required: ['source'] },
        response: answers({ 202: collectAnswer }, [404, 413, 415]),
      },
      handler: async (request, reply) => {
        const it = edge()
        const mapper = it.plan.mappers.get(request.params.source)
        if (!mapper) throw new Problem('not-found', `There is no source ${JSON.stringify(request.params.source)}.`)
        const body = request.body
        if (!Buffer.isBuffer(body) || body.length === 0) throw new Problem('bad-request', 'The body is empty.')
        verify(it, request as CollectRequest)
        return reply.code(202).send({ requestId: request.id, ...(await take(it, mapper, body, request)) })
      },
    })
  })
}

const definitionOf = (edge: Edge, source: string): SourceDefinition | undefined =>
  Object.hasOwn(edge.app.sources, source) ? edge.app.sources[source] : undefined

const hasSecret = (edge: Edge, source: string): boolean => definitionOf(edge, source)?.secretEnv !== undefined

/** @throws Problem when the source has a secret and the body isn't signed with it */
function verify(edge: Edge, { params, body, headers }: CollectRequest): void {
  const variable = definitionOf(edge, params.source)?.secretEnv
  if (variable === undefined) return
  const secret = edge.env[variable]
  if (!secret || !isSignedBy(secret, body, headers['x-shopify-hmac-sha256'])) {
    throw new Problem('unauthorized', 'X-Shopify-Hmac-Sha256 is missing or does not fit the body.')
  }
}

interface Mapped {
  readonly records: NewRecord[]
  readonly events: XdmEvent[]
  readonly rejected: { record: number; code: string; path: string; message: string }[]
}

async function take(edge: Edge, mapper: Mapper, body: Buffer, request: FastifyRequest) {
  const values = recordsOf(body, request.headers['content-type'])
  if (values.length > MAX_RECORDS) {
    throw new Problem('too-large', `${values.length} records in one request; ${MAX_RECORDS} are allowed.`)
  }
  const mapped = await mapAll(edge, mapper, values, recordHeaders(request.headers))
  await acknowledged(offerRecords(edge, mapped.records))
  const now = edge.clock.now()
  for (const event of mapped.events) edge.overlay.add(event, now)
  const { records, events, rejected } = mapped
  return { records: records.length, events: events.length, rejected: rejected.slice(0, MAX_REPORTED) }
}

/**
 * Maps at once what the stream will map again: for the key, which keeps a visitor's events in order, for the overlay,
 * and to say at once what will be refused. The log gets refused records too: dead letters keep them.
 */
async function mapAll(edge: Edge, mapper: Mapper, values: readonly Buffer[], headers: Headers): Promise<Mapped> {
  const topic = edge.plan.topics.raw(mapper.source)
  const timestamp = edge.clock.now()
  const raw = values.map((value) => ({ key: null, value, headers, timestamp, place: 'edge' }))
  await mapper.prepare(raw)
  const result: Mapped = { records: [], events: [], rejected: [] }
  raw.forEach((record, index) => {
    const { events, rejected } = mapper.map(record)
    const keys = new Set(events.map(({ key }) => key))
    const [key] = keys
    if (keys.size > 1 && fusedSource(edge.app) === mapper.source) {
      throw new Problem(
        'bad-request',
        `Record ${index} holds events of ${keys.size} people; this source takes one a record.`,
      )
    }
    result.records.push({
      topic,
      key: key !== undefined && keys.size === 1 ? Buffer.from(key) : null,
      value: record.value,
      headers,
    })
    // An id made from the place in the log is another one there: such an event can't be told from its stored twin.
    for (const event of events) if (!event.id.endsWith('@edge')) result.events.push(event)
    for (const { code, path, message } of rejected) result.rejected.push({ record: index, code, path, message })
  })
  return result
}

/** One record a line of NDJSON, one an element of a JSON list, else the body as it is. */
function recordsOf(body: Buffer, contentType: string | undefined): Buffer[] {
  const type = contentType?.split(';', 1)[0]?.trim().toLowerCase()
  if (type === 'application/x-ndjson' || type === 'application/jsonl') return linesOf(body)
  const isJson = type === undefined || type === 'text/plain' || type === 'application/json'
  if (isJson && firstByteOf(body) === LIST) return elementsOf(body)
  return [body]
}

const LIST = 0x5b
const NEWLINE = 0x0a

function firstByteOf(body: Buffer): number | undefined {
  for (const byte of body) if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) return byte
  return undefined
}

function linesOf(body: Buffer): Buffer[] {
  const lines: Buffer[] = []
  for (let from = 0; from < body.length; ) {
    const end = body.indexOf(NEWLINE, from)
    const line = body.subarray(from, end < 0 ? body.length : end)
    if (firstByteOf(line) !== undefined) lines.push(line)
    from = end < 0 ? body.length : end + 1
  }
  return lines
}

/** Elements as their own bytes: parsing and writing them again would change wide numbers and repeated keys. */
function elementsOf(body: Buffer): Buffer[] {
  const elements: Buffer[] = []
  let depth = 0
  let from = -1
  let inText = false
  for (let at = 0; at < body.length; at++) {
    const byte = body[at]
    if (inText) {
      if (byte === 0x5c) at++
      else if (byte === 0x22) inText = false
    } else if (byte === 0x22) inText = true
    else if (byte === 0x7b || byte === LIST) {
      if (depth++ === 1) from = at
    } else if (byte === 0x7d || byte === 0x5d) {
      if (--depth === 1 && from >= 0) {
        elements.push(body.subarray(from, at + 1))
        from = -1
      }
    }
  }
  // Not a list of objects, or broken: the decoder says what is wrong with it.
  return depth === 0 && elements.length > 0 ? elements : [body]
}
