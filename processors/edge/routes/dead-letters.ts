import type { FastifyRequest } from 'fastify'
import type { z } from 'zod'
import { offset } from '../../app/units.ts'
import type { LogRecord, NewRecord } from '../../engine/ports.ts'
import { type DeadLetter, parseDeadLetter } from '../../outputs/index.ts'
import { hiddenLetters } from '../../privacy/control-topic.ts'
import { audited } from '../audit.ts'
import type { Edge } from '../edge.ts'
import { Problem } from '../problem.ts'
import { deadLettersAnswer, deadLettersQuery } from '../schemas.ts'
import { deadLetterAnswer, replayAnswer, replayBody } from '../schemas-operations.ts'
import { answers, inputOf, type RouteContext } from './route.ts'

type Answer = z.output<typeof deadLettersAnswer>
type Query = z.output<typeof deadLettersQuery>
type Replay = z.output<typeof replayBody>

const DEFAULT_LIMIT = 50
/** Newest offsets of each partition that are looked at. */
const BACK = 2_000
/** Repaired values of one request. */
const REPLAY_BYTES = 2 * 1024 * 1024

const PLACE = {
  type: 'object',
  properties: { place: { type: 'string', maxLength: 300 } },
  required: ['place'],
}

export function deadLetterRoutes({ server, edge }: RouteContext): void {
  server.route<{ Querystring: Query }>({
    method: 'GET',
    url: '/v1/dead-letters',
    config: { scope: 'dead-letters:read' },
    schema: {
      tags: ['operations'],
      summary: 'Refused records with their reason, newest first',
      querystring: inputOf(deadLettersQuery),
      response: answers({ 200: deadLettersAnswer }),
    },
    handler: ({ query }) => lettersOf(edge(), query),
  })
  server.route<{ Params: { place: string } }>({
    method: 'GET',
    url: '/v1/dead-letters/:place',
    config: { scope: 'dead-letters:read' },
    schema: {
      tags: ['operations'],
      summary: 'One refused record whole, with its original bytes and headers',
      params: PLACE,
      response: answers({ 200: deadLetterAnswer }, [404]),
    },
    handler: async ({ params }): Promise<z.output<typeof deadLetterAnswer>> => {
      const found = await letterAt(edge(), params.place)
      const headers = Object.entries(found.letter.headers).map(([name, value]) => [name, value.toString('utf8')])
      return { ...shown(found), value: base64(found.letter.value), headers: Object.fromEntries(headers) }
    },
  })
  server.route<{ Body: Replay }>({
    method: 'POST',
    url: '/v1/dead-letters/replay',
    bodyLimit: REPLAY_BYTES,
    config: { scope: 'dead-letters:write' },
    schema: {
      tags: ['operations'],
      summary:
        'Appends dead letters to the topics that they came from, repaired where a value is given; all or nothing',
      body: inputOf(replayBody),
      response: answers({ 200: replayAnswer }, [404, 413, 415, 422]),
    },
    handler: (request) => replay(edge(), request),
  })
}

interface Found {
  readonly record: LogRecord
  readonly letter: DeadLetter
}

async function lettersOf({ engine, plan }: Edge, { limit, code, values }: Query): Promise<Answer> {
  const max = limit === undefined ? DEFAULT_LIMIT : Number(limit)
  const found: Found[] = []
  const hidden = await hiddenLetters(engine, plan.topics)
  let isComplete = true
  for (const topic of new Set([plan.topics.deadRaw, plan.topics.deadXdm])) {
    for (const bounds of await engine.log.bounds(topic)) {
      const from = Math.max(bounds.start, bounds.end - BACK)
      if (from > bounds.start) isComplete = false
      if (from >= bounds.end) continue
      for await (const { records } of engine.log.read(bounds, offset(from), { until: bounds.end })) {
        for (const record of records) {
          const letter = parseDeadLetter(record)
          if (!letter || (code !== undefined && letter.rejection.code !== code) || hidden.has(placeOf(record))) continue
          found.push({ record, letter })
        }
      }
    }
  }
  found.sort((a, b) => b.record.timestamp - a.record.timestamp)
  if (found.length > max) isComplete = false
  return {
    complete: isComplete,
    letters: found
      .slice(0, max)
      .map((it) => ({ ...shown(it), ...(values === 'true' ? { value: base64(it.letter.value) } : {}) })),
  }
}

const placeOf = (record: LogRecord): string => `${record.topic}[${record.partition}]@${record.offset}`

const base64 = (value: Buffer | null): string | null => value?.toString('base64') ?? null

function shown({ record, letter }: Found): Answer['letters'][number] {
  return {
    place: placeOf(record),
    at: new Date(record.timestamp).toISOString(),
    code: letter.rejection.code,
    path: letter.rejection.path,
    message: letter.rejection.message,
    from: `${letter.topic}[${letter.partition}]@${letter.offset}`,
    schemaId: letter.schemaId ?? null,
    key: letter.key?.toString('utf8') ?? null,
  }
}

/** @throws Problem when there is no dead letter at the place: nothing else of the log can be read this way */
async function letterAt({ engine, plan }: Edge, place: string): Promise<Found> {
  const [, topic, partition, at] = /^([a-zA-Z0-9._-]{1,249})\[(\d{1,6})\]@(\d{1,15})$/.exec(place) ?? []
  if (topic === plan.topics.deadRaw || topic === plan.topics.deadXdm) {
    const bounds = (await engine.log.bounds(topic))[Number(partition)]
    const position = offset(Number(at))
    const isHidden = (await hiddenLetters(engine, plan.topics)).has(place)
    if (!isHidden && bounds && position >= bounds.start && position < bounds.end) {
      for await (const run of engine.log.read(bounds, position, { until: offset(position + 1) })) {
        for (const record of run.records) {
          const letter = parseDeadLetter(record)
          if (letter) return { record, letter }
        }
      }
    }
  }
  throw new Problem(
    'not-found',
    `There is no dead letter at ${JSON.stringify(place)}; GET /v1/dead-letters lists them.`,
  )
}

function replay(
  edge: Edge,
  request: FastifyRequest & { readonly body: Replay },
): Promise<z.output<typeof replayAnswer>> {
  const { letters, reason } = request.body
  const subject = letters.length === 1 ? letters[0]!.place : `${letters.length} dead letters`
  const repaired = letters.filter(({ value }) => value !== undefined).length
  const change = {
    action: 'dead-letters.replay',
    subject,
    reason,
    detail: { records: letters.length, repaired },
  } as const
  return audited(edge, request, change, async () => {
    const records: NewRecord[] = []
    for (const { place, value } of letters) records.push(again(edge, await letterAt(edge, place), value))
    await edge.engine.log.append(records)
    return { replayed: records.length, topics: [...new Set(records.map(({ topic }) => topic))] }
  })
}

/** @throws Problem for a letter whose topic isn't one that this application reads */
function again({ plan }: Edge, { letter }: Found, value: string | undefined): NewRecord {
  const { app, topics } = plan
  const read = [
    ...Object.keys(app.sources).map(topics.raw),
    ...Object.keys(app.entities).map(topics.entity),
    topics.events,
  ]
  if (!read.includes(letter.topic)) {
    throw new Problem('unprocessable', `${letter.topic} is no topic of this application (any more).`)
  }
  const bytes = value === undefined ? letter.value : Buffer.from(value, 'base64')
  return { topic: letter.topic, key: letter.key, value: bytes, headers: letter.headers }
}
