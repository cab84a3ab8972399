/** Requests and answers of the operator's part of the API, which the console uses. */
import { z } from 'zod'

const time = z.string().max(40).meta({ format: 'date-time', description: 'RFC 3339' })
/** 1 to 100, as text of an address. */
const limit = z
  .string()
  .regex(/^([1-9]|[1-9]\d|100)$/)
  .meta({ description: '1 to 100, default 50' })

export const auditQuery = z.strictObject({
  limit: limit.optional(),
  from: time.optional().meta({ description: 'entries from this time on' }),
  until: time.optional().meta({ description: 'entries before this time' }),
  actor: z.string().max(160).optional().meta({ description: 'such as key:ops' }),
  action: z.string().max(64).optional().meta({ description: 'such as rules.apply' }),
  subject: z.string().max(256).optional().meta({ description: 'text that the subject contains' }),
})
export const auditAnswer = z.object({
  entries: z.array(
    z.object({
      place: z.string(),
      at: z.string(),
      actor: z.string(),
      action: z.string(),
      subject: z.string(),
      reason: z.string().nullable(),
      result: z.enum(['done', 'refused', 'failed']),
      via: z.enum(['http', 'cli']),
      requestId: z.string().nullable(),
      detail: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
    }),
  ),
  complete: z
    .boolean()
    .meta({ description: 'false: older ones may exist beyond the newest records that were looked at' }),
})

const letter = z.object({
  place: z.string(),
  at: z.string(),
  code: z.string(),
  path: z.string(),
  message: z.string(),
  from: z.string().meta({ description: 'where the record was when it was refused' }),
  schemaId: z.int().nullable(),
  key: z.string().nullable(),
})
export const deadLetterAnswer = letter.extend({
  value: z.string().nullable().meta({ description: 'the original bytes, Base64' }),
  headers: z.record(z.string(), z.string()),
})
/** Letters of one request. */
export const MAX_REPLAY = 100
export const replayBody = z.strictObject({
  letters: z
    .array(
      z.strictObject({
        place: z.string().max(300).meta({ description: 'topic[partition]@offset of the dead letter' }),
        value: z
          .string()
          .max(1_400_000)
          .regex(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/)
          .optional()
          .meta({ description: 'repaired bytes, Base64; absent: as they were' }),
      }),
    )
    .min(1)
    .max(MAX_REPLAY),
  reason: z.string().max(500).optional().meta({ description: 'why, for the audit log' }),
})
export const replayAnswer = z.object({
  replayed: z.int(),
  topics: z.array(z.string()).meta({ description: 'where they were appended' }),
})

const quantiles = z.object({ p50: z.number().nullable(), p99: z.number().nullable() })
const rateHz = z.number().nullable().meta({ description: 'a second; null before a second has passed' })
/** One frame of /v1/live. */
export const liveFrame = z.object({
  at: z.string(),
  app: z.string(),
  engine: z.string(),
  reasons: z.array(z.string()).meta({ description: 'what keeps events from flowing' }),
  counts: z.record(z.string(), z.number()),
  scores: z.array(z.object({ profile: z.string(), model: z.string(), score: z.number(), at: z.number() })),
  stages: z.array(
    z.object({
      name: z.string(),
      topic: z.string(),
      state: z.string(),
      shards: z.int().meta({ description: 'that this process owns' }),
      lagEvents: z.int().nullable(),
      rateHz,
      latencyMs: quantiles.meta({ description: 'append to publication, last ten seconds' }),
    }),
  ),
  topics: z.array(
    z.object({
      name: z.string(),
      role: z.string(),
      partitions: z.int(),
      records: z.int(),
      appended: z.int(),
      rateHz,
    }),
  ),
  edges: z.array(z.object({ from: z.string(), to: z.string() })),
  down: z.array(z.object({ dependency: z.string(), since: z.string() })),
  http: z.object({ rateHz, latencyMs: quantiles, waitingBytes: z.int() }),
})

/** Who calls, and what this console may show. */
export const sessionAnswer = z.object({
  authentication: z.enum(['none', 'required']).meta({ description: 'none: everything is allowed from this machine' }),
  actor: z.string().nullable().meta({ description: 'null: nobody in particular' }),
  scopes: z.array(z.string()),
  app: z.string().nullable().meta({ description: 'null while the application starts' }),
})

export const sourcesAnswer = z.object({
  sources: z.array(
    z.object({
      name: z.string(),
      topic: z.string(),
      mapping: z.string(),
      format: z.string(),
      keyedBy: z.enum(['source', 'identity']),
    }),
  ),
})
const TRY_CHARS = 60_000
export const tryBody = z.strictObject({
  value: z.string().max(TRY_CHARS).meta({ description: 'the raw record' }),
  encoding: z.enum(['text', 'base64']).optional().meta({ description: 'of value; default: text' }),
  headers: z.record(z.string().max(100), z.string().max(1_000)).optional(),
})
export const tryAnswer = z.object({
  events: z.array(
    z.object({
      id: z.string(),
      at: z.string(),
      key: z.string().meta({ description: 'profile that the event belongs to' }),
      xdm: z.record(z.string(), z.unknown()),
    }),
  ),
  rejected: z.array(z.object({ code: z.string(), path: z.string(), message: z.string() })),
  skipped: z.int().meta({ description: 'left out by `when` or by consent' }),
  nulled: z.record(z.string(), z.int()).meta({ description: 'optional fields that became null: path → count' }),
  dropped: z.record(z.string(), z.int()).meta({ description: 'fields that the schema does not know: path → count' }),
  complete: z.boolean().meta({ description: 'false: more events than are shown' }),
})
export const newestAnswer = z.object({
  place: z.string(),
  at: z.string(),
  key: z.string().nullable(),
  value: z.string().meta({ description: 'Base64' }),
  headers: z.record(z.string(), z.string()),
})

const distribution = z.object({
  rows: z.int(),
  missing: z.int(),
  min: z.number().nullable(),
  max: z.number().nullable(),
  mean: z.number().nullable(),
  quantiles: z.record(z.string(), z.number()).meta({ description: 'p1, p25, p50, p75, p99' }),
  histogram: z.array(z.object({ from: z.number(), to: z.number(), count: z.int() })),
  top: z.array(z.object({ value: z.string(), count: z.int() })).meta({ description: 'of texts, most frequent first' }),
})
export const featuresAnswer = z.object({
  featureSetVersion: z.string(),
  sample: z
    .object({ rows: z.int(), records: z.int(), from: z.string(), to: z.string() })
    .nullable()
    .meta({ description: 'what the distributions are made of: the newest vectors that models saw; null: none' }),
  features: z.array(
    z.object({
      feature: z.string(),
      column: z.string(),
      type: z.enum(['number', 'text']),
      kind: z.string(),
      entity: z.string(),
      definition: z.record(z.string(), z.unknown()).meta({ description: 'as in the application file' }),
      usedBy: z.array(z.string()).meta({ description: 'models that read it' }),
      distribution: distribution.nullable(),
    }),
  ),
  scores: z.array(z.object({ model: z.string(), output: z.string(), distribution })),
})
