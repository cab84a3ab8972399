import type { z } from 'zod'
import { epochMs, ms } from '../../app/units.ts'
import type { LogRecord, PartitionBounds } from '../../engine/ports.ts'
import type { Mapper } from '../../mapper/index.ts'
import type { Edge } from '../edge.ts'
import { findNewest } from '../log-search.ts'
import { Problem } from '../problem.ts'
import { newestAnswer, sourcesAnswer, tryAnswer, tryBody } from '../schemas-operations.ts'
import { TooLate, within } from '../within.ts'
import { answers, inputOf, type RouteContext } from './route.ts'

const PARAMS = { type: 'object', properties: { source: { type: 'string', maxLength: 64 } }, required: ['source'] }
/** Events of one record that an answer shows. */
const MAX_EVENTS = 20
const MAX_PATHS = 100
/** For what the mapping needs from outside: writer schemas of Avro. */
const PREPARE_MS = ms(2_000)
const NEWEST_BACK = { maxOffsets: 200, maxMs: 250 }

export function sourceRoutes({ server, edge }: RouteContext): void {
  server.route({
    method: 'GET',
    url: '/v1/sources',
    config: { scope: 'topology:read' },
    schema: {
      tags: ['sources'],
      summary: 'Sources with their topics, formats and mappings',
      response: answers({ 200: sourcesAnswer }),
    },
    handler: async (): Promise<z.output<typeof sourcesAnswer>> => {
      const { app, topics, formats } = edge().plan
      return {
        sources: Object.entries(app.sources).map(([name, { mapping, keyedBy }]) => ({
          name,
          topic: topics.raw(name),
          mapping: typeof mapping === 'string' ? mapping : mapping.mapping,
          format: formats.get(name) ?? 'json',
          keyedBy,
        })),
      }
    },
  })
  server.route<{ Params: { source: string }; Body: z.output<typeof tryBody> }>({
    method: 'POST',
    url: '/v1/sources/:source/try',
    config: { scope: 'sources:try' },
    schema: {
      tags: ['sources'],
      summary: 'What a raw record becomes: XDM events, or the reasons why not. Nothing is stored.',
      params: PARAMS,
      body: inputOf(tryBody),
      response: answers({ 200: tryAnswer }, [404, 413, 415]),
    },
    handler: ({ params, body }) => tryOut(edge(), params.source, body),
  })
  server.route<{ Params: { source: string } }>({
    method: 'GET',
    url: '/v1/sources/:source/newest',
    config: { scope: 'sources:try' },
    schema: {
      tags: ['sources'],
      summary: 'The newest raw record of a source, to try the mapping with',
      params: PARAMS,
      response: answers({ 200: newestAnswer }, [404]),
    },
    handler: ({ params }) => newest(edge(), params.source),
  })
}

/** @throws Problem when there is no such source */
function mapperOf({ plan }: Edge, source: string): Mapper {
  const mapper = plan.mappers.get(source)
  if (mapper) return mapper
  throw new Problem('not-found', `There is no source ${JSON.stringify(source)}; GET /v1/sources lists them.`)
}

async function tryOut(
  edge: Edge,
  source: string,
  { value, encoding, headers }: z.output<typeof tryBody>,
): Promise<z.output<typeof tryAnswer>> {
  const mapper = mapperOf(edge, source)
  const record = {
    key: null,
    value: Buffer.from(value, encoding === 'base64' ? 'base64' : 'utf8'),
    headers: Object.fromEntries(
      Object.entries(headers ?? {}).map(([name, text]) => [name.toLowerCase(), Buffer.from(text)]),
    ),
    timestamp: epochMs(edge.clock.now()),
    place: 'try',
  }
  await within(mapper.prepare([record]), PREPARE_MS).catch((error: unknown) => {
    if (error instanceof TooLate)
      throw new Problem('unavailable', 'The schema registry does not answer.', { retryAfterS: 5 })
    throw error
  })
  const { events, rejected, skipped, nulled, dropped } = mapper.map(record)
  return {
    events: events.slice(0, MAX_EVENTS).map(({ id, ts, key, xdm }) => ({
      id,
      at: new Date(ts).toISOString(),
      key,
      xdm: xdm as Record<string, unknown>,
    })),
    rejected: rejected.slice(0, MAX_EVENTS).map(({ code, path, message }) => ({ code, path, message })),
    skipped,
    nulled: Object.fromEntries([...nulled].slice(0, MAX_PATHS)),
    dropped: Object.fromEntries([...dropped].slice(0, MAX_PATHS)),
    complete: events.length <= MAX_EVENTS && rejected.length <= MAX_EVENTS,
  }
}

async function newest(edge: Edge, source: string): Promise<z.output<typeof newestAnswer>> {
  mapperOf(edge, source)
  const topic = edge.plan.topics.raw(source)
  let found: LogRecord | undefined
  for (const bounds of await edge.engine.log.bounds(topic)) {
    const last = await lastOf(edge, bounds)
    if (last && (found === undefined || last.timestamp > found.timestamp)) found = last
  }
  if (!found) throw new Problem('not-found', `${topic} has no records yet. Send one: POST /collect/${source}.`)
  return {
    place: `${topic}[${found.partition}]@${found.offset}`,
    at: new Date(found.timestamp).toISOString(),
    key: found.key?.toString('utf8') ?? null,
    value: found.value?.toString('base64') ?? '',
    headers: Object.fromEntries(Object.entries(found.headers).map(([name, value]) => [name, value.toString('utf8')])),
  }
}

async function lastOf({ engine, clock }: Edge, bounds: PartitionBounds): Promise<LogRecord | undefined> {
  const read = (record: LogRecord) => (record.value === null ? undefined : record)
  return (await findNewest(engine.log, bounds, read, NEWEST_BACK, clock)).found
}
