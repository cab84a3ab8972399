/** Requests and answers about services and their models. */
import { z } from 'zod'

const name = z
  .string()
  .regex(/^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$/)
  .meta({ description: 'a model of the service' })
const version = z
  .string()
  .regex(/^[a-zA-Z0-9][a-zA-Z0-9._+-]{0,63}$/)
  .meta({ description: 'letters, digits, . _ + -' })
const why = z.string().max(1_000).optional().meta({ description: 'why; kept in the history and in the audit log' })
const revision = z
  .int()
  .min(0)
  .optional()
  .meta({ description: 'revision that the change was made from; another one now: 409' })
const facts = z.record(z.string().max(100), z.unknown())

const tensor = z.object({ name: z.string(), type: z.string() })
const role = z.object({
  model: z.string(),
  version: z.string(),
  role: z.enum(['champion', 'arm', 'shadow']),
  share: z.number().nullable().meta({ description: 'of an arm: its share of the profiles' }),
})
const serviceModel = role.extend({
  sha256: z.string(),
  inputs: z.array(tensor),
  outputs: z.array(z.string()),
  features: z.array(z.string()),
  deadlineMs: z.number(),
  fallback: z.enum(['none', 'previous', 'prior', 'rule']),
  deploy: z.enum(['hub', 'edge', 'both']),
})
export const serviceAnswer = z.object({
  id: z.string(),
  type: z.enum(['hub', 'edge', 'both']).meta({ description: 'who scores: the stream, HTTP, or both' }),
  deprecated: z.boolean().meta({ description: 'switched off: nobody scores' }),
  url: z.string(),
  featureSetVersion: z.string(),
  created: z.string().nullable().meta({ description: 'ISO 8601' }),
  updated: z.string().nullable().meta({ description: 'newest change of who serves' }),
  revision: z.int().meta({ description: 'newest change of who serves; 0: as the application file says' }),
  serving: z
    .int()
    .nullable()
    .meta({ description: 'revision that serves in this process; an earlier one when a version is refused' }),
  roles: z.array(role).meta({ description: 'who is asked to serve' }),
  models: z.array(serviceModel).meta({ description: 'what serves in this process' }),
  problems: z.array(z.string()).meta({ description: 'versions that cannot serve in this process, and why' }),
})
export const servicesAnswer = z.object({ services: z.array(serviceAnswer) })

const routing = z.object({
  revision: z.int(),
  action: z.enum(['file', 'push', 'promote', 'rollback', 'disable', 'enable', 'retire', 'route']),
  roles: z.array(role),
  disabled: z.boolean(),
  blocked: z.array(z.string()).meta({ description: 'model@version that may not get a role' }),
  at: z.string(),
  by: z.string(),
  why: z.string(),
  evidence: facts.meta({ description: 'the figures that justified it' }),
})
export const serviceDetail = serviceAnswer.extend({
  blocked: z.array(z.string()),
  versions: z
    .array(
      z.object({
        model: z.string(),
        version: z.string(),
        origin: z.enum(['file', 'push', 'learner', 'bundle']),
        sha256: z.string(),
        sizeBytes: z.int(),
        kept: z
          .boolean()
          .meta({ description: 'false: the ONNX file is no longer in the log; push it again to serve it' }),
        share: z.number().meta({ description: 'of the profiles, now' }),
        metrics: facts.meta({ description: 'as they were when it was pushed' }),
        live: facts.nullable().meta({ description: 'on live labels, newest' }),
        provenance: facts,
        at: z.string(),
        by: z.string(),
        why: z.string(),
      }),
    )
    .meta({ description: 'newest first, at most 100' }),
  history: z.array(routing).meta({ description: 'newest first, at most 100' }),
})

export const promoteBody = z.strictObject({
  model: name.optional(),
  version: version.optional().meta({ description: 'absent: the only challenger' }),
  share: z.number().gt(0).max(1).optional().meta({ description: '1: champion; absent: the next step' }),
  evidence: facts.optional(),
  revision,
  why,
})
export const rollbackBody = z.strictObject({
  model: name.optional(),
  version: version.optional().meta({
    description: 'absent: from challengers to the champion, else to the champion before this one',
  }),
  evidence: facts.optional(),
  revision,
  why,
})
export const switchBody = z.strictObject({
  model: name.optional(),
  version: version.optional().meta({ description: 'absent: the whole service' }),
  revision,
  why,
})
export const pushQuery = z.strictObject({
  model: name.optional().meta({ description: 'absent: the model of the champion' }),
  version: version.optional().meta({ description: 'absent: the next whole number' }),
  role: z.enum(['none', 'shadow', 'challenger', 'champion']).optional().meta({ description: 'default: shadow' }),
  manifest: z.string().max(8_192).optional().meta({
    description: 'JSON with inputs, output, fallback… as in the application file; absent: as the version before',
  }),
  origin: z.enum(['push', 'learner', 'bundle']).optional(),
  why,
})
export const changedAnswer = z.object({ service: z.string(), routing })
export const pushedAnswer = z.object({
  service: z.string(),
  model: z.string(),
  version: z.string(),
  sha256: z.string(),
  routing: routing.nullable().meta({ description: 'null: it has no role yet' }),
})
