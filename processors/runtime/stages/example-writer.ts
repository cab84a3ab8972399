import { type Clock, epochMs } from '../../app/units.ts'
import type { NewRecord } from '../../engine/ports.ts'
import { type ExampleKind, encodeExample, type SampleTable } from '../../outputs/index.ts'

/** A sample with its label, before it is written. */
export interface Labelled {
  readonly label: string
  readonly kind: ExampleKind
  readonly row: number
  readonly value: number
  readonly weight: number
  /** Undefined: none came, or the event carries its own label. */
  readonly outcomeTime: number | undefined
}

export interface ExampleOptions {
  readonly topic: string
  readonly clock: Clock
  /** Registry's id of the examples' schema with the columns of this table's feature set. @throws RtmlError REGISTRY_DOWN */
  readonly schemaId: (table: SampleTable) => Promise<number>
}

/** The examples as records: features, texts and scores are those of the sample. */
export async function exampleRecord(
  { topic, clock, schemaId }: ExampleOptions,
  table: SampleTable,
  { label, kind, row, value, weight, outcomeTime }: Labelled,
): Promise<NewRecord> {
  const pseudonym = table.pseudonym(row) ?? ''
  const example = {
    label,
    kind,
    eventId: table.eventId(row),
    pseudonym,
    eventTime: epochMs(table.eventTime(row)),
    outcomeTime: outcomeTime === undefined ? null : epochMs(outcomeTime),
    settledAt: clock.now(),
    value,
    weight,
    featureSetVersion: table.columns.featureSetVersion,
    features: table.features(row),
    texts: table.texts(row),
    scores: table.scores(row),
  }
  return { topic, key: Buffer.from(pseudonym), value: encodeExample(example, await schemaId(table)) }
}
