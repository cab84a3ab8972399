/** Requests and answers about segments and decisions. */
import { z } from 'zod'
import { decisionSchema, segmentSchema } from '../app/schema-decisions.ts'

const definition = z.record(z.string(), z.unknown())
const why = z.string().min(1).max(512).meta({ description: 'reason, for history and audit log' })
const revision = z
  .int()
  .min(0)
  .meta({ description: 'revision that the change was made to: refused with 409 when it is no longer the newest' })

export const ruleParams = {
  type: 'object',
  properties: { name: { type: 'string', pattern: '^[a-zA-Z_][a-zA-Z0-9_]{0,63}$' } },
  required: ['name'],
}
export const ruleBody = z.strictObject({
  definition: definition.meta({ description: 'as in the application file, under segments or decisions' }),
  revision,
  why,
})
export const ruleQuery = z.strictObject({
  revision: z
    .string()
    .regex(/^\d{1,15}$/)
    .meta({ description: 'revision that the removal was made to' }),
  why,
})
export const definitionsBody = z.strictObject({
  segments: z.record(z.string(), definition).optional(),
  decisions: z.record(z.string(), definition).optional(),
})
const listed = z.object({
  name: z.string(),
  origin: z.enum(['file', 'changed', 'added']).meta({ description: 'file: as in the application file' }),
  definition,
})
export const rulesAnswer = z.object({
  revision: z.int(),
  inStream: z.int().meta({ description: 'revision that every partition of the stream has reached' }),
  segments: z.array(listed),
  decisions: z.array(listed),
})
export const changedAnswer = z.object({
  revision: z.int(),
  notes: z.array(z.string()).meta({ description: 'what holds from when' }),
})
export const historyAnswer = z.object({
  changes: z.array(
    z.object({
      revision: z.int(),
      kind: z.enum(['segment', 'decision']),
      name: z.string(),
      definition: definition.nullable().meta({ description: 'null: back to the application file, or gone' }),
      by: z.string(),
      why: z.string(),
      at: z.string(),
    }),
  ),
})
export const checkAnswer = z.object({
  valid: z.boolean(),
  problems: z.array(z.object({ place: z.string(), message: z.string() })),
})
const chosen = z.object({
  decision: z.string(),
  scope: z.string(),
  offer: z.string(),
  reason: z.enum(['rule', 'default', 'holdout', 'consent', 'incomplete']),
  rule: z.int().nullable(),
  candidates: z.array(z.string()),
  propensity: z.number(),
})
export const previewBody = z.strictObject({
  identity: z.strictObject({ namespace: z.string().max(64), id: z.string().min(1).max(512) }),
  scopes: z.array(z.string().max(2_048)).max(50).optional().meta({ description: 'default: those of all decisions' }),
  xdm: z.record(z.string(), z.unknown()).optional().meta({ description: 'the event at hand; default: none' }),
  ...definitionsBody.shape,
})
const situation = z.object({ segments: z.array(z.string()), decisions: z.array(chosen) })
export const previewAnswer = situation.extend({
  evaluatedAt: z.string(),
  missing: z.array(z.string()),
  with: situation.nullable().meta({ description: 'the same with the given definitions; null when none are given' }),
})

const counts = z.object({ entered: z.int(), exited: z.int(), members: z.int() })
const offers = z.record(z.string(), z.int())
export const replayBody = z.strictObject({
  ...definitionsBody.shape,
  last: z
    .string()
    .regex(/^\d{1,6}[smhd]$/)
    .optional()
    .meta({ description: 'how much of the log: 30m, 6h (default), 7d' }),
})
export const replayAnswer = z.object({
  from: z.string(),
  events: z.int(),
  profiles: z.int(),
  isPartial: z.boolean().meta({ description: 'more profiles than are followed: figures of the first ones' }),
  segments: z.array(z.object({ name: z.string(), before: counts, after: counts })),
  decisions: z.array(z.object({ name: z.string(), answers: z.int(), changed: z.int(), before: offers, after: offers })),
})

export const parseSegment = (value: unknown) => segmentSchema.safeParse(value)
export const parseDecision = (value: unknown) => decisionSchema.safeParse(value)
