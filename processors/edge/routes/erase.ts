import { z } from 'zod'
import { subjectOf } from '../../outputs/index.ts'
import { erasePerson } from '../../privacy/erase.ts'
import { linkedIdentities } from '../../privacy/linked.ts'
import { erasureReport } from '../../privacy/report-schema.ts'
import { pseudonymKey, replayStages } from '../../topology.ts'
import { audited } from '../audit.ts'
import { isAnonymous } from '../auth/guard.ts'
import type { Edge } from '../edge.ts'
import { forget } from '../forgetting.ts'
import { Problem } from '../problem.ts'
import { NO_KEY } from './predict.ts'
import { IDENTITY_PARAMS, type IdentityParams } from './profiles.ts'
import { answers, inputOf, type RouteContext } from './route.ts'

const eraseQuery = z.strictObject({
  reason: z.string().max(512).optional().meta({ description: 'for report and audit log' }),
})

/** How long workers may take; the order stands in the log whatever they do. */
const WAIT_MS = 5_000
/** One erasure looks at all states: few at a time. */
const AT_ONCE_MAX = 2

export function eraseRoutes({ server, edge }: RouteContext): void {
  let underWay = 0
  server.route<{ Params: IdentityParams; Querystring: z.output<typeof eraseQuery> }>({
    method: 'DELETE',
    url: '/v1/profiles/:namespace/:id',
    config: { scope: 'profiles:erase' },
    schema: {
      tags: ['profiles'],
      summary: 'Forget a person; answers with the signed report, 202 while no worker has obeyed yet',
      params: IDENTITY_PARAMS,
      querystring: inputOf(eraseQuery),
      response: answers({ 200: erasureReport, 202: erasureReport }, [404]),
    },
    handler: async (request, reply) => {
      if (underWay >= AT_ONCE_MAX) {
        throw new Problem('unavailable', `${AT_ONCE_MAX} erasures are under way already.`, { retryAfterS: 5 })
      }
      underWay++
      try {
        const it = edge()
        const key = it.keyOf(request.params)
        if (key === undefined) throw new Problem('not-found', `${request.params.namespace}: ${NO_KEY}.`)
        const { reason } = request.query
        const subject = subjectOf(
          pseudonymKey(it.plan.app, (name) => it.env[name]),
          key,
        )
        const report = await audited(
          it,
          request,
          { action: 'profile.erase', subject, reason, detail: { request: request.id } },
          () =>
            erase(it, key, request.params.id, {
              id: request.id,
              by: isAnonymous(request.principal) ? 'local' : request.principal.id,
              why: reason,
            }),
        )
        return reply.code(report.status === 'done' ? 200 : 202).send(report)
      } finally {
        underWay--
      }
    },
  })
}

async function erase(
  edge: Edge,
  key: string,
  spelling: string,
  request: { readonly id: string; readonly by: string; readonly why: string | undefined },
) {
  const { plan, engine, clock } = edge
  const env = (name: string) => edge.env[name]
  const stages = replayStages(plan, { engine, clock, env })
  const identities = await linkedIdentities(plan, engine, stages, [key])
  const report = await erasePerson({
    ...request,
    plan,
    engine,
    stages,
    clock,
    env,
    identities,
    spellings: [spelling],
    waitMs: WAIT_MS,
    scan: false,
    signal: new AbortController().signal,
  })
  for (const identity of identities) forget(edge, identity)
  return report
}
