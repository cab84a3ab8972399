import { type EpochMs, epochMs } from '../app/units.ts'
import type { Column, Vector } from '../features/types.ts'
import { fieldsMarkdown } from './avro-markdown.ts'
import { FramedAvro } from './framed-avro.ts'

/**
 * Value of `training.examples`, but for the columns of a feature set: see `examplesSchema`. Rules for changes: fields are
 * only added, with a default; enum symbols are only added at the end. An older reader takes an unknown kind for one that
 * it must not learn.
 */
const SCHEMA = {
  type: 'record',
  name: 'TrainingExample',
  namespace: 'rtml',
  doc: 'One sample with its label. Key of the record: the pseudonym.',
  fields: [
    { name: 'label', type: 'string', doc: 'name under `labels` in the application file' },
    {
      name: 'kind',
      type: { type: 'enum', name: 'Kind', symbols: ['example', 'copy', 'settled'], default: 'settled' },
      doc: 'example: learn it and judge predictions by it; copy: learn it only (fake-negative); settled: judge by it only',
    },
    { name: 'eventId', type: 'string', doc: '_id of the XDM event that was scored' },
    { name: 'pseudonym', type: 'string', doc: 'stands for the profile: 16 hex digits, the uint64 of `samples`' },
    { name: 'eventTime', type: { type: 'long', logicalType: 'timestamp-millis' }, doc: 'timestamp of the event' },
    {
      name: 'outcomeTime',
      type: ['null', { type: 'long', logicalType: 'timestamp-millis' }],
      default: null,
      doc: 'timestamp of the outcome that gave the value; null: no outcome came, or the event carries its own label',
    },
    { name: 'settledAt', type: { type: 'long', logicalType: 'timestamp-millis' }, doc: 'when the label was joined' },
    { name: 'value', type: 'double', doc: 'the label: 0 or 1, a quantity, or the index of a class' },
    { name: 'weight', type: 'double', doc: 'corrects for the sampling of negatives: 1 / share' },
    { name: 'featureSetVersion', type: 'string', doc: 'version of the feature definitions, 12 hex digits' },
    { name: 'features', type: 'bytes', doc: 'numbers as served: float32, little-endian, in the order of the columns' },
    {
      name: 'texts',
      type: { type: 'array', items: 'string' },
      doc: 'texts as served, in the order of their own columns',
    },
    {
      name: 'scores',
      doc: 'what the models said of the sample when it was served',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'ServedScore',
          fields: [
            { name: 'model', type: 'string', doc: 'name in the application file' },
            { name: 'version', type: 'string', doc: "the model's version" },
            { name: 'role', type: 'string', doc: 'champion, arm or shadow' },
            { name: 'output', type: 'string', doc: "name of the output; 'score' for a model of one" },
            { name: 'score', type: 'double', doc: 'the value' },
            { name: 'fallback', type: 'string', doc: "none: the model's own value; else what stood in for it" },
          ],
        },
      },
    },
  ],
} as const

/** Names of the columns of `features` and `texts`, in their order. */
export interface ExampleColumns {
  readonly featureSetVersion: string
  readonly features: readonly string[]
  readonly texts: readonly string[]
}

export function exampleColumns(featureSet: {
  readonly version: string
  readonly columns: readonly Column[]
}): ExampleColumns {
  const named = (type: Column['type']) =>
    featureSet.columns
      .filter((column) => column.type === type)
      .sort((a, b) => a.index - b.index)
      .map(({ name }) => name)
  return { featureSetVersion: featureSet.version, features: named('float'), texts: named('string') }
}

/**
 * Schema of `training.examples` for a feature set. Its attribute `rtml.columns` names the columns, so that a reader needs
 * nothing but the record and the registry.
 */
export const examplesSchema = (columns: ExampleColumns): object => ({ ...SCHEMA, 'rtml.columns': columns })

/** The columns that a schema of the registry names. @throws Error when it names none */
export function columnsOfSchema(schema: object): ExampleColumns {
  const columns = (schema as { 'rtml.columns'?: ExampleColumns })['rtml.columns']
  if (!columns) throw new Error('the schema has no attribute rtml.columns: it is not one of training.examples')
  return columns
}

/** Subject of the registry, by the default (topic name) strategy of Confluent's serializers. */
export const examplesSubject = (topic: string): string => `${topic}-value`

export type ExampleKind = 'example' | 'copy' | 'settled'

export interface ServedScore {
  readonly model: string
  readonly version: string
  readonly role: string
  readonly output: string
  readonly score: number
  readonly fallback: string
}

/** The decoded form. Times are epoch milliseconds. */
export interface TrainingExample {
  readonly label: string
  /** `example`: learn and evaluate; `copy`: learn only; `settled`: evaluate only. Each sample is evaluated once at most. */
  readonly kind: ExampleKind
  readonly eventId: string
  /** 16 hex digits. */
  readonly pseudonym: string
  readonly eventTime: EpochMs
  readonly outcomeTime: EpochMs | null
  readonly settledAt: EpochMs
  readonly value: number
  readonly weight: number
  readonly featureSetVersion: string
  /** float32, little-endian; the very bytes that were served. */
  readonly features: Buffer
  readonly texts: readonly string[]
  readonly scores: readonly ServedScore[]
}

/** The example's row as the kernel gives it: a copy, aligned. */
export function exampleVector({ features, texts }: Pick<TrainingExample, 'features' | 'texts'>): Vector {
  const bytes = new Uint8Array(features.length)
  bytes.set(features)
  return { floats: new Float32Array(bytes.buffer), strings: [...texts] }
}

const AVRO = new FramedAvro<TrainingExample>(SCHEMA)

/**
 * Confluent-framed Avro.
 * @param schemaId the registry's id of `examplesSchema(…)` under `examplesSubject(topic)`
 * @throws TypeError when the record doesn't fit the schema: a bug of the caller
 */
export const encodeExample = (example: TrainingExample, schemaId: number): Buffer => AVRO.encode(example, schemaId)

/**
 * Decodes what this version of rtml wrote. Outside of one version use `exampleReader`.
 * @throws Error when the bytes are not framed, cut, or of another schema
 */
export function decodeExample(value: Buffer): TrainingExample {
  return plain(AVRO.decode(value))
}

export interface ReadExample {
  readonly example: TrainingExample
  readonly columns: ExampleColumns
}

/**
 * Decodes records of any feature set and version of the schema, with the names of their columns: the writer's schema is
 * asked for once an id.
 * @throws (the decoder) Error when the bytes are not framed or don't fit, or the schema names other columns; what `schemaOf` throws
 */
export function exampleReader(schemaOf: (id: number) => Promise<object>): (value: Buffer) => Promise<ReadExample> {
  const read = AVRO.reader(schemaOf, columnsOfSchema)
  return async (value) => {
    const { decoded, about: columns } = await read(value)
    const example = plain(decoded)
    if (columns.featureSetVersion !== example.featureSetVersion) {
      throw new Error(
        `an example of feature set ${example.featureSetVersion} under a schema of ${columns.featureSetVersion}`,
      )
    }
    return { example, columns }
  }
}

/** avsc decodes into instances of generated classes; a plain object survives toEqual, structuredClone and spread alike. */
function plain(decoded: TrainingExample): TrainingExample {
  return {
    label: decoded.label,
    kind: decoded.kind,
    eventId: decoded.eventId,
    pseudonym: decoded.pseudonym,
    eventTime: epochMs(decoded.eventTime),
    outcomeTime: decoded.outcomeTime === null ? null : epochMs(decoded.outcomeTime),
    settledAt: epochMs(decoded.settledAt),
    value: decoded.value,
    weight: decoded.weight,
    featureSetVersion: decoded.featureSetVersion,
    features: decoded.features,
    texts: [...decoded.texts],
    scores: decoded.scores.map(({ model, version, role, output, score, fallback }) => ({
      model,
      version,
      role,
      output,
      score,
      fallback,
    })),
  }
}

/** The fields of the schema as a Markdown table: the reference in docs/labels-and-examples.md. */
export const examplesMarkdown = (): string => fieldsMarkdown(SCHEMA.fields)

/** Without the names of any feature set's columns. */
export const EXAMPLES_SCHEMA: object = SCHEMA
