/** The sections of the application file about what follows from features and scores: segments and decisions. Part of `schema.ts`. */
import { z } from 'zod'
import { duration } from './duration.ts'

const expression = z.string().min(1).max(4_096).meta({ description: 'CEL expression' })
const name = z
  .string()
  .regex(/^[a-zA-Z_][a-zA-Z0-9_]{0,63}$/, 'a name is 1–64 letters, digits or _, not starting with a digit')
const share = z.number().min(0).max(1)
const instant = z.iso.datetime({ offset: true })

export const segmentSchema = z.strictObject({
  description: z.string().optional().meta({ description: 'free text' }),
  when: expression.meta({
    description:
      'who is in: CEL over features.<name>, scores.<model>, segments.<name>, newest values of XDM paths, and exists, count, sum, average, distinct over events in a window',
  }),
})

const consent = z
  .enum(['required', 'unless-refused', 'ignored'])
  .default('unless-refused')
  .meta({ description: 'what consents.personalize.content of the event must say' })

const offerSchema = z.strictObject({
  format: z
    .enum(['json', 'html', 'redirect'])
    .default('json')
    .meta({ description: 'how the page shows it: the content schema of its item' }),
  content: z.unknown().meta({ description: 'what the page gets; a text for html and redirect' }),
  start: instant.optional().meta({ description: 'not before this instant' }),
  end: instant.optional().meta({ description: 'not from this instant on' }),
  when: expression.optional().meta({ description: 'who may get it; default: everybody' }),
  caps: z
    .array(
      z.strictObject({
        max: z.int().min(1).max(1_000_000).meta({ description: 'most displays' }),
        within: duration.meta({ description: 'in this window of event time' }),
      }),
    )
    .max(5)
    .default([])
    .meta({ description: 'how often a profile may see it: displays count, answers do not' }),
})

const rule = z.strictObject({
  when: expression.optional().meta({
    description:
      'CEL over features.<name>, scores.<model>, segments.<name> and the XDM of the event at hand; default: always',
  }),
  offer: z
    .union([name, z.array(name).min(1).max(100)])
    .meta({ description: 'a name under offers; several: the first that the profile may get, or explored' }),
  explore: z
    .union([
      share,
      z.strictObject({
        bandit: z.enum(['thompson']).meta({ description: 'each offer as often as it is likely to be the best one' }),
        random: share
          .default(0.05)
          .meta({ description: 'share of answers that take any of them, whatever is learned' }),
      }),
    ])
    .optional()
    .meta({
      description:
        'several offers: this share of answers takes one of them at random; or a bandit that learns from displays and interactions. The probability is logged',
    }),
})

export const decisionSchema = z.strictObject({
  description: z.string().optional().meta({ description: 'free text' }),
  scopes: z
    .array(z.string().min(1).max(1_000))
    .min(1)
    .max(20)
    .optional()
    .meta({ description: 'decision scopes that it answers; __view__ is the page; default: its name' }),
  offers: z
    .record(name, offerSchema)
    .refine((it) => Object.keys(it).length > 0, 'at least one offer')
    .meta({ description: 'experiences that it chooses among' }),
  rules: z.array(rule).max(100).default([]).meta({ description: 'in order: the first whose condition holds decides' }),
  default: name.optional().meta({ description: 'offer when no rule gives one; absent: no answer for the scope' }),
  holdout: share.default(0).meta({
    description:
      'share of profiles, for ever the same, that always get the default: what the rules are measured against',
  }),
  consent,
})

export const segmentsSchema = z.record(name, segmentSchema)
export const decisionsSchema = z.record(name, decisionSchema)
