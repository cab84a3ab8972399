/**
 * Samples and training examples of a time range as rows of named columns. Point-in-time correct by construction: what is
 * read is what was written when the event was scored.
 */
import { RtmlError } from '../app/errors.ts'
import type { Engine, LogRecord, PartitionBounds } from '../engine/ports.ts'
import {
  type ExampleColumns,
  exampleReader,
  exampleVector,
  labelColumns,
  SampleTable,
  type ServedScore,
  type TrainingExample,
} from '../outputs/index.ts'
import type { Plan } from '../topology.ts'

export type CellType = 'text' | 'float' | 'double' | 'integer' | 'time' | 'flag'

export interface ExportColumn {
  readonly name: string
  readonly type: CellType
}

/** Text, number (NaN: missing), epoch milliseconds or true and false by the column's type; null: none. */
export type Cell = string | number | boolean | null

export interface ExportOptions {
  /** Event time, epoch milliseconds: from ≤ t < to. */
  readonly from: number
  readonly to: number
  /** Examples of this label only. */
  readonly label?: string | undefined
  /** Rows of this version of the feature set; default: the application's. */
  readonly featureSetVersion?: string | undefined
}

export interface Export {
  readonly columns: readonly ExportColumn[]
  /** Each has a cell for every column. In the order of the log, a partition after the other. */
  rows(): AsyncIterable<readonly Cell[]>
  /** Rows in the range that other versions of the feature set have, by version: they are left out. */
  readonly others: ReadonlyMap<string, number>
}

/** An event is written when it is scored, so not long before its own time, whatever clocks say. */
const EARLY_MS = 86_400_000

interface Row {
  readonly columns: ExampleColumns
  readonly eventTime: number
  readonly features: Float32Array
  readonly texts: readonly string[]
  readonly scores: readonly ServedScore[]
  /** In the order of the kind's own columns. */
  readonly own: readonly Cell[]
}

interface Kind {
  readonly topic: string
  readonly before: readonly ExportColumn[]
  readonly after: readonly ExportColumn[]
  /** Cells of `before`, then of `after`. */
  rowsOf(record: LogRecord): AsyncIterable<Row>
}

/** @throws RtmlError CONFIG when the range has rows, but none of the wanted feature set; LOG_DOWN, REGISTRY_DOWN */
export const exportSamples = (engine: Engine, plan: Plan, options: ExportOptions): Promise<Export> =>
  openExport(engine, plan, samplesKind(plan), options)

/** @throws RtmlError CONFIG when the range has rows, but none of the wanted feature set; LOG_DOWN, REGISTRY_DOWN */
export const exportExamples = (engine: Engine, plan: Plan, options: ExportOptions): Promise<Export> =>
  openExport(engine, plan, examplesKind(engine, plan, options.label), options)

async function openExport(engine: Engine, plan: Plan, kind: Kind, options: ExportOptions): Promise<Export> {
  const version = options.featureSetVersion ?? plan.featureSet.version
  // The same records in both passes, whatever is appended meanwhile.
  const bounds = await engine.log.bounds(kind.topic)
  // What models there were is known when all rows have been seen: columns come first in every format.
  let columns: ExampleColumns | undefined
  const scores = new Map<string, { readonly model: string; readonly output: string }>()
  const others = new Map<string, number>()
  for await (const row of rowsIn(engine, kind, bounds, options)) {
    const { featureSetVersion } = row.columns
    if (featureSetVersion !== version) {
      others.set(featureSetVersion, (others.get(featureSetVersion) ?? 0) + 1)
      continue
    }
    columns ??= row.columns
    for (const { model, output } of row.scores) scores.set(`${model}.${output}`, { model, output })
  }
  if (!columns && others.size > 0) throw otherVersions(version, others)
  const known = columns ?? { featureSetVersion: version, ...namesOf(plan) }
  const served = [...scores.values()]
  const models = [...new Set(served.map(({ model }) => model))]
  return {
    columns: [...kind.before, ...columnsOf(known), ...scoreColumns(served, models), ...kind.after],
    others,
    async *rows() {
      for await (const row of rowsIn(engine, kind, bounds, options)) {
        if (row.columns.featureSetVersion !== version) continue
        const own = row.own
        const cells: Cell[] = own.slice(0, kind.before.length)
        for (const value of row.features) cells.push(value)
        cells.push(...row.texts)
        for (const { model, output } of served) cells.push(scoreOf(row, model, output)?.score ?? null)
        for (const model of models) {
          const score = scoreOf(row, model)
          cells.push(score?.version ?? null, score?.role ?? null, score?.fallback ?? null)
        }
        cells.push(...own.slice(kind.before.length))
        yield cells
      }
    },
  }
}

function otherVersions(version: string, others: ReadonlyMap<string, number>): RtmlError {
  const found = [...others].map(([name, count]) => `${name} (${count} rows)`).join(', ')
  return new RtmlError(
    'CONFIG',
    `no row has feature set ${version}; there are ${found}. Features of two versions are not comparable: name one with --feature-set.`,
  )
}

async function* rowsIn(
  { log }: Engine,
  kind: Kind,
  bounds: readonly PartitionBounds[],
  { from, to }: ExportOptions,
): AsyncGenerator<Row> {
  for (const partition of bounds) {
    if (partition.start >= partition.end) continue
    for await (const run of log.read(partition, partition.start, { until: partition.end })) {
      for (const record of run.records) {
        if (record.timestamp < from - EARLY_MS) continue
        for await (const row of kind.rowsOf(record)) if (row.eventTime >= from && row.eventTime < to) yield row
      }
    }
  }
}

function scoreOf({ scores }: Row, model: string, output?: string): ServedScore | undefined {
  return scores.find((it) => it.model === model && (output === undefined || it.output === output))
}

function namesOf({ featureSet }: Plan): Pick<ExampleColumns, 'features' | 'texts'> {
  const named = (type: string) => featureSet.columns.filter((it) => it.type === type).map(({ name }) => name)
  return { features: named('float'), texts: named('string') }
}

const columnsOf = ({ features, texts }: ExampleColumns): ExportColumn[] => [
  ...features.map((name) => ({ name, type: 'float' }) as const),
  ...texts.map((name) => ({ name, type: 'text' }) as const),
]

/** As in `samples`. */
function scoreColumns(
  served: readonly { readonly model: string; readonly output: string }[],
  models: readonly string[],
): ExportColumn[] {
  return [
    ...served.map(({ model, output }): ExportColumn => {
      return { name: output === 'score' ? `score.${model}` : `score.${model}.${output}`, type: 'double' }
    }),
    ...models.flatMap((model) =>
      ['version', 'role', 'fallback'].map((name): ExportColumn => ({ name: `${name}.${model}`, type: 'text' })),
    ),
  ]
}

function samplesKind({ topics, labels }: Plan): Kind {
  return {
    topic: topics.samples,
    before: [
      { name: 'event_id', type: 'text' },
      { name: 'event_ts', type: 'time' },
      { name: 'processed_at', type: 'time' },
      { name: 'partition', type: 'integer' },
      { name: 'position', type: 'integer' },
      { name: 'pseudonym', type: 'text' },
      { name: 'feature_set', type: 'text' },
    ],
    after: labels.flatMap(({ name, hasMatch }): ExportColumn[] => {
      const { sample, value, match } = labelColumns(name)
      const matches = hasMatch ? [{ name: match, type: 'text' } as const] : []
      return [{ name: sample, type: 'flag' }, { name: value, type: 'double' }, ...matches]
    }),
    async *rowsOf({ value }) {
      if (!value) return
      const table = new SampleTable(value)
      const columns = labels.map((label) => ({ label, column: table.label(label.name) }))
      for (let row = 0; row < table.rows; row++) {
        const of = columns.flatMap(({ label, column }): Cell[] => {
          const found = column?.value(row) ?? Number.NaN
          const value = Number.isNaN(found) ? null : found
          return [column?.isSample(row) ?? null, value, ...(label.hasMatch ? [column?.match(row) || null] : [])]
        })
        yield {
          columns: table.columns,
          eventTime: table.eventTime(row),
          features: exampleVector({ features: table.features(row), texts: [] }).floats,
          texts: table.texts(row),
          scores: table.scores(row),
          own: [
            table.eventId(row),
            table.eventTime(row),
            table.processedAt(row),
            table.partition(row),
            table.position(row),
            table.pseudonym(row) ?? null,
            table.columns.featureSetVersion,
            ...of,
          ],
        }
      }
    },
  }
}

function examplesKind({ registry }: Engine, { topics }: Plan, label: string | undefined): Kind {
  const read = exampleReader((id) => registry.schema(id))
  return {
    topic: topics.examples,
    before: [
      { name: 'label', type: 'text' },
      { name: 'kind', type: 'text' },
      { name: 'event_id', type: 'text' },
      { name: 'pseudonym', type: 'text' },
      { name: 'event_ts', type: 'time' },
      { name: 'outcome_ts', type: 'time' },
      { name: 'settled_at', type: 'time' },
      { name: 'value', type: 'double' },
      { name: 'weight', type: 'double' },
      { name: 'feature_set', type: 'text' },
    ],
    after: [],
    async *rowsOf({ value }) {
      if (!value) return
      const { example, columns } = await read(value)
      if (label === undefined || example.label === label) yield exampleRow(example, columns)
    },
  }
}

function exampleRow(example: TrainingExample, columns: ExampleColumns): Row {
  const { floats, strings } = exampleVector(example)
  return {
    columns,
    eventTime: example.eventTime,
    features: floats,
    texts: strings,
    scores: example.scores,
    own: [
      example.label,
      example.kind,
      example.eventId,
      example.pseudonym,
      example.eventTime,
      example.outcomeTime,
      example.settledAt,
      example.value,
      example.weight,
      example.featureSetVersion,
    ],
  }
}
