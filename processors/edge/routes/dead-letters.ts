import type { z } from 'zod'
import { offset } from '../../app/units.ts'
import type { LogRecord } from '../../engine/ports.ts'
import { parseDeadLetter } from '../../outputs/index.ts'
import type { Edge } from '../edge.ts'
import { deadLettersAnswer, deadLettersQuery } from '../schemas.ts'
import { answers, inputOf, type RouteContext } from './route.ts'

type Answer = z.output<typeof deadLettersAnswer>
type Query = z.output<typeof deadLettersQuery>

const DEFAULT_LIMIT = 50
/** Newest offsets of each partition that are looked at. */
const BACK = 2_000

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
}

async function lettersOf({ engine, plan }: Edge, { limit, code, values }: Query): Promise<Answer> {
  const max = limit === undefined ? DEFAULT_LIMIT : Number(limit)
  const found: { record: LogRecord; letter: NonNullable<ReturnType<typeof parseDeadLetter>> }[] = []
  let isComplete = true
  for (const topic of new Set([plan.topics.deadRaw, plan.topics.deadXdm])) {
    for (const bounds of await engine.log.bounds(topic)) {
      const from = Math.max(bounds.start, bounds.end - BACK)
      if (from > bounds.start) isComplete = false
      if (from >= bounds.end) continue
      for await (const { records } of engine.log.read(bounds, offset(from), { until: bounds.end })) {
        for (const record of records) {
          const letter = parseDeadLetter(record)
          if (letter && (code === undefined || letter.rejection.code === code)) found.push({ record, letter })
        }
      }
    }
  }
  found.sort((a, b) => b.record.timestamp - a.record.timestamp)
  if (found.length > max) isComplete = false
  return {
    complete: isComplete,
    letters: found.slice(0, max).map(({ record, letter }) => ({
      place: `${record.topic}[${record.partition}]@${record.offset}`,
      at: new Date(record.timestamp).toISOString(),
      code: letter.rejection.code,
      path: letter.rejection.path,
      message: letter.rejection.message,
      from: `${letter.topic}[${letter.partition}]@${letter.offset}`,
      schemaId: letter.schemaId ?? null,
      key: letter.key?.toString('utf8') ?? null,
      ...(values === 'true' ? { value: letter.value?.toString('base64') ?? null } : {}),
    })),
  }
}
