/** The outputs' formats, for those who write them and for those who subscribe. */
export { type AlertRecord, alertRecord } from './alerts.ts'
export {
  AUDIT_ACTIONS,
  type AuditAction,
  type AuditEntry,
  auditRecord,
  isAuditAction,
  parseAudit,
} from './audit.ts'
export {
  type DeadLetter,
  type DeadLetterRecord,
  deadLetter,
  parseDeadLetter,
  type RefusedRecord,
} from './dead-letters.ts'
export {
  type Erased,
  type EraseOrder,
  erasedKey,
  erasedRecord,
  IDENTITIES_MAX,
  parseErased,
  parseEraseOrder,
  subjectOf,
} from './erasure.ts'
export {
  columnsOfSchema,
  decodeExample,
  type ExampleColumns,
  type ExampleKind,
  encodeExample,
  exampleColumns,
  exampleReader,
  examplesSchema,
  examplesSubject,
  exampleVector,
  type ReadExample,
  type ServedScore,
  type TrainingExample,
} from './examples.ts'
export { type LabelColumn, SampleTable } from './sample-table.ts'
export {
  decodeSamples,
  encodeSamples,
  labelColumns,
  SampleBatch,
  type SampleLayout,
  type SampleRow,
  type Samples,
} from './samples.ts'
export {
  decodeScores,
  encodeScores,
  type ProfileScores,
  profileScores,
  SCORES_SCHEMA,
  type ScoreEntry,
  scoresReader,
  scoresSubject,
} from './scores.ts'
export {
  decodeSegment,
  encodeSegment,
  SEGMENT_NAMESPACE,
  SEGMENTS_SCHEMA,
  type SegmentRecord,
  segmentKey,
  segmentsSubject,
} from './segments.ts'
export { frame, unframe } from './wire.ts'
