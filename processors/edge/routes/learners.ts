import type { z } from 'zod'
import type { Alert } from '../../learner/stream/alarm-book.ts'
import type { StoredStatus } from '../../runtime/learning/learner-task.ts'
import { readLearner } from '../../runtime/learning/learner-view.ts'
import type { Edge } from '../edge.ts'
import { Problem } from '../problem.ts'
import { learnerAnswer, learnersAnswer } from '../schemas-learning.ts'
import { answers, type RouteContext } from './route.ts'

type Summary = z.output<typeof learnersAnswer>['learners'][number]
type Answer = z.output<typeof learnerAnswer>

export function learnerRoutes({ server, edge }: RouteContext): void {
  server.route({
    method: 'GET',
    url: '/v1/learners',
    config: { scope: 'services:read' },
    schema: {
      tags: ['learners'],
      summary: 'Learners of the application: what they have learned, whom they serve, what is wrong',
      response: answers({ 200: learnersAnswer }),
    },
    handler: async () => ({
      learners: await Promise.all(
        Object.keys(edge().app.learners).map(async (name) => summaryOf(edge(), name, await statusOf(edge(), name))),
      ),
    }),
  })
  server.route<{ Params: { learner: string } }>({
    method: 'GET',
    url: '/v1/learners/:learner',
    config: { scope: 'services:read' },
    schema: {
      tags: ['learners'],
      summary: 'One learner: curve, figures by model, ladder, drift, alerts, moves with their evidence',
      params: { type: 'object', properties: { learner: { type: 'string', maxLength: 64 } }, required: ['learner'] },
      response: answers({ 200: learnerAnswer }, [404]),
    },
    handler: async ({ params }) => {
      const it = edge()
      if (Object.hasOwn(it.app.learners, params.learner)) {
        return detailOf(it, params.learner, await statusOf(it, params.learner))
      }
      const name = JSON.stringify(params.learner)
      throw new Problem('not-found', `There is no learner ${name}; GET /v1/learners lists them.`)
    },
  })
}

const statusOf = ({ engine, plan }: Edge, name: string): Promise<StoredStatus | undefined> =>
  readLearner(engine.store, plan, name)

function summaryOf({ app }: Edge, name: string, status: StoredStatus | undefined): Summary {
  const { label, kind, service = name, promotion } = app.learners[name]!
  return {
    name,
    label,
    kind,
    service,
    automatic: promotion.automatic,
    state: stateOf(status),
    version: status?.version ?? null,
    share: status?.share ?? 0,
    learned: status?.learned ?? 0,
    labels: status?.labels ?? 0,
    lagRecords: status?.lagRecords ?? 0,
    lastLabelAt: status?.lastLabelAt === undefined ? null : time(status.lastLabelAt),
    updatedAt: status ? time(status.at) : null,
    next: status?.next ?? 'no label yet',
    openAlerts: status?.alerts.open.length ?? 0,
  }
}

function stateOf(status: StoredStatus | undefined): Summary['state'] {
  if (!status || status.version === undefined) return 'waiting'
  if (status.isPaused) return 'paused'
  if (status.share >= 1) return 'serving'
  if (status.share > 0) return 'climbing'
  return status.isBarred ? 'barred' : 'shadow'
}

function detailOf(edge: Edge, name: string, status: StoredStatus | undefined): Answer {
  return {
    ...summaryOf(edge, name, status),
    rival: status?.rival ?? null,
    steps: [...edge.app.learners[name]!.promotion.steps],
    step: status?.step ?? -1,
    ignored: status?.ignored ?? 0,
    models: { ...status?.models },
    slices: { ...status?.slices },
    curve: (status?.curve ?? []).map(({ labels, at, models }) => ({ labels, at: time(at), models: { ...models } })),
    drift: {
      psi: [...(status?.drift.psi ?? [])],
      level: status?.drift.level ?? 'none',
      drifts: status?.drift.drifts ?? 0,
    },
    alerts: {
      open: (status?.alerts.open ?? []).map(alertOf),
      past: (status?.alerts.past ?? []).map(alertOf),
    },
    moves: (status?.moves ?? []).map((move) => ({
      ...move,
      at: time(move.at),
      version: move.version ?? null,
      evidence: { ...move.evidence },
    })),
  }
}

const alertOf = ({ code, subject, severity, state, text, since, at }: Alert) => ({
  code,
  subject: subject ?? null,
  severity,
  state,
  text,
  since: time(since),
  at: time(at),
})

const time = (at: number): string => new Date(at).toISOString()
