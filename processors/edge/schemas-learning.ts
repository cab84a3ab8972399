/** Answers about learners, which the console draws. Figures that can't be known are null. */
import { z } from 'zod'

const figure = z.number().nullable()
const time = z.string().meta({ format: 'date-time' })

const figures = z.object({
  labels: z.int().meta({ description: 'labels that it was judged by' }),
  logLoss: figure.meta({ description: 'of the last 1,000 labels, as all figures here unless they say otherwise' }),
  auc: figure,
  prAuc: figure,
  calibrationError: figure,
  accuracy: figure,
  brier: figure,
  positiveRate: figure,
  rmse: figure,
  mae: figure,
  faded: z.object({ logLoss: figure, rmse: figure }),
  overall: z.object({ logLoss: figure, accuracy: figure, rmse: figure }).meta({ description: 'of all labels' }),
})

const alert = z.object({
  code: z.string(),
  subject: z.string().nullable(),
  severity: z.enum(['info', 'warning', 'critical']),
  state: z.enum(['open', 'closed']),
  text: z.string(),
  since: time,
  at: time,
})

const move = z.object({
  at: time,
  kind: z
    .enum(['promote', 'rollback', 'revert', 'adopted'])
    .meta({ description: 'revert: an earlier version of its own; adopted: somebody else has set its share' }),
  by: z.string(),
  fromShare: z.number(),
  toShare: z.number(),
  version: z.string().nullable(),
  why: z.string(),
  evidence: z.record(z.string(), z.union([z.number(), z.string(), z.null()])),
})

const learnerSummary = z.object({
  name: z.string(),
  label: z.string(),
  kind: z.enum(['ftrl', 'mlp', 'forest']),
  service: z.string().meta({ description: 'where its versions compete' }),
  automatic: z.boolean().meta({ description: 'it climbs by itself when the evidence is there' }),
  state: z.enum(['waiting', 'shadow', 'climbing', 'serving', 'paused', 'barred']).meta({
    description:
      'waiting: no label yet; shadow: it watches; climbing: it serves a part; serving: it serves all; paused: it serves, and learns nothing while labels cannot be trusted; barred: it was rolled back, a person decides',
  }),
  version: z.string().nullable().meta({ description: 'the version that should serve or watch' }),
  share: z.number().meta({ description: 'of the profiles that it serves, 0 to 1' }),
  learned: z.int(),
  labels: z.int(),
  lagRecords: z.int().meta({ description: 'examples that it has not read yet' }),
  lastLabelAt: time.nullable(),
  updatedAt: time.nullable(),
  next: z.string().meta({ description: 'what stands in the way of the next step' }),
  openAlerts: z.int(),
})

export const learnersAnswer = z.object({ learners: z.array(learnerSummary) })

export const learnerAnswer = learnerSummary.extend({
  rival: z.string().nullable().meta({ description: 'the model that it is compared with' }),
  steps: z.array(z.number()).meta({ description: 'shares on the way from shadow to all' }),
  step: z.int().meta({ description: '-1 = shadow; else its place in `steps`' }),
  ignored: z.int(),
  models: z
    .record(z.string(), figures)
    .meta({ description: 'by model@version; `learner`: just before it learns; its versions stand under its name' }),
  slices: z.record(z.string(), figures).meta({ description: 'what was served, by role:model' }),
  curve: z.array(
    z.object({
      labels: z.int(),
      at: time,
      models: z.record(z.string(), z.object({ logLoss: figure, auc: figure, rmse: figure })),
    }),
  ),
  drift: z.object({
    psi: z
      .array(z.object({ name: z.string(), psi: z.number() }))
      .meta({ description: 'beyond chance, greatest first' }),
    level: z.string().meta({ description: 'DDM on the served decisions: none, warning or drift' }),
    drifts: z.int(),
  }),
  alerts: z.object({ open: z.array(alert), past: z.array(alert) }),
  moves: z.array(move).meta({ description: 'oldest first; the last 50' }),
})
