/** The sections of the application file about learning: what the outcome is, and who learns it. Part of `schema.ts`. */
import { z } from 'zod'
import { duration } from './duration.ts'

const expression = z.string().min(1).max(4_096).meta({ description: 'CEL expression' })

export const labelSchema = z.strictObject({
  description: z.string().optional().meta({ description: 'free text' }),
  type: z
    .enum(['binary', 'number', 'count', 'classes'])
    .default('binary')
    .meta({ description: 'what the label is: yes or no, a quantity, a count ≥ 0, or one of `classes`' }),
  classes: z
    .array(z.string())
    .min(2)
    .max(1_000)
    .optional()
    .meta({ description: 'type classes: the values, as texts; an event with another value has no label' }),
  outcome: expression.optional().meta({
    description: 'true for events that are an outcome; absent: every sample carries its own label',
  }),
  value: expression.optional().meta({
    description: 'the label: of the outcome (default: yes), or without `outcome` of the sample itself; null = no label',
  }),
  where: expression.optional().meta({ description: 'only events for which this is true are samples; default: all' }),
  match: expression.optional().meta({
    description: 'sample and outcome of one profile belong together only when this gives both the same value',
  }),
  window: duration
    .optional()
    .meta({ description: 'attribution: an outcome counts for samples up to this long before it; wanted by `outcome`' }),
  combine: z
    .enum(['first', 'last', 'sum', 'count'])
    .default('first')
    .meta({ description: 'several outcomes in the window: which value is the label' }),
  policy: z.enum(['wait', 'fake-negative']).default('wait').meta({
    description:
      'wait: a sample is learned when its window is over; fake-negative: at once as a negative, again when its outcome comes, both with a weight that corrects for it',
  }),
  lateness: duration.prefault('1h').meta({ description: 'wait: how long after the window outcomes may still arrive' }),
  negatives: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .meta({ description: 'binary: share of the negatives that is learned; each then weighs 1 / share' }),
})
export type LabelDefinition = z.output<typeof labelSchema>

const promotion = z.strictObject({
  metric: z
    .enum(['logLoss', 'brier', 'squaredError'])
    .optional()
    .meta({ description: 'loss that decides; default: logLoss, for numbers and counts squaredError' }),
  margin: z.number().min(0).default(0).meta({ description: 'by how much a challenger must be better, a label' }),
  confidence: z
    .number()
    .min(0.5)
    .max(0.9999)
    .default(0.95)
    .meta({ description: 'certainty of the comparison; it may be looked at after every label' }),
  labels: z.int().min(1).default(1_000).meta({ description: 'least labels before any step' }),
  calibrationError: z
    .number()
    .gt(0)
    .max(1)
    .default(0.1)
    .meta({ description: 'most expected calibration error of a challenger' }),
  latency: duration.prefault('50ms').meta({
    description:
      'most p99 of a challenger, where it is measured; in the stream a late score counts as a failed one instead',
  }),
  steps: z
    .array(z.number().gt(0).max(1))
    .min(1)
    .max(20)
    .default([0.05, 0.5, 1])
    .meta({ description: 'shares of profiles on the way from shadow to all; the last is 1' }),
  automatic: z.boolean().default(false).meta({ description: 'false: a step waits for `rtml models promote`' }),
})

const guard = z.strictObject({
  psi: z
    .number()
    .gt(0)
    .default(0.25)
    .meta({ description: 'most population stability index of the scores, beyond what chance gives' }),
  errorRate: z.number().gt(0).max(1).default(0.01).meta({ description: 'most share of failed scores' }),
  loss: z
    .number()
    .gt(0)
    .default(0.1)
    .meta({ description: 'most rise of the live loss above what it was before the step, as a share of it' }),
  latency: duration.prefault('50ms').meta({
    description:
      'most p99 of the serving model, where it is measured; in the stream a late score counts as a failed one instead',
  }),
  drift: z.enum(['stop', 'tell']).default('stop').meta({
    description:
      "what a changed rate of labels or a risen error does, which poisoned labels cause and a world that moves, too: stop = no step up, and a serving learner pauses; tell = an alert only, and the guard's other bounds hold",
  }),
  silence: duration.prefault('1h').meta({ description: 'without a label for this long the source counts as dead' }),
})

const publish = z.strictObject({
  every: duration.prefault('2s').meta({ description: 'least time between two versions' }),
  examples: z.int().min(1).max(10_000_000).default(1).meta({ description: 'least new examples of a version' }),
})

export const learnerSchema = z.strictObject({
  description: z.string().optional().meta({ description: 'free text' }),
  label: z.string().meta({ description: 'a name under labels' }),
  kind: z
    .enum(['ftrl', 'mlp', 'forest'])
    .default('ftrl')
    .meta({ description: 'ftrl: linear model; mlp: small network with embeddings; forest: online trees' }),
  features: z
    .array(z.string())
    .min(1)
    .optional()
    .meta({ description: 'features or columns that it reads, in order; default: all' }),
  except: z.array(z.string()).default([]).meta({ description: 'features that it does not read' }),
  ftrl: z
    .strictObject({
      alpha: z.number().gt(0).max(100).default(0.2).meta({ description: 'learning rate' }),
      beta: z.number().min(0).max(100).default(1).meta({ description: 'smooths the first steps' }),
      l1: z.number().min(0).default(0).meta({ description: 'makes weights exactly 0' }),
      l2: z.number().min(0).default(0).meta({ description: 'keeps weights small' }),
    })
    .prefault({})
    .meta({ description: 'settings of kind ftrl' }),
  mlp: z
    .strictObject({
      hidden: z
        .array(z.int().min(1).max(4_096))
        .max(8)
        .default([32, 16])
        .meta({ description: 'widths of the hidden layers' }),
      embedding: z.int().min(1).max(256).default(8).meta({ description: 'numbers that stand for an id' }),
      rate: z.number().gt(0).lt(1).default(0.001).meta({ description: "Adam's learning rate" }),
      decay: z.number().min(0).max(1).default(0).meta({ description: 'weight decay' }),
      seed: z.int().min(0).max(4_294_967_295).default(1).meta({ description: 'of the first weights' }),
    })
    .prefault({})
    .meta({ description: 'settings of kind mlp' }),
  forest: z
    .strictObject({
      trees: z.int().min(1).max(100).default(10).meta({ description: 'trees that vote' }),
      depth: z.int().min(1).max(12).default(8).meta({ description: 'most splits above a leaf' }),
      grace: z.int().min(1).max(100_000).default(50).meta({ description: 'examples of a leaf between two looks' }),
      seed: z.int().min(0).max(4_294_967_295).default(1).meta({ description: 'of samples and features' }),
    })
    .prefault({})
    .meta({ description: 'settings of kind forest' }),
  calibration: z
    .enum(['none', 'platt', 'isotonic'])
    .default('none')
    .meta({ description: 'binary: corrects probabilities by what came of the ones predicted before' }),
  service: z
    .string()
    .optional()
    .meta({ description: 'models of one service compete; default: the name of the learner' }),
  publish: publish.prefault({}).meta({ description: 'when what was learned goes out as a new version' }),
  promotion: promotion.prefault({}).meta({ description: 'when it may serve' }),
  guard: guard.prefault({}).meta({ description: 'when it is rolled back' }),
})
export type LearnerDefinition = z.output<typeof learnerSchema>
