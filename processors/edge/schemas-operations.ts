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
