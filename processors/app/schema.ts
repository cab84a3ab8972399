/**
 * The application file, as one schema: validation, TypeScript types, editor completion (JSON Schema) and the reference
 * page all come from here. A new key is added here and nowhere else.
 */
import { z } from 'zod'
import { duration } from './duration.ts'

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
      table: z.record(z.string(), z.unknown()).optional(),
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
    table: z.record(z.string(), z.unknown()).optional(),
    pairs: z.boolean().optional(),
    default: z.unknown().optional(),
  }),
])

/** A mapping: raw record → zero or more XDM events. Ready ones are files in schemas/mappings. */
export const mappingSchema = z.strictObject({
  mapping: name.meta({ description: 'name of the mapping' }),
  description: z.string().optional(),
  extends: z.string().optional().meta({ description: 'ready mapping whose fields come first; the ones here win' }),
  format: z
    .enum(['json', 'avro', 'cloudevents', 'csv', 'tsv', 'snowplow-tsv'])
    .default('json')
    .meta({ description: 'how bytes become an object' }),
  columns: z.array(z.string()).optional().meta({ description: 'csv, tsv: column names when the file has no header' }),
  separator: z.string().length(1).optional(),
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
  fields: z.record(path, fieldRule),
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
  maxFutureSkew: duration.prefault('10m'),
  secretEnv: z.string().optional().meta({ description: 'environment variable with the webhook secret (Shopify HMAC)' }),
})

const window = z.union([
  duration,
  z.strictObject({
    type: z.enum(['sliding', 'tumbling', 'session', 'lifetime']),
    length: duration.optional().meta({ description: 'sliding, tumbling' }),
    hop: duration
      .optional()
      .meta({ description: 'sliding: pane length; default: length / 12 rounded to a round time that divides it' }),
    gap: duration.optional().meta({ description: 'session: silence that ends it' }),
  }),
])

/** How a text value becomes numbers for a model. Absent: the feature is a string column. */
const encode = z.union([
  z
    .strictObject({ vocabulary: z.array(z.string()).min(1).max(10_000) })
    .meta({ description: 'index of the value + 1, 0 = unknown or missing' }),
  z
    .strictObject({ onehot: z.array(z.string()).min(1).max(1_000) })
    .meta({ description: 'one column a value; unknown = all 0' }),
  z.strictObject({ hash: z.int().min(2).max(16_777_216) }).meta({ description: 'murmur3 bucket in [0, hash)' }),
])

const base = {
  description: z.string().optional(),
  entity: name.default('profile'),
  where: expression.optional().meta({ description: 'only events for which this is true' }),
}
const windowed = { ...base, window: window.optional().meta({ description: 'default: lifetime' }) }
const numeric = { ...windowed, value: expression }
const number = z.number()

/** Every kind of feature. Formulas: docs/features.md and the kernel's docstrings. */
export const featureSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('count'), ...windowed, default: number.default(0) }),
  z.strictObject({
    kind: z.literal('sum'),
    ...numeric,
    default: number.default(0),
    unit: z.number().positive().default(1e-6),
  }),
  z.strictObject({
    kind: z.literal('mean'),
    ...numeric,
    default: number.nullable().default(null),
    unit: z.number().positive().default(1e-6),
  }),
  z.strictObject({ kind: z.literal('min'), ...numeric, default: number.nullable().default(null) }),
  z.strictObject({ kind: z.literal('max'), ...numeric, default: number.nullable().default(null) }),
  z.strictObject({ kind: z.literal('variance'), ...numeric, default: number.nullable().default(null) }),
  z.strictObject({
    kind: z.literal('distinct'),
    ...numeric,
    default: number.default(0),
    precision: z.int().min(4).max(14).default(10),
  }),
  z.strictObject({
    kind: z.literal('last'),
    ...numeric,
    default: z.union([number, z.string()]).nullable().default(null),
    encode: encode.optional(),
  }),
  z.strictObject({
    kind: z.literal('first'),
    ...numeric,
    default: z.union([number, z.string()]).nullable().default(null),
    encode: encode.optional(),
  }),
  z.strictObject({
    kind: z.literal('lastN'),
    ...numeric,
    n: z.int().min(1).max(100),
    encode: encode.optional(),
    default: z.union([number, z.string()]).nullable().default(null),
  }),
  z.strictObject({
    kind: z.literal('topK'),
    ...numeric,
    k: z.int().min(1).max(20),
    capacity: z.int().min(1).max(500).default(50),
    encode: encode.optional(),
    default: z.union([number, z.string()]).nullable().default(null),
  }),
  z.strictObject({
    kind: z.literal('ratio'),
    ...base,
    window: window.optional(),
    numerator: expression,
    denominator: expression,
    prior: z
      .strictObject({ numerator: z.number().nonnegative(), denominator: z.number().positive() })
      .optional()
      .meta({ description: '(n + prior.numerator) / (d + prior.denominator)' }),
    default: number.nullable().default(null),
  }),
  z.strictObject({ kind: z.literal('decayedCount'), ...base, halfLife: duration, default: number.default(0) }),
  z.strictObject({
    kind: z.literal('decayedSum'),
    ...base,
    value: expression,
    halfLife: duration,
    default: number.default(0),
  }),
  z
    .strictObject({ kind: z.literal('recency'), ...base, default: number.nullable().default(null) })
    .meta({ description: 'seconds since the last matching event' }),
  z.strictObject({
    kind: z.literal('session'),
    ...base,
    gap: duration,
    measure: z.enum(['count', 'seconds', 'sum']).default('count'),
    value: expression.optional(),
    default: number.default(0),
  }),
  z.strictObject({
    kind: z.literal('buckets'),
    ...windowed,
    by: expression,
    value: expression.optional().meta({ description: 'summed; absent: counted' }),
    keys: z.array(z.string()).min(1).max(1_000).optional().meta({ description: 'one column a key' }),
    read: expression
      .optional()
      .meta({ description: 'crossed key: one column, the bucket of this value of the current event' }),
    capacity: z.int().min(1).max(500).default(50),
    default: number.default(0),
  }),
  z
    .strictObject({
      kind: z.literal('event'),
      description: z.string().optional(),
      value: expression,
      encode: encode.optional(),
      default: z.union([number, z.string(), z.boolean()]).nullable().default(null),
    })
    .meta({ description: 'a value of the current event itself' }),
  z
    .strictObject({
      kind: z.literal('lookup'),
      description: z.string().optional(),
      table: name,
      key: expression,
      field: z.string(),
      encode: encode.optional(),
      default: z.union([number, z.string()]).nullable().default(null),
    })
    .meta({ description: 'a field of a compacted table topic' }),
])
export type FeatureDefinition = z.output<typeof featureSchema>

const entity = z.strictObject({
  key: z
    .union([expression, z.array(expression).min(1).max(4)])
    .meta({ description: 'a text, a list of texts (fan-out), or several parts (crossed key)' }),
  ttl: duration.prefault('90d'),
  partitions: z.int().min(1).max(1_000).optional(),
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
    column: z.int().min(0).optional(),
  }),
])

const model = z.strictObject({
  file: z.string().optional().meta({ description: 'ONNX file, relative to the application file' }),
  uri: z.string().optional().meta({ description: 'file:, http(s): or s3: address, with sha256' }),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 lower-case hex digits')
    .optional(),
  version: z.union([z.string(), z.int().transform(String)]).default('1'),
  inputs: z
    .union([z.array(z.string()).min(1), z.record(z.string(), z.union([z.string(), z.array(z.string()).min(1)]))])
    .meta({ description: "features of the model's only input, in order; or input name → feature(s)" }),
  output: output.optional(),
  outputs: z.record(name, output).optional().meta({ description: 'several named scores of one model' }),
  role: z.enum(['champion', 'arm', 'shadow']).default('champion'),
  service: name.optional().meta({ description: 'models of one service compete; default: the name of the model' }),
  share: z.number().min(0).max(1).optional().meta({ description: 'arm: share of profiles, sticky' }),
  when: expression.optional().meta({ description: 'only events for which this is true are scored' }),
  deadline: duration.prefault('50ms'),
  fallback: z
    .union([z.literal('previous'), z.strictObject({ prior: z.number() }), z.strictObject({ rule: expression })])
    .optional(),
  explain: z
    .strictObject({ share: z.number().min(0).max(1).default(0), top: z.int().min(1).max(100).default(5) })
    .optional(),
  maxBatchRows: z.int().min(1).max(4_096).default(512),
})
export type ModelDefinition = z.output<typeof model>

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
    .prefault({}),
  sources: z.record(name, source).refine((it) => Object.keys(it).length > 0, 'at least one source'),
  identity: z
    .strictObject({
      priority: z.array(namespace).default([]).meta({
        description: 'namespace that becomes the key, best first; default: the one marked primary, else the first',
      }),
      allowed: z.array(namespace).optional(),
      max: z.int().min(1).max(50).default(20).meta({ description: 'identities an event may carry' }),
    })
    .prefault({}),
  consent: z
    .strictObject({
      collect: z.strictObject({ undecided: z.enum(['accept', 'refuse']).default('accept') }).prefault({}),
    })
    .prefault({}),
  privacy: z
    .strictObject({
      drop: z.array(path).default([]),
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
        .default([]),
    })
    .prefault({}),
  events: z
    .strictObject({
      topic: topic.default('xdm.events'),
      publish: z.boolean().default(false).meta({ description: 'fused sources: also write xdm.events' }),
      lateness: duration
        .prefault('1h')
        .meta({ description: 'how much older than the newest event of its key an event may be' }),
      dedup: z
        .strictObject({ ids: z.int().min(0).max(1_024).default(16), window: duration.prefault('1h') })
        .prefault({})
        .meta({ description: 'how many event ids a key remembers, and for how long in event time' }),
      ttl: duration.prefault('90d').meta({ description: "a profile's state expires after this silence" }),
    })
    .prefault({}),
  partitions: z.int().min(1).max(1_000).default(4).meta({ description: 'of the topics that rtml creates' }),
  entities: z.record(name, entity).default({}),
  lookups: z
    .record(name, z.strictObject({ topic: topic, maxEntries: z.int().min(1).max(5_000_000).default(100_000) }))
    .default({}),
  features: z.record(name, featureSchema).default({}),
  models: z.record(name, model).default({}),
  outputs: z
    .strictObject({
      scores: z.strictObject({ topic: topic.default('profile.scores') }).prefault({}),
      samples: z
        .strictObject({
          topic: topic.default('samples'),
          enabled: z.boolean().default(true),
          retention: duration.prefault('14d'),
        })
        .prefault({}),
      deadLetters: z.strictObject({ prefix: topic.default('dlq.'), retention: duration.prefault('30d') }).prefault({}),
    })
    .prefault({}),
  delivery: z.enum(['exactly-once', 'at-least-once']).default('exactly-once'),
  batch: z
    .strictObject({
      maxEvents: z.int().min(1).max(10_000).default(512),
      publishEvery: duration.prefault('15ms').meta({ description: 'rhythm of transactions' }),
      maxOutboxBytes: z.int().min(65_536).default(33_554_432),
    })
    .prefault({}),
  limits: z
    .strictObject({
      recordBytes: z.int().min(1_024).max(10_485_760).default(1_048_576),
      depth: z.int().min(4).max(256).default(64),
      stringLength: z.int().min(64).max(1_048_576).default(65_536),
      eventsPerRecord: z.int().min(1).max(10_000).default(1_000),
    })
    .prefault({}),
  tests: z
    .array(
      z.strictObject({
        name: z.string(),
        source: name,
        events: z.array(z.unknown()).min(1),
        expect: z.strictObject({
          xdm: z.array(z.record(z.string(), z.unknown())).optional(),
          features: z.record(z.string(), z.unknown()).optional(),
          scores: z.record(z.string(), z.number()).optional(),
          rejected: z.array(z.string()).optional(),
        }),
      }),
    )
    .default([])
    .meta({ description: 'examples that `rtml test` runs' }),
})

export type Application = z.output<typeof applicationSchema>
export type SourceDefinition = Application['sources'][string]
export type EntityDefinition = Application['entities'][string]
