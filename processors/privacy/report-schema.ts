/** The report on an erasure, as it is answered, stored and shown. */
import { z } from 'zod'

const removed = z.strictObject({
  what: z.string().meta({ description: 'state, scores, segments, entity state, dead letters, …' }),
  where: z.string(),
  /** Position in the stage's input from which on nothing of before exists. */
  position: z.string().nullable(),
  found: z.boolean(),
  records: z.int().nullable(),
})

const remaining = z.strictObject({
  where: z.string(),
  what: z.string(),
  records: z.int().nullable().meta({ description: 'null: not counted' }),
  until: z.string().nullable().meta({ description: 'null: until compaction' }),
  why: z.string(),
})

const signature = z.strictObject({
  algorithm: z.enum(['HMAC-SHA256', 'Ed25519']),
  /** First bytes of the hash of the key: which key, not what it is. */
  keyId: z.string(),
  value: z.string().meta({ description: 'base64, over the canonical JSON of the report without this member' }),
})

export const erasureReport = z.strictObject({
  report: z.literal('rtml-erasure'),
  version: z.literal(1),
  request: z.string(),
  application: z.string(),
  engine: z.string(),
  status: z.enum(['done', 'pending']).meta({ description: 'pending: no worker has taken all orders yet' }),
  requestedAt: z.string(),
  reportedAt: z.string(),
  by: z.string(),
  why: z.string().nullable(),
  identities: z.array(z.string()),
  removed: z.array(removed),
  remaining: z.array(remaining),
  retrain: z.array(z.string()).meta({ description: 'learners that may have learned from the person' }),
  notes: z.array(z.string()),
  signature: signature.nullable(),
})
export type ErasureReport = z.output<typeof erasureReport>
export type Removed = z.output<typeof removed>
export type Remaining = z.output<typeof remaining>
