import type { z } from 'zod'
import { AUDIT_ACTIONS, type AuditEntry, isAuditAction, parseAudit } from '../../outputs/index.ts'
import type { Edge } from '../edge.ts'
import { newestOf } from '../log-search.ts'
import { Problem } from '../problem.ts'
import { auditAnswer, auditQuery } from '../schemas-operations.ts'
import { answers, inputOf, type RouteContext } from './route.ts'

type Answer = z.output<typeof auditAnswer>
type Query = z.output<typeof auditQuery>

const DEFAULT_LIMIT = 50
/** Newest records that are looked at, and for how long: changes by people are few. */
const BACK = { maxOffsets: 50_000, maxMs: 1_000 }

export function auditRoutes({ server, edge }: RouteContext): void {
  server.route<{ Querystring: Query }>({
    method: 'GET',
    url: '/v1/audit',
    config: { scope: 'audit:read' },
    schema: {
      tags: ['operations'],
      summary: 'Who changed what, when, why and how it went; newest first',
      querystring: inputOf(auditQuery),
      response: answers({ 200: auditAnswer }),
    },
    handler: ({ query }) => entriesOf(edge(), query),
  })
}

async function entriesOf({ engine, plan, clock }: Edge, query: Query): Promise<Answer> {
  const wanted = filterOf(query)
  const limit = query.limit === undefined ? DEFAULT_LIMIT : Number(query.limit)
  const found: { entry: AuditEntry; place: string }[] = []
  let isComplete = true
  for (const bounds of await engine.log.bounds(plan.topics.audit)) {
    const read = (value: Buffer | null): AuditEntry | undefined => {
      const entry = parseAudit(value)
      return entry && wanted(entry) ? entry : undefined
    }
    const newest = await newestOf(engine.log, bounds, ({ value }) => read(value), { ...BACK, limit: limit + 1 }, clock)
    isComplete &&= newest.isComplete
    for (const { value, record } of newest.found) {
      found.push({ entry: value, place: `${record.topic}[${record.partition}]@${record.offset}` })
    }
  }
  found.sort((a, b) => b.entry.at - a.entry.at)
  return {
    entries: found.slice(0, limit).map(({ entry, place }) => ({
      place,
      at: new Date(entry.at).toISOString(),
      actor: entry.actor,
      action: entry.action,
      subject: entry.subject,
      reason: entry.reason ?? null,
      result: entry.result,
      via: entry.via,
      requestId: entry.requestId ?? null,
      detail: entry.detail ?? {},
    })),
    complete: isComplete && found.length <= limit,
  }
}

/** @throws Problem for a time that is none, or an action that there isn't */
function filterOf({ from, until, actor, action, subject }: Query): (entry: AuditEntry) => boolean {
  const [since, before] = [instant('from', from), instant('until', until)]
  if (action !== undefined && !isAuditAction(action)) {
    throw new Problem(
      'bad-request',
      `There is no action ${JSON.stringify(action)}. There are ${Object.keys(AUDIT_ACTIONS).join(', ')}.`,
    )
  }
  return (entry) =>
    entry.at >= (since ?? Number.NEGATIVE_INFINITY) &&
    entry.at < (before ?? Number.POSITIVE_INFINITY) &&
    (actor === undefined || entry.actor === actor) &&
    (action === undefined || entry.action === action) &&
    (subject === undefined || entry.subject.includes(subject))
}

function instant(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const time = Date.parse(text)
  if (Number.isFinite(time)) return time
  throw new Problem('bad-request', `${name}: ${JSON.stringify(text)} is no time. Write it as 2026-01-31T12:00:00Z.`)
}
