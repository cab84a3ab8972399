import { type EpochMs, epochMs } from '../app/units.ts'
import { FramedAvro } from './framed-avro.ts'

/** Namespace of segments that are defined here, as in `segmentMembership.<namespace>.<segmentId>` of XDM. */
export const SEGMENT_NAMESPACE = 'rtml'

/**
 * Value of `profile.segments`: XDM's entry of `segmentMembership`, with whose it is and why it changed. Fields are only
 * added, with a default; enum symbols only at the end.
 */
export const SEGMENTS_SCHEMA = {
  type: 'record',
  name: 'SegmentMembership',
  namespace: 'rtml',
  doc: 'A profile entered or left a segment. Key of the record: <NAMESPACE>:<id>|<segment>. A null value is a tombstone: forget it.',
  fields: [
    {
      name: 'profile',
      type: {
        type: 'record',
        name: 'SegmentProfile',
        fields: [
          { name: 'namespace', type: 'string', doc: 'identity namespace, such as ECID' },
          { name: 'id', type: 'string', doc: 'primary identity in the namespace' },
        ],
      },
      doc: 'who entered or left',
    },
    { name: 'namespace', type: 'string', doc: 'namespace of the segment: rtml' },
    { name: 'segmentId', type: 'string', doc: 'name of the segment' },
    {
      name: 'status',
      type: { type: 'enum', name: 'SegmentStatus', symbols: ['realized', 'exited'], default: 'exited' },
      doc: 'realized: is in since then; exited: has left',
    },
    {
      name: 'lastQualificationTime',
      type: { type: 'long', logicalType: 'timestamp-millis' },
      doc: 'event time of the transition',
    },
    { name: 'version', type: 'string', doc: 'revision of the rules; 0 = as in the application file' },
    {
      name: 'cause',
      type: { type: 'enum', name: 'SegmentCause', symbols: ['event', 'time', 'score', 'rules'], default: 'event' },
      doc: 'event: of the profile; time: a window slid past its last event; score: a new score; rules: a changed definition',
    },
    { name: 'eventId', type: ['null', 'string'], default: null, doc: '_id of the event; null for other causes' },
  ],
} as const

export interface SegmentRecord {
  readonly profile: { readonly namespace: string; readonly id: string }
  readonly namespace: string
  readonly segmentId: string
  readonly status: 'realized' | 'exited'
  readonly lastQualificationTime: EpochMs
  readonly version: string
  readonly cause: 'event' | 'time' | 'score' | 'rules'
  readonly eventId: string | null
}

export const segmentsSubject = (topic: string): string => `${topic}-value`

/** Names of segments have no bar; ids may. */
export const segmentKey = (profile: string, segment: string): string => `${profile}|${segment}`

const AVRO = new FramedAvro<SegmentRecord>(SEGMENTS_SCHEMA)

/** Confluent-framed Avro. @param schemaId of `SEGMENTS_SCHEMA` under `segmentsSubject(topic)` */
export const encodeSegment = (record: SegmentRecord, schemaId: number): Buffer => AVRO.encode(record, schemaId)

/** Decodes what was written with exactly `SEGMENTS_SCHEMA`. @throws Error when the bytes are not framed, or don't fit */
export function decodeSegment(value: Buffer): SegmentRecord {
  const it = AVRO.decode(value)
  return { ...it, profile: { ...it.profile }, lastQualificationTime: epochMs(it.lastQualificationTime) }
}
