/** Requests and answers of the HTTP API: validation, types and the OpenAPI document come from here. */
import { z } from 'zod'
import { consentPreferences } from './consent.ts'

const namespace = z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/)
const identity = z
  .strictObject({ namespace, id: z.string().min(1).max(512) })
  .meta({ description: 'an identity that a profile is kept under' })
const time = z.string().max(40).meta({ format: 'date-time', description: 'RFC 3339' })
const scalar = z.union([z.number(), z.string().max(65_536), z.boolean(), z.null()])
const features = z
  .record(z.string().max(256), z.union([scalar, z.array(scalar).max(100)]))
  .meta({ description: 'feature or column → value; wins over what the profile has' })
const xdm = z.record(z.string(), z.unknown()).meta({ description: 'an XDM ExperienceEvent' })

const question = z
  .strictObject({
    identity: identity.optional(),
    features: features.optional(),
    xdm: xdm.optional().meta({ description: 'an event that is applied in memory first; nothing is stored' }),
    record: z.record(z.string().max(256), z.unknown()).optional().meta({
      description: "columns of a graph's input: features of the same name, or of a service of the edge anything",
    }),
    event: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ description: 'XDM that a graph reads; applied to nothing' }),
    profile: z
      .strictObject({
        features: features.optional(),
        scores: z.record(z.string(), z.number()).optional(),
        segments: z.record(z.string(), z.unknown()).optional(),
        attributes: z.record(z.string(), z.unknown()).optional(),
      })
      .optional()
      .meta({ description: 'what a graph reads of the profile, instead of what is kept' }),
    at: time.optional().meta({ description: 'instant of evaluation without xdm; default: now' }),
  })
  .meta({ description: 'profile by identity, features of the request, an event, or several of them' })
const flat = features.meta({ description: 'features only' })

export const MAX_RECORDS = 500
const batch = z.strictObject({
  records: z
    .array(z.union([question, flat]))
    .min(1)
    .max(MAX_RECORDS),
})
/** `DataFrame.to_dict()`: {column: {row: value}}. */
const frame = z
  .record(z.string().max(256), z.record(z.string().regex(/^-?\d{1,15}$/), scalar))
  .meta({ description: 'a frame, {column: {row: value}}; rows in numeric order' })

export const predictBody = z.union([batch, question, frame])

const flag = z.enum(['true', 'false'])
export const predictQuery = z.strictObject({
  explain: flag.optional().meta({ description: 'how much each feature moved the score, leave-one-out' }),
  features: flag.optional().meta({ description: 'what the models saw, with ages' }),
  models: z.enum(['served', 'all']).optional().meta({ description: 'all: also shadows, with their scores' }),
  model: z.string().max(64).optional().meta({ description: "this model's score instead of the served one's" }),
})

const attribution = z.object({ feature: z.string(), contribution: z.number() })
const modelScore = z.object({
  model: z.string(),
  version: z.string(),
  role: z.enum(['champion', 'arm', 'shadow']),
  output: z.string(),
  score: z.number(),
  fallback: z.enum(['none', 'previous', 'prior', 'rule']),
  explanation: z.array(attribution).optional(),
})
export const featureValue = z.object({
  feature: z.string(),
  column: z.string(),
  value: z.union([z.number(), z.string(), z.null()]),
  ageMs: z.number().nullable().meta({ description: 'since the newest event that the value reflects' }),
})
const profileState = z.object({
  status: z.enum(['found', 'new', 'unavailable', 'none']),
  storedEventAt: z.string().nullable().meta({ description: 'latest event time in the store' }),
  stalenessMs: z.number().nullable().meta({ description: 'from it to the instant of evaluation' }),
  pendingEvents: z.int().meta({ description: 'accepted events that the store does not show yet, applied in memory' }),
  event: z.enum(['applied', 'duplicate', 'late']).nullable().meta({ description: "the request's own event" }),
})
const prediction = z.object({
  row: z.string().optional().meta({ description: 'row of a frame' }),
  identity: identity.nullable(),
  score: z.number().nullable().meta({ description: 'null: no model had a score, and none has a fallback' }),
  model: z.string().nullable(),
  version: z.string().nullable(),
  role: z.enum(['champion', 'arm', 'shadow']).nullable(),
  fallback: z.enum(['none', 'previous', 'prior', 'rule']).nullable(),
  outputs: z.record(z.string(), z.number()).meta({ description: 'every output of the model by name' }),
  output: z
    .record(z.string(), scalar)
    .nullable()
    .optional()
    .meta({ description: 'of a graph: the columns of its answer; null: the row was filtered or has failed' }),
  evaluatedAt: z.string(),
  state: profileState,
  models: z.array(modelScore).optional(),
  explanation: z.array(attribution).optional(),
  features: z.array(featureValue).optional(),
  warnings: z.array(z.string()).optional(),
})
export type Prediction = z.output<typeof prediction>
export const predictAnswer = z.object({
  requestId: z.string(),
  service: z.string(),
  featureSetVersion: z.string(),
  predictions: z.array(prediction),
})

export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    report: z.object({ requestId: z.string(), errors: z.array(z.string()).optional() }).loose(),
  })
  .meta({ description: 'RFC 9457 problem details' })

const edgeEvent = z.looseObject({
  xdm: xdm,
  data: z.record(z.string(), z.unknown()).optional(),
  query: z.looseObject({}).optional(),
})
const edgeQuery = z.looseObject({
  personalization: z
    .looseObject({
      schemas: z.array(z.string().max(512)).max(50).optional(),
      decisionScopes: z.array(z.string().max(2_048)).max(50).optional(),
      surfaces: z.array(z.string().max(2_048)).max(50).optional(),
    })
    .optional(),
  identity: z.looseObject({ fetch: z.array(z.string().max(64)).max(10).optional() }).optional(),
})
const edgeMeta = z.looseObject({
  state: z
    .looseObject({
      domain: z.string().max(255).optional(),
      cookiesEnabled: z.boolean().optional(),
      entries: z
        .array(z.looseObject({ key: z.string().max(256), value: z.string().max(4_096) }))
        .max(50)
        .optional(),
    })
    .optional(),
})
const requestXdm = z.looseObject({ identityMap: z.record(z.string(), z.unknown()).optional() })

/** Events of one request; more belong into several. */
export const MAX_EDGE_EVENTS = 20
const edgeRest = { query: edgeQuery.optional(), meta: edgeMeta.optional(), xdm: requestXdm.optional() }
export const interactOneBody = z.looseObject({ event: edgeEvent, ...edgeRest })
export const interactManyBody = z.looseObject({
  events: z.array(edgeEvent).max(MAX_EDGE_EVENTS).optional(),
  ...edgeRest,
})
export const collectManyBody = z.looseObject({ events: z.array(edgeEvent).min(1).max(MAX_EDGE_EVENTS), ...edgeRest })
export const consentBody = z.looseObject({
  consent: consentPreferences,
  identityMap: z.record(z.string(), z.unknown()).optional(),
  ...edgeRest,
})
export type EdgeBody = z.output<typeof interactManyBody>

const requestId = z.string().regex(/^[A-Za-z0-9._:-]{1,128}$/)
export const serverQuery = z.looseObject({
  dataStreamId: z.string().min(1).max(128),
  requestId: requestId.optional(),
  silent: flag.optional(),
})
export const webQuery = z.looseObject({ configId: z.string().min(1).max(128), requestId: requestId.optional() })

export const handleAnswer = z.object({
  requestId: z.string(),
  handle: z.array(z.looseObject({ type: z.string(), payload: z.array(z.unknown()), eventIndex: z.int().optional() })),
  warnings: z.array(z.looseObject({ type: z.string(), status: z.int(), title: z.string() })).optional(),
  errors: z.array(problem).optional().meta({ description: 'with status 207: what could not be done' }),
})
export const acceptedAnswer = z.object({ requestId: z.string() })

const rejection = z.object({
  record: z.int(),
  code: z.string(),
  path: z.string(),
  message: z.string(),
})
export const collectAnswer = z.object({
  requestId: z.string(),
  records: z.int().meta({ description: 'records that the log has acknowledged' }),
  events: z.int().meta({ description: 'events that they hold' }),
  rejected: z
    .array(rejection)
    .meta({ description: 'events that will go to the dead letters, with their reason; at most 100' }),
})

export const profileAnswer = z.object({
  identity,
  profile: identity.meta({ description: 'the identity that it is kept under: another one when that was linked' }),
  partition: z.int(),
  position: z
    .int()
    .nullable()
    .meta({ description: 'input position that the state reflects; null when not owned here' }),
  lastEventAt: z.string().nullable(),
  stateBytes: z.int(),
  pendingEvents: z.int(),
  featureSetVersion: z.string(),
  evaluatedAt: z.string(),
  features: z.array(featureValue),
  segments: z
    .array(z.object({ segment: z.string(), status: z.enum(['realized', 'exited']), since: z.string() }))
    .meta({ description: 'segments that the profile is in or has left, as of its last event or timer' }),
  lastScores: z
    .object({ eventId: z.string(), eventAt: z.string(), processedAt: z.string(), scores: z.array(modelScore) })
    .nullable()
    .meta({ description: 'scores of the last event; null: none among the newest records' }),
  lastEvents: z
    .array(
      z.object({
        eventId: z.string(),
        eventAt: z.string(),
        processedAt: z.string(),
        source: z.string(),
        place: z.string().meta({ description: 'topic[partition]@offset of its scores' }),
      }),
    )
    .meta({ description: 'the last events that were scored, newest first: up to 20 among the newest records' }),
})
export const whyAnswer = z.object({
  identity,
  eventId: z.string(),
  eventAt: z.string(),
  processedAt: z.string(),
  featureSetVersion: z.string(),
  trace: z.object({
    score: z.string().meta({ description: 'topic[partition]@offset of the score' }),
    sample: z.string().nullable().meta({ description: 'record of samples with what the models saw' }),
    input: z.string().nullable().meta({ description: 'record that the event came in' }),
    traceparent: z.string().nullable(),
  }),
  scores: z.array(
    modelScore.omit({ explanation: true }).extend({
      explanation: z.array(attribution.extend({ value: z.union([z.number(), z.string(), z.null()]) })),
    }),
  ),
})

export const topologyAnswer = z.object({
  app: z.string(),
  engine: z.string(),
  stages: z.array(
    z.object({
      name: z.string(),
      topic: z.string(),
      state: z.string(),
      shards: z.array(
        z.object({
          partition: z.int(),
          state: z.string(),
          position: z.int().nullable(),
          end: z.int().nullable(),
          lagEvents: z.int().nullable(),
        }),
      ),
    }),
  ),
  topics: z.array(
    z.object({
      name: z.string(),
      role: z.string(),
      partitions: z.int(),
      records: z.int().meta({ description: 'kept now' }),
      appended: z.int().meta({ description: 'since the topic was made' }),
    }),
  ),
  edges: z
    .array(z.object({ from: z.string(), to: z.string() }))
    .meta({ description: 'what flows where: topic:<name> and stage:<name>' }),
  down: z.array(z.object({ dependency: z.string(), since: z.string() })),
})

export const deadLettersQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^([1-9]|[1-9]\d|100)$/)
    .optional()
    .meta({ description: '1 to 100, default 50' }),
  code: z.string().max(32).optional().meta({ description: 'only this reason, such as MAP_TYPE' }),
  values: flag.optional().meta({ description: 'also the original bytes' }),
})
export const deadLettersAnswer = z.object({
  letters: z.array(
    z.object({
      place: z.string(),
      at: z.string(),
      code: z.string(),
      path: z.string(),
      message: z.string(),
      from: z.string(),
      schemaId: z.int().nullable(),
      key: z.string().nullable(),
      value: z.string().nullable().optional(),
    }),
  ),
  complete: z
    .boolean()
    .meta({ description: 'false: older ones may exist beyond the newest records that were looked at' }),
})

/** JSON Schema of a zod schema, as the validator and OpenAPI take it. */
export function jsonSchemaOf(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const {
    $schema: _,
    id: __,
    ...rest
  } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Record<string, unknown>
  return rest
}
