import type { XdmEvent } from '../app/event.ts'
import { type EpochMs, epochMs } from '../app/units.ts'
import type { Score } from '../scorer/types.ts'
import { fieldsMarkdown } from './avro-markdown.ts'
import { FramedAvro } from './framed-avro.ts'

/**
 * Value of `profile.scores`. Rules for changes: fields are only added, with a default; enum symbols are only added at
 * the end. The enums' own defaults are what an older reader takes for a symbol that it doesn't know: a role that must not
 * serve, a fallback that must not be taken for the model's word.
 */
export const SCORES_SCHEMA = {
  type: 'record',
  name: 'ProfileScores',
  namespace: 'rtml',
  doc: 'All scores of one event. Key of the record: primary identity, <NAMESPACE>:<id>. A null value is a tombstone: forget the profile.',
  fields: [
    { name: 'eventId', type: 'string', doc: '_id of the XDM event' },
    {
      name: 'profile',
      type: {
        type: 'record',
        name: 'ProfileIdentity',
        fields: [
          { name: 'namespace', type: 'string', doc: 'identity namespace, such as ECID' },
          { name: 'id', type: 'string', doc: 'primary identity in the namespace' },
        ],
      },
      doc: 'the profile that the event belongs to; the same as the key of the record',
    },
    { name: 'eventTime', type: { type: 'long', logicalType: 'timestamp-millis' }, doc: 'timestamp of the event' },
    { name: 'processedAt', type: { type: 'long', logicalType: 'timestamp-millis' }, doc: 'when it was scored' },
    { name: 'featureSetVersion', type: 'string', doc: 'version of the feature definitions, 12 hex digits' },
    { name: 'source', type: 'string', doc: 'source of the application file that the event came from' },
    {
      name: 'scores',
      doc: 'one entry a model and output',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'Score',
          fields: [
            { name: 'model', type: 'string', doc: 'name in the application file' },
            { name: 'version', type: 'string', doc: "the model's version" },
            { name: 'service', type: 'string', doc: 'models of one service compete; one of them serves a profile' },
            {
              name: 'role',
              type: { type: 'enum', name: 'Role', symbols: ['champion', 'arm', 'shadow'], default: 'shadow' },
              doc: 'champion and arm serve; a shadow is for comparison only',
            },
            { name: 'output', type: 'string', doc: "name of the output; 'score' for a model of one" },
            { name: 'score', type: 'double', doc: 'the value' },
            {
              name: 'fallback',
              type: {
                type: 'enum',
                name: 'Fallback',
                symbols: ['none', 'previous', 'prior', 'rule'],
                default: 'rule',
              },
              doc: "none: the model's own value; else what stood in when the model failed or was late",
            },
            {
              name: 'explanation',
              type: [
                'null',
                {
                  type: 'array',
                  items: {
                    type: 'record',
                    name: 'Attribution',
                    fields: [
                      { name: 'feature', type: 'string', doc: 'feature of the vector' },
                      {
                        name: 'contribution',
                        type: 'double',
                        doc: "how much it moved the score from the baseline's, leave-one-out",
                      },
                    ],
                  },
                },
              ],
              default: null,
              doc: 'largest first; null when not asked for',
            },
            {
              name: 'attributes',
              type: { type: 'map', values: ['double', 'string', 'boolean'] },
              default: {},
              doc: "what the model's graph writes of the profile, by path; with its first score",
            },
          ],
        },
      },
    },
  ],
} as const

/** The decoded form. Times are epoch milliseconds. */
export interface ProfileScores {
  readonly eventId: string
  readonly profile: { readonly namespace: string; readonly id: string }
  readonly eventTime: EpochMs
  readonly processedAt: EpochMs
  readonly featureSetVersion: string
  readonly source: string
  readonly scores: readonly ScoreEntry[]
}

export interface ScoreEntry {
  readonly model: string
  readonly version: string
  readonly service: string
  readonly role: 'champion' | 'arm' | 'shadow'
  readonly output: string
  readonly score: number
  readonly fallback: 'none' | 'previous' | 'prior' | 'rule'
  readonly explanation: readonly { readonly feature: string; readonly contribution: number }[] | null
  readonly attributes: Readonly<Record<string, number | string | boolean>>
}

/** Subject of the registry, by the default (topic name) strategy of Confluent's serializers. */
export const scoresSubject = (topic: string): string => `${topic}-value`

export function profileScores(
  event: XdmEvent,
  scores: readonly Score[],
  context: { readonly processedAt: EpochMs; readonly featureSetVersion: string; readonly source: string },
): ProfileScores {
  const colon = event.key.indexOf(':')
  return {
    eventId: event.id,
    profile: { namespace: event.key.slice(0, colon), id: event.key.slice(colon + 1) },
    eventTime: event.ts,
    processedAt: context.processedAt,
    featureSetVersion: context.featureSetVersion,
    source: context.source,
    scores: scores.map(scoreEntry),
  }
}

const NO_ATTRIBUTES = {}

function scoreEntry(score: Score): ScoreEntry {
  return {
    model: score.model,
    version: score.version,
    service: score.service,
    role: score.role,
    output: score.output,
    score: score.value,
    fallback: score.fallback,
    explanation: score.explanation ?? null,
    attributes: score.answer?.attributes ?? NO_ATTRIBUTES,
  }
}

/** 0.5 µs for one model. */
const AVRO = new FramedAvro<ProfileScores>(SCORES_SCHEMA)

/**
 * Confluent-framed Avro.
 * @param schemaId the registry's id of `SCORES_SCHEMA` under `scoresSubject(topic)`
 * @throws TypeError when the record doesn't fit the schema: a bug of the caller
 */
export const encodeScores = (record: ProfileScores, schemaId: number): Buffer => AVRO.encode(record, schemaId)

/**
 * Decodes what was written with exactly `SCORES_SCHEMA`. Outside of one version of rtml use `scoresReader`.
 * @throws Error when the bytes are not framed, cut, or of another schema
 */
export function decodeScores(value: Buffer): ProfileScores {
  return plain(AVRO.decode(value))
}

/**
 * Decodes records of any version of the schema: the writer's schema is asked for once an id and resolved to this one.
 * @throws (the decoder) Error when the bytes are not framed or don't fit; what `schemaOf` throws
 */
export function scoresReader(schemaOf: (id: number) => Promise<object>): (value: Buffer) => Promise<ProfileScores> {
  const read = AVRO.reader(schemaOf, () => undefined)
  return async (value) => plain((await read(value)).decoded)
}

/** avsc decodes into instances of generated classes; a plain object survives toEqual, structuredClone and spread alike. */
function plain(decoded: ProfileScores): ProfileScores {
  return {
    eventId: decoded.eventId,
    profile: { namespace: decoded.profile.namespace, id: decoded.profile.id },
    eventTime: epochMs(decoded.eventTime),
    processedAt: epochMs(decoded.processedAt),
    featureSetVersion: decoded.featureSetVersion,
    source: decoded.source,
    scores: decoded.scores.map((it) => ({
      model: it.model,
      version: it.version,
      service: it.service,
      role: it.role,
      output: it.output,
      score: it.score,
      fallback: it.fallback,
      explanation: it.explanation?.map(({ feature, contribution }) => ({ feature, contribution })) ?? null,
      attributes: { ...it.attributes },
    })),
  }
}

/** The fields of `SCORES_SCHEMA` as a Markdown table: the reference in docs/outputs.md. */
export const scoresMarkdown = (): string => fieldsMarkdown(SCORES_SCHEMA.fields)
