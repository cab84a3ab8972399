/**
 * The application file, as one schema: validation, TypeScript types, editor completion (JSON Schema) and the reference
 * page all come from here. A new key is added here and nowhere else.
 */
import { z } from 'zod'
import { duration } from './duration.ts'
import { decisionsSchema, segmentsSchema } from './schema-decisions.ts'
import { labelSchema, learnerSchema } from './schema-learning.ts'

const name = z
  .string()
  .regex(/^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$/, 'a name is 1–64 letters, digits, _ or -, not starting with a digit')
const topic = z.string().regex(/^[a-zA-Z0-9._-]{1,249}$/, 'a topic is 1–249 of letters, digits, . _ -')
const expression = z.string().min(1).max(4_096).meta({ description: 'CEL expression' })
const path = z.string().min(1).max(512).meta({ description: 'XDM path in dot notation' })
const namespace = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/, 'a namespace is 1–64 letters, digits or _, starting with a letter')

/** One line of a mapping: an expression, or an expression with conditions and a policy. */
export type FieldRule =
  | string
  | {
      /** Value. Absent with `const`. */
      from?: string | undefined
      const?: unknown
      /** The value of `from`, as text, is looked up here; a value without an entry is missing (then `default` applies). */
      table?: Record<string, unknown> | undefined
      /** The field is set only where this is true. */
      when?: string | undefined
      default?: unknown
      /** What a failing or misfitting value does. Default: `reject` where the XDM schema requires the field, else `null`. */
      onError?: 'null' | 'reject' | 'default' | undefined
      /** Fan-out of an array into an array of objects: the expression of the array; its elements are `item` (and `index`) below. */
      each?: string | undefined
      fields?: Record<string, FieldRule> | undefined
    }

const fieldRule: z.ZodType<FieldRule> = z.lazy(() =>
  z.union([
    expression,
    z.strictObject({
      from: expression.optional(),
      const: z.unknown().optional(),
      table: z
        .record(z.string(), z.unknown())
        .optional()
        .meta({ description: 'value of from → value that it stands for' }),
      when: expression.optional(),
      default: z.unknown().optional(),
      onError: z.enum(['null', 'reject', 'default']).optional(),
      each: expression.optional(),
      fields: z.record(z.string(), fieldRule).optional(),
    }),
  ]),
)

/** A named value of a mapping: an expression, a look-up in a table, or a list of key/value pairs made into an object. */
export type LetRule =
  | string
  | {
      from?: string | undefined
      /** As in a field. */
      table?: Record<string, unknown> | undefined
      /** `from` is a list of `{key|name, value}`; of a value such as `{string_value, int_value}` the one that is set is taken. */
      pairs?: boolean | undefined
      default?: unknown
    }

const letRule: z.ZodType<LetRule> = z.union([
  expression,
  z.strictObject({
    from: expression.optional(),
    table: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ description: 'value of from → value that it stands for' }),
    pairs: z.boolean().optional().meta({ description: 'from is a list of {key or name, value}: make it a map' }),
    default: z.unknown().optional().meta({ description: 'value where from or the table gives none' }),
  }),
])

/** A mapping: raw record → zero or more XDM events. Ready ones are files in schemas/mappings. */
export const mappingSchema = z.strictObject({
  mapping: name.meta({ description: 'name of the mapping' }),
  description: z.string().optional().meta({ description: 'free text' }),
  extends: z.string().optional().meta({ description: 'ready mapping whose fields come first; the ones here win' }),
  format: z
    .enum(['json', 'avro', 'cloudevents', 'csv', 'tsv', 'snowplow-tsv'])
    .default('json')
    .meta({ description: 'how bytes become an object' }),
  columns: z.array(z.string()).optional().meta({ description: 'csv, tsv: column names when the file has no header' }),
  separator: z.string().length(1).optional().meta({ description: 'csv, tsv: character between columns' }),
  let: z
    .record(z.string(), letRule)
    .optional()
    .meta({ description: 'named values, computed once per event, in order' }),
  each: expression
    .optional()
    .meta({ description: 'array of events inside one record; its elements are `item`, the record is `record`' }),
  when: expression
    .optional()
    .meta({ description: 'events for which this is false are skipped (counted, not rejected)' }),
  fields: z.record(path, fieldRule).meta({
    description: 'target XDM path → expression, or a rule with from, const, when, default, onError, each, fields',
  }),
})
export type MappingDefinition = z.output<typeof mappingSchema>

const source = z.strictObject({
  topic: topic.optional().meta({ description: 'default raw.<name>' }),
  mapping: z.union([z.string(), mappingSchema]).meta({ description: 'ready mapping, ./file.yaml, or inline' }),
  format: z
    .enum(['json', 'avro', 'cloudevents', 'csv', 'tsv', 'snowplow-tsv'])
    .optional()
    .meta({ description: "overrides the mapping's format" }),
  keyedBy: z.enum(['source', 'identity']).default('source').meta({
    description:
      'identity: records are keyed by <NAMESPACE>:<id> of the primary identity already; mapping is fused with scoring',
  }),
  timeZone: z.string().optional().meta({ description: 'IANA zone for local times; without it they are rejected' }),
  timeUnit: z.enum(['s', 'ms', 'us']).optional().meta({ description: 'unit of numeric times' }),
  maxFutureSkew: duration
    .prefault('10m')
    .meta({ description: 'an event this far after its record is refused (FUTURE)' }),
  secretEnv: z.string().optional().meta({ description: 'environment variable with the webhook secret (Shopify HMAC)' }),
})

const window = z.union([
  duration,
  z.strictObject({
    type: z.enum(['sliding', 'tumbling', 'session', 'lifetime']).meta({ description: 'how the window moves' }),
    length: duration.optional().meta({ description: 'sliding, tumbling' }),
    hop: duration
      .optional()
      .meta({ description: 'sliding: pane length; default: length / 12 rounded to a round time that divides it' }),
    gap: duration.optional().meta({ description: 'session: silence that ends it' }),
  }),
])

/** How a text value becomes numbers for a model. Absent: the feature is a string column. */
const encode = z
  .union([
    z
      .strictObject({
        vocabulary: z
          .array(z.string())
          .min(1)
          .max(10_000)
          .meta({ description: 'index of the value + 1; 0 = unknown or missing' }),
      })
      .meta({ description: 'index of the value + 1, 0 = unknown or missing' }),
    z
      .strictObject({
        onehot: z.array(z.string()).min(1).max(1_000).meta({ description: 'one column a value; unknown = all 0' }),
      })
      .meta({ description: 'one column a value; unknown = all 0' }),
    z
      .strictObject({
        hash: z
          .int()
          .min(2)
          .max(16_777_216)
          .meta({ description: 'number of buckets; the column is the murmur3 bucket in [0, hash)' }),
      })
      .meta({ description: 'murmur3 bucket in [0, hash)' }),
  ])
  .meta({ description: 'how a text becomes numbers; absent: the feature is a text column' })

/** Features whose values may be texts. */
const valueType = z
  .enum(['number', 'text'])
  .optional()
  .meta({ description: 'default: text when `encode` or a text as `default` is given, else number' })

const base = {
  description: z.string().optional().meta({ description: 'free text' }),
  entity: name.default('profile').meta({ description: 'whose state it is: profile or a name under entities' }),
  where: expression.optional().meta({ description: 'only events for which this is true' }),
}
const windowed = { ...base, window: window.optional().meta({ description: 'default: lifetime' }) }
const numeric = { ...windowed, value: expression }
const number = z.number()

/** Every kind of feature. Formulas: docs/features.md and the kernel's docstrings. */
export const featureSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('count').meta({ description: 'number of events' }),
    ...windowed,
    default: number.default(0).meta({ description: 'value when no event counts' }),
  }),
  z.strictObject({
    kind: z.literal('sum').meta({ description: 'sum of value' }),
    ...numeric,
    default: number.default(0).meta({ description: 'value when no event counts' }),
    unit: z
      .number()
      .positive()
      .default(1e-6)
      .meta({ description: 'values are summed as whole multiples of this, so that order cannot matter' }),
  }),
  z.strictObject({
    kind: z.literal('mean').meta({ description: 'mean of value' }),
    ...numeric,
    default: number.nullable().default(null).meta({ description: 'value when no event counts; null = missing (NaN)' }),
    unit: z
      .number()
      .positive()
      .default(1e-6)
      .meta({ description: 'values are summed as whole multiples of this, so that order cannot matter' }),
  }),
  z.strictObject({
    kind: z.literal('min').meta({ description: 'least value' }),
    ...numeric,
    default: number.nullable().default(null).meta({ description: 'value when no event counts; null = missing (NaN)' }),
  }),
  z.strictObject({
    kind: z.literal('max').meta({ description: 'greatest value' }),
    ...numeric,
    default: number.nullable().default(null).meta({ description: 'value when no event counts; null = missing (NaN)' }),
  }),
  z.strictObject({
    kind: z.literal('variance').meta({ description: 'population variance of value' }),
    ...numeric,
    default: number.nullable().default(null).meta({ description: 'value when no event counts; null = missing (NaN)' }),
    unit: z
      .number()
      .positive()
      .default(1e-6)
      .meta({ description: 'values are summed as whole multiples of this, so that order cannot matter' }),
  }),
  z.strictObject({
    kind: z.literal('distinct').meta({ description: 'number of different values, estimated' }),
    ...numeric,
    default: number.default(0).meta({ description: 'value when no event counts' }),
    precision: z.int().min(4).max(14).default(10).meta({ description: 'HyperLogLog of 2^precision registers' }),
  }),
  z.strictObject({
    kind: z.literal('last').meta({ description: 'newest value by event time' }),
    type: valueType,
    ...numeric,
    default: z
      .union([number, z.string()])
      .nullable()
      .default(null)
      .meta({ description: "value when there is none; null = missing (NaN, or '' in a text column)" }),
    encode: encode.optional(),
  }),
  z.strictObject({
    kind: z.literal('first').meta({ description: 'oldest value by event time' }),
    type: valueType,
    ...numeric,
    default: z
      .union([number, z.string()])
      .nullable()
      .default(null)
      .meta({ description: "value when there is none; null = missing (NaN, or '' in a text column)" }),
    encode: encode.optional(),
  }),
  z.strictObject({
    kind: z.literal('lastN').meta({ description: 'newest n values' }),
    type: valueType,
    ...numeric,
    n: z.int().min(1).max(100).meta({ description: 'how many values, newest first, one column each' }),
    encode: encode.optional(),
    default: z
      .union([number, z.string()])
      .nullable()
      .default(null)
      .meta({ description: "value when there is none; null = missing (NaN, or '' in a text column)" }),
  }),
  z.strictObject({
    kind: z.literal('topK').meta({ description: 'k most frequent values' }),
    type: valueType,
    ...numeric,
    k: z.int().min(1).max(20).meta({ description: 'how many values, most frequent first, one column each' }),
    capacity: z.int().min(1).max(500).default(50).meta({ description: 'how many values are counted at most' }),
    encode: encode.optional(),
    default: z
      .union([number, z.string()])
      .nullable()
      .default(null)
      .meta({ description: "value when there is none; null = missing (NaN, or '' in a text column)" }),
  }),
  z.strictObject({
    kind: z.literal('ratio').meta({ description: 'sum of numerator / sum of denominator' }),
    ...base,
    window: window.optional(),
    numerator: expression,
    denominator: expression,
    prior: z
      .strictObject({
        numerator: z.number().nonnegative().meta({ description: 'added to the numerator' }),
        denominator: z.number().positive().meta({ description: 'added to the denominator' }),
      })
      .optional()
      .meta({ description: '(n + prior.numerator) / (d + prior.denominator)' }),
    default: number.nullable().default(null).meta({ description: 'value when no event counts; null = missing (NaN)' }),
  }),
  z.strictObject({
    kind: z.literal('decayedCount').meta({ description: 'count that halves every halfLife' }),
    ...base,
    halfLife: duration.meta({ description: 'after this time a value weighs half' }),
    default: number.default(0).meta({ description: 'value when no event counts' }),
  }),
  z.strictObject({
    kind: z.literal('decayedSum').meta({ description: 'sum that halves every halfLife' }),
    ...base,
    value: expression,
    halfLife: duration.meta({ description: 'after this time a value weighs half' }),
    default: number.default(0).meta({ description: 'value when no event counts' }),
  }),
  z
    .strictObject({
      kind: z.literal('recency').meta({ description: 'seconds since the last matching event' }),
      ...base,
      default: number
        .nullable()
        .default(null)
        .meta({ description: 'value when no event counts; null = missing (NaN)' }),
    })
    .meta({ description: 'seconds since the last matching event' }),
  z.strictObject({
    kind: z.literal('session').meta({ description: 'measure of the session that is going on' }),
    ...base,
    gap: duration.meta({ description: 'silence that ends the session' }),
    measure: z
      .enum(['count', 'seconds', 'sum'])
      .default('count')
      .meta({ description: 'of the current session: its events, its length, or the sum of value' }),
    value: expression.optional(),
    default: number.default(0).meta({ description: 'value when no event counts' }),
  }),
  z.strictObject({
    kind: z.literal('buckets').meta({ description: 'count or sum by the value of an expression' }),
    ...windowed,
    by: expression,
    value: expression.optional().meta({ description: 'summed; absent: counted' }),
    keys: z.array(z.string()).min(1).max(1_000).optional().meta({ description: 'one column a key' }),
    read: expression
      .optional()
      .meta({ description: 'crossed key: one column, the bucket of this value of the current event' }),
    capacity: z.int().min(1).max(500).default(50).meta({ description: 'how many values are counted at most' }),
    default: number.default(0).meta({ description: 'value when no event counts' }),
  }),
  z
    .strictObject({
      kind: z.literal('event').meta({ description: 'a value of the current event itself' }),
      type: valueType,
      description: z.string().optional().meta({ description: 'free text' }),
      value: expression,
      encode: encode.optional(),
      default: z
        .union([number, z.string(), z.boolean()])
        .nullable()
        .default(null)
        .meta({ description: "value when there is none; null = missing (NaN, or '' in a text column)" }),
    })
    .meta({ description: 'a value of the current event itself' }),
  z
    .strictObject({
      kind: z.literal('lookup').meta({ description: 'a field of a compacted table topic' }),
      type: valueType,
      description: z.string().optional().meta({ description: 'free text' }),
      table: name.meta({ description: 'a name under lookups' }),
      key: expression,
      field: z.string().meta({ description: 'field of the row' }),
      encode: encode.optional(),
      default: z
        .union([number, z.string()])
        .nullable()
        .default(null)
        .meta({ description: "value when there is none; null = missing (NaN, or '' in a text column)" }),
    })
    .meta({ description: 'a field of a compacted table topic' }),
])
export type FeatureDefinition = z.output<typeof featureSchema>

const entity = z.strictObject({
  key: z
    .union([expression, z.array(expression).min(1).max(4)])
    .meta({ description: 'a text, a list of texts (fan-out), or several parts (crossed key)' }),
  ttl: duration.prefault('90d').meta({ description: "a key's state expires after this silence" }),
  partitions: z
    .int()
    .min(1)
    .max(1_000)
    .optional()
    .meta({ description: "of the entity's own topic; default: partitions" }),
})

const output = z.union([
  z.string(),
  z.strictObject({
    tensor: z
      .string()
      .optional()
      .meta({ description: 'output name; default: the only numeric one, or the probabilities' }),
    class: z
      .union([z.string(), z.number()])
      .optional()
      .meta({ description: 'positive class label, when the output has a column a class' }),
    column: z.int().min(0).optional().meta({ description: 'column of the output, instead of a class' }),
  }),
])

const model = z.strictObject({
  file: z.string().optional().meta({ description: 'ONNX file or bundle (.zip), relative to the application file' }),
  uri: z.string().optional().meta({ description: 'file:, http(s): or s3: address, with sha256' }),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 lower-case hex digits')
    .optional()
    .meta({ description: 'of the ONNX file, hexadecimal' }),
  version: z
    .union([z.string(), z.int().transform(String)])
    .default('1')
    .meta({ description: 'named in every score' }),
  inputs: z
    .union([z.array(z.string()).min(1), z.record(z.string(), z.union([z.string(), z.array(z.string()).min(1)]))])
    .optional()
    .meta({
      description:
        "features of the model's only input, in order; or input name → feature(s). A bundle's graph names its own: column → feature where they differ",
    }),
  output: output.optional().meta({ description: 'which output is the score, when it is not plain' }),
  outputs: z.record(name, output).optional().meta({ description: 'several named scores of one model' }),
  role: z
    .enum(['champion', 'arm', 'shadow'])
    .default('champion')
    .meta({ description: 'champion serves; an arm serves its share; a shadow is scored and never served' }),
  service: name.optional().meta({ description: 'models of one service compete; default: the name of the model' }),
  share: z.number().min(0).max(1).optional().meta({ description: 'arm: share of profiles, sticky' }),
  when: expression.optional().meta({ description: 'only events for which this is true are scored' }),
  deadline: duration.prefault('50ms').meta({ description: 'after it the fallback is used' }),
  fallback: z
    .union([
      z.literal('previous'),
      z.strictObject({ prior: z.number().meta({ description: 'this score' }) }),
      z.strictObject({ rule: expression.meta({ description: 'CEL expression over the event and its features' }) }),
    ])
    .optional()
    .meta({ description: 'score when the model fails or is late; absent: none' }),
  explain: z
    .strictObject({
      share: z.number().min(0).max(1).default(0).meta({ description: 'share of events, sampled' }),
      top: z.int().min(1).max(100).default(5).meta({ description: 'features that are named, largest first' }),
    })
    .optional()
    .meta({ description: 'attributions in scores' }),
  maxBatchRows: z.int().min(1).max(4_096).default(512).meta({ description: 'rows of one run of the model' }),
  deploy: z
    .enum(['hub', 'edge', 'both'])
    .default('both')
    .meta({ description: 'who scores with it: the stream (hub), HTTP (edge), or both; others do not load it' }),
})
export type ModelDefinition = z.output<typeof model>

/** How a model that comes while the application runs is fed and read: a model's definition without its file and its role. */
export const modelManifestSchema = model.omit({
  file: true,
  uri: true,
  sha256: true,
  version: true,
  role: true,
  service: true,
  share: true,
})
export type ModelManifest = z.input<typeof modelManifestSchema>

export const applicationSchema = z.strictObject({
  rtml: z.literal(1).meta({ description: 'version of this file format' }),
  name: name.meta({ description: 'name of the application: prefix of groups and shards' }),
  topicPrefix: z
    .string()
    .regex(/^[a-zA-Z0-9._-]{0,100}$/, 'a prefix is at most 100 of letters, digits, . _ -')
    .default('')
    .meta({ description: 'put before every topic name' }),
  schema: z
    .strictObject({
      tenant: z
        .string()
        .regex(/^_[a-z0-9][a-zA-Z0-9_]{0,30}$/, 'a tenant is _ and 1–31 letters, digits or _')
        .default('_rtml')
        .meta({ description: "the tenant's namespace" }),
      fieldGroups: z.array(z.string()).optional().meta({ description: 'XDM field groups; default: all vendored ones' }),
      fields: z
        .record(
          z.string(),
          z.union([
            z.enum([
              'string',
              'integer',
              'number',
              'boolean',
              'date-time',
              'string[]',
              'number[]',
              'map<string>',
              'map<number>',
            ]),
          ]),
        )
        .default({})
        .meta({ description: 'own fields below the tenant namespace, dot paths' }),
    })
    .prefault({})
    .meta({ description: "the application's event schema: XDM ExperienceEvent, field groups, own fields" }),
  sources: z
    .record(name, source)
    .refine((it) => Object.keys(it).length > 0, 'at least one source')
    .meta({ description: 'where raw records come from, and how they are mapped' }),
  identity: z
    .strictObject({
      priority: z.array(namespace).default([]).meta({
        description: 'namespace that becomes the key, best first; default: the one marked primary, else the first',
      }),
      allowed: z.array(namespace).optional().meta({ description: 'namespaces that are kept; default: all' }),
      max: z.int().min(1).max(50).default(20).meta({ description: 'identities an event may carry' }),
      link: z.boolean().default(false).meta({
        description:
          'identities that an event carries together are one person: an erasure covers them all, and a profile is found by any of them',
      }),
    })
    .prefault({})
    .meta({ description: 'which identity is the key of an event' }),
  consent: z
    .strictObject({
      collect: z
        .strictObject({
          undecided: z
            .enum(['accept', 'refuse'])
            .default('accept')
            .meta({ description: 'events without a decision about consents.collect' }),
        })
        .prefault({})
        .meta({ description: 'consents.collect: may the event be used at all' }),
    })
    .prefault({})
    .meta({ description: 'what consent an event needs' }),
  privacy: z
    .strictObject({
      drop: z.array(path).default([]).meta({ description: 'XDM paths that are removed' }),
      hash: z
        .array(
          z.strictObject({
            path,
            keyEnv: z
              .string()
              .optional()
              .meta({ description: 'environment variable with the HMAC key; absent: plain SHA-256' }),
          }),
        )
        .default([])
        .meta({ description: 'XDM paths whose text becomes its hash' }),
    })
    .prefault({})
    .meta({ description: 'what never leaves the mapper' }),
  events: z
    .strictObject({
      topic: topic.default('xdm.events').meta({ description: 'where mapped events go' }),
      publish: z.boolean().default(false).meta({ description: 'fused sources: also write xdm.events' }),
      lateness: duration
        .prefault('1h')
        .meta({ description: 'how much older than the newest event of its key an event may be' }),
      dedup: z
        .strictObject({
          ids: z.int().min(0).max(1_024).default(16).meta({ description: 'ids a key remembers; 0 = no check' }),
          window: duration.prefault('1h').meta({ description: 'for how long, in event time' }),
        })
        .prefault({})
        .meta({ description: 'how many event ids a key remembers, and for how long in event time' }),
      ttl: duration.prefault('90d').meta({ description: "a profile's state expires after this silence" }),
    })
    .prefault({})
    .meta({ description: 'mapped events, and how late or doubled ones are treated' }),
  partitions: z.int().min(1).max(1_000).default(4).meta({ description: 'of the topics that rtml creates' }),
  entities: z.record(name, entity).default({}).meta({ description: 'what features are kept of, besides profile' }),
  lookups: z
    .record(
      name,
      z.strictObject({
        topic: topic.meta({ description: 'compacted topic of JSON or Avro rows' }),
        maxEntries: z
          .int()
          .min(1)
          .max(5_000_000)
          .default(100_000)
          .meta({ description: 'bound of the table in memory' }),
      }),
    )
    .default({})
    .meta({ description: 'tables from compacted topics' }),
  features: z
    .record(name, featureSchema)
    .default({})
    .meta({ description: 'values that are kept per entity, or taken from the event' }),
  models: z.record(name, model).default({}).meta({ description: 'ONNX models that score every event' }),
  labels: z
    .record(name, labelSchema)
    .default({})
    .meta({ description: 'outcomes that are learned: what they are, and which events they belong to' }),
  learners: z
    .record(name, learnerSchema)
    .default({})
    .meta({ description: 'models that learn from labels while the stream runs' }),
  segments: segmentsSchema
    .default({})
    .meta({ description: 'groups of profiles, entered and left while events come and time passes' }),
  decisions: decisionsSchema.default({}).meta({ description: 'what a visitor sees: scopes, rules and offers' }),
  outputs: z
    .strictObject({
      scores: z
        .strictObject({ topic: topic.default('profile.scores').meta({ description: 'name of the topic' }) })
        .prefault({})
        .meta({ description: 'one record an event with all its scores' }),
      samples: z
        .strictObject({
          topic: topic.default('samples').meta({ description: 'name of the topic' }),
          enabled: z.boolean().default(true).meta({ description: 'false: nothing is kept to train on' }),
          retention: duration.prefault('14d').meta({ description: 'twice the longest attribution window' }),
        })
        .prefault({})
        .meta({ description: 'what the models saw, as Arrow batches' }),
      examples: z
        .strictObject({
          topic: topic.default('training.examples').meta({ description: 'name of the topic' }),
          retention: duration
            .prefault('30d')
            .meta({ description: 'how long examples are kept; at least twice the longest window of a label' }),
        })
        .prefault({})
        .meta({ description: 'samples with their labels, for learners' }),
      segments: z
        .strictObject({ topic: topic.default('profile.segments').meta({ description: 'name of the topic' }) })
        .prefault({})
        .meta({ description: 'one record whenever a profile enters or leaves a segment' }),
      decisions: z
        .strictObject({
          topic: topic.default('decisions').meta({ description: 'name of the topic' }),
          retention: duration.prefault('30d').meta({ description: 'how long answers can be judged' }),
        })
        .prefault({})
        .meta({ description: 'what the edge answered, with the probability of each choice' }),
      deadLetters: z
        .strictObject({
          prefix: topic.default('dlq.').meta({ description: 'put before raw and xdm' }),
          retention: duration.prefault('30d').meta({ description: 'how long refused records are kept' }),
        })
        .prefault({})
        .meta({ description: 'refused records, with their reason' }),
    })
    .prefault({})
    .meta({ description: 'topics that rtml writes' }),
  delivery: z
    .enum(['exactly-once', 'at-least-once'])
    .default('exactly-once')
    .meta({ description: 'at-least-once: no transactions, lower latency, duplicates after a crash' }),
  batch: z
    .strictObject({
      maxEvents: z
        .int()
        .min(1)
        .max(10_000)
        .default(256)
        .meta({ description: 'events that are computed and applied together' }),
      publishEvery: duration.prefault('15ms').meta({ description: 'rhythm of transactions' }),
      maxOutboxBytes: z
        .int()
        .min(65_536)
        .default(33_554_432)
        .meta({ description: 'outputs that may wait to be published; full = back-pressure' }),
    })
    .prefault({})
    .meta({ description: 'sizes and rhythm of processing' }),
  edge: z
    .strictObject({
      organization: z
        .string()
        .regex(/^[A-Za-z0-9._@-]{1,64}$/, 'an organisation is 1–64 letters, digits, . _ @ -')
        .default('rtml')
        .meta({ description: 'orgId that the Web SDK is configured with: part of the names of its cookies' }),
      datastreams: z
        .record(z.string().regex(/^[A-Za-z0-9:._-]{1,128}$/, 'a datastream is 1–128 letters, digits, : . _ -'), name)
        .default({})
        .meta({
          description: 'datastream id of Web SDK and server API → source; the names of sources work as they are',
        }),
      origins: z
        .array(
          z
            .string()
            .regex(/^https?:\/\/[a-z0-9.-]+(:\d{1,5})?$/, 'an origin is scheme://host or scheme://host:port, no path'),
        )
        .max(1_000)
        .default([])
        .meta({ description: 'web origins that may call the edge from a browser' }),
      segments: z
        .array(z.string().max(64))
        .max(100)
        .default([])
        .meta({ description: 'segments that answers may name to the page; others stay inside' }),
      deadline: duration
        .prefault('100ms')
        .meta({ description: 'an answer leaves no later; what is missing then is said in it' }),
      acknowledge: z.enum(['queue', 'log']).default('queue').meta({
        description:
          'interact answers when its event is queued for the log (lowest latency), or when the log has it; collect always waits for the log',
      }),
    })
    .prefault({})
    .meta({ description: 'the HTTP edge: collection, predictions, decisions' }),
  limits: z
    .strictObject({
      recordBytes: z.int().min(1_024).max(10_485_760).default(1_048_576).meta({ description: 'of a raw record' }),
      depth: z.int().min(4).max(256).default(64).meta({ description: 'nesting of a raw record' }),
      stringLength: z.int().min(64).max(1_048_576).default(65_536).meta({ description: 'characters of one text' }),
      eventsPerRecord: z
        .int()
        .min(1)
        .max(10_000)
        .default(1_000)
        .meta({ description: 'events that one raw record may hold' }),
    })
    .prefault({})
    .meta({ description: 'bounds of raw records; beyond them: LIMIT' }),
  tests: z
    .array(
      z.strictObject({
        name: z.string().meta({ description: 'unique' }),
        source: name.meta({ description: 'a name under sources' }),
        events: z.array(z.unknown()).min(1).meta({ description: 'raw records, as the source sends them' }),
        expect: z
          .strictObject({
            xdm: z
              .array(z.record(z.string(), z.unknown()))
              .optional()
              .meta({ description: 'one an event: the keys that are given must be equal' }),
            features: z
              .record(z.string(), z.unknown())
              .optional()
              .meta({ description: 'columns after the last event' }),
            scores: z
              .record(z.string(), z.number())
              .optional()
              .meta({ description: 'model, or model.output → score of the last event' }),
            rejected: z.array(z.string()).optional().meta({ description: 'codes of refused events, in order' }),
          })
          .meta({ description: 'what must come out; only what is named is compared' }),
      }),
    )
    .default([])
    .meta({ description: 'examples that `rtml test` runs' }),
})

export type Application = z.output<typeof applicationSchema>
export type SourceDefinition = Application['sources'][string]
export type EntityDefinition = Application['entities'][string]
