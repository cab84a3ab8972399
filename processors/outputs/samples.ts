import {
  Bool,
  Field,
  Float32,
  Float64,
  Int64,
  Schema,
  type Table,
  Timestamp,
  TimeUnit,
  tableFromIPC,
  Uint64,
  Utf8,
} from 'apache-arrow'
import type { EpochMs, Offset } from '../app/units.ts'
import type { Column, Vector } from '../features/types.ts'
import type { Score, ScoreOutput } from '../scorer/types.ts'
import { arrowStream, type ColumnBytes, schemaMessage } from './arrow-stream.ts'

/** What a batch of samples has columns for. Fixed for the life of a `SampleBatch`. */
export interface SampleLayout {
  readonly app: string
  readonly featureSetVersion: string
  readonly columns: readonly Column[]
  readonly scores: readonly ScoreOutput[]
  /** Labels of the application; absent: none. */
  readonly labels?: readonly { readonly name: string; readonly hasMatch: boolean }[]
}

/** What the event is to a label: see `docs/labels-and-examples.md`. */
export interface SampleLabel {
  readonly isSample: boolean
  /** NaN: none. */
  readonly value: number
  readonly match: string
}

/** What the models saw of one event, and what they said. */
export interface SampleRow {
  readonly eventId: string
  /** 8 bytes that stand for the profile; absent: none is kept. Read as uint64, little-endian. */
  readonly pseudonym?: Uint8Array | undefined
  readonly eventTime: EpochMs
  readonly processedAt: EpochMs
  readonly partition: number
  /** Offset of the event's record. */
  readonly position: Offset
  readonly vector: Vector
  readonly scores: readonly Score[]
  /** In the order of the layout's labels. */
  readonly labels?: readonly SampleLabel[]
}

const FORMAT = '1'
const NO_BYTES = new Uint8Array(0)
const NO_NULLS = { nullCount: 0, bitmap: NO_BYTES }
/** A broker takes records of 1 MiB by default; the last row may go beyond this bound. */
const FULL_BYTES = 786_432

/**
 * Column of a model's output: `score.<model>`, or `score.<model>.<output>` for a model of several. A shadow of a model that
 * serves in another version has its own: `score.<model>@<version>`.
 */
function scoreColumn({ model, output }: { model: string; output: string }): string {
  return output === 'score' ? `score.${model}` : `score.${model}.${output}`
}

/** Columns of a label: whether the event is a sample, what it gives as an outcome (or its own label), and what must match. */
export const labelColumns = (name: string) => ({
  sample: `label.${name}.sample`,
  value: `label.${name}.value`,
  match: `label.${name}.match`,
})

/**
 * Rows in column-major typed arrays that are allocated once and used again, batch after batch: adding a row writes
 * numbers and text bytes, and builds no objects.
 */
export class SampleBatch {
  readonly layout: SampleLayout
  readonly capacity: number
  private count = 0
  private readonly fields: readonly Field[]
  private message: { readonly models: string; readonly bytes: Uint8Array } | undefined
  private readonly eventIds: TextColumn
  private readonly eventTimes: LongColumn
  private readonly processed: LongColumn
  private readonly partitions: LongColumn
  private readonly positions: LongColumn
  private readonly pseudonyms: PseudonymColumn
  private readonly floats: readonly Float32Array[]
  private readonly texts: readonly TextColumn[]
  private readonly models: readonly ModelColumns[]
  private readonly outputs: readonly OutputColumn[]
  private readonly labels: readonly LabelColumns[]

  /** @param capacity rows, the bound of one record */
  constructor(layout: SampleLayout, capacity: number) {
    this.layout = layout
    this.capacity = capacity
    this.eventIds = new TextColumn(capacity)
    this.eventTimes = new LongColumn(capacity)
    this.processed = new LongColumn(capacity)
    this.partitions = new LongColumn(capacity)
    this.positions = new LongColumn(capacity)
    this.pseudonyms = new PseudonymColumn(capacity)
    const ofType = (type: Column['type']) => layout.columns.filter((column) => column.type === type).sort(byIndex)
    this.floats = ofType('float').map(() => new Float32Array(capacity))
    this.texts = ofType('string').map(() => new TextColumn(capacity))
    const names = [...new Set(layout.scores.map(({ model }) => model))]
    this.models = names.map((model) => new ModelColumns(model, capacity))
    this.outputs = layout.scores.map(({ model, output }) => new OutputColumn(model, output, capacity))
    this.labels = (layout.labels ?? []).map(({ hasMatch }, index) => new LabelColumns(index, hasMatch, capacity))
    const instant = new Timestamp(TimeUnit.MILLISECOND, 'UTC')
    this.fields = [
      new Field('event_id', new Utf8(), false),
      new Field('event_ts', instant, false),
      new Field('processed_at', instant, false),
      new Field('partition', new Int64(), false),
      new Field('position', new Int64(), false),
      new Field('pseudonym', new Uint64(), true),
      ...ofType('float').map(({ name }) => new Field(name, new Float32(), false)),
      ...ofType('string').map(({ name }) => new Field(name, new Utf8(), false)),
      ...layout.scores.map((it) => new Field(scoreColumn(it), new Float64(), true)),
      ...names.flatMap((model) =>
        ['version', 'role', 'fallback'].map((column) => new Field(`${column}.${model}`, new Utf8(), true)),
      ),
      ...(layout.labels ?? []).flatMap(({ name, hasMatch }) => {
        const { sample, value, match } = labelColumns(name)
        return [
          new Field(sample, new Bool(), false),
          new Field(value, new Float64(), true),
          ...(hasMatch ? [new Field(match, new Utf8(), true)] : []),
        ]
      }),
    ]
  }

  get rows(): number {
    return this.count
  }

  /** Encode and clear it before the next row: it has `capacity` rows, or so many bytes that a record would grow too large. */
  get isFull(): boolean {
    return this.count === this.capacity || this.sizeBytes >= FULL_BYTES
  }

  /** Bytes of the columns, near the size of the record. */
  get sizeBytes(): number {
    const rows = this.count
    let size =
      rows *
      (48 +
        4 * this.floats.length +
        4 * this.texts.length +
        8 * this.outputs.length +
        12 * this.models.length +
        13 * this.labels.length)
    size += this.eventIds.used(rows)
    for (const column of this.texts) size += column.used(rows)
    for (const column of this.models) size += column.used(rows)
    for (const column of this.labels) size += column.used(rows)
    return size
  }

  clear(): void {
    this.count = 0
  }

  /** @throws RangeError when the batch is full */
  add(row: SampleRow): void {
    if (this.count === this.capacity) throw new RangeError(`a batch of samples has at most ${this.capacity} rows`)
    const at = this.count++
    this.eventIds.set(at, row.eventId)
    this.eventTimes.set(at, row.eventTime)
    this.processed.set(at, row.processedAt)
    this.partitions.set(at, row.partition)
    this.positions.set(at, row.position)
    this.pseudonyms.set(at, row.pseudonym)
    const { floats, strings } = row.vector
    for (let column = 0; column < this.floats.length; column++) this.floats[column]![at] = floats[column]!
    for (let column = 0; column < this.texts.length; column++) this.texts[column]!.set(at, strings[column]!)
    for (const column of this.outputs) column.set(at, row.scores)
    for (const column of this.models) column.set(at, row.scores)
    for (const column of this.labels) column.set(at, row.labels)
  }

  /** One Arrow IPC stream: schema, one record batch, end. The bytes are a copy; the batch may be cleared and used again. */
  encode(): Buffer {
    const rows = this.count
    const columns: ColumnBytes[] = [
      this.eventIds.bytes(rows),
      this.eventTimes.bytes(rows),
      this.processed.bytes(rows),
      this.partitions.bytes(rows),
      this.positions.bytes(rows),
      this.pseudonyms.bytes(rows),
      ...this.floats.map((values) => withoutNulls(new Uint8Array(values.buffer, 0, 4 * rows))),
      ...this.texts.map((column) => column.bytes(rows)),
      ...this.outputs.map((column) => column.bytes(rows)),
      ...this.models.flatMap((column) => column.bytes(rows)),
      ...this.labels.flatMap((column) => column.bytes(rows)),
    ]
    return arrowStream(this.schema(), rows, columns)
  }

  /** The schema's metadata names the versions of this batch; they seldom change, so the message is kept. */
  private schema(): Uint8Array {
    const versions = this.count === 0 ? {} : Object.fromEntries(this.models.map((it) => [it.model, it.versions()]))
    const models = JSON.stringify(versions)
    if (this.message?.models === models) return this.message.bytes
    const metadata = new Map([
      ['rtml.format', FORMAT],
      ['rtml.app', this.layout.app],
      ['rtml.feature_set', this.layout.featureSetVersion],
      // So many number and text columns of the vector stand behind the six columns that every record has.
      ['rtml.vector', `${this.floats.length} ${this.texts.length}`],
      ['rtml.models', models],
    ])
    this.message = { models, bytes: schemaMessage(new Schema([...this.fields], metadata)) }
    return this.message.bytes
  }
}

const withoutNulls = (values: Uint8Array): ColumnBytes => ({ nullCount: 0, buffers: [NO_BYTES, values] })

/** Value of one record of `samples`. */
export const encodeSamples = (batch: SampleBatch): Buffer => batch.encode()

export interface Samples {
  readonly app: string
  readonly featureSetVersion: string
  /** Versions that scored in this batch, by model. */
  readonly models: Readonly<Record<string, readonly string[]>>
  readonly rows: number
  /** All columns, in Arrow's own form: `table.getChild('views_1h')?.toArray()`. */
  readonly table: Table
}

/** @throws Error when the bytes are no Arrow stream, or not one that rtml wrote */
export function decodeSamples(value: Uint8Array): Samples {
  const table = tableFromIPC(value)
  const { metadata } = table.schema
  const format = metadata.get('rtml.format')
  if (format !== FORMAT) throw new Error(`samples of format ${format ?? 'unknown'}; this version reads ${FORMAT}`)
  return {
    app: metadata.get('rtml.app') ?? '',
    featureSetVersion: metadata.get('rtml.feature_set') ?? '',
    models: JSON.parse(metadata.get('rtml.models') ?? '{}') as Record<string, string[]>,
    rows: table.numRows,
    table,
  }
}

const byIndex = (a: Column, b: Column): number => a.index - b.index

/** Which rows have a value: Arrow's bitmap, least significant bit first. */
class Validity {
  private readonly bits: Uint8Array
  private nulls = 0
  constructor(capacity: number) {
    this.bits = new Uint8Array(Math.ceil(capacity / 8))
  }
  set(at: number, isValid: boolean): void {
    if (at === 0) this.nulls = 0
    const mask = 1 << (at & 7)
    if (isValid) this.bits[at >> 3]! |= mask
    else {
      this.bits[at >> 3]! &= ~mask
      this.nulls++
    }
  }
  /** Bits after the last row are zero, so that equal rows give equal bytes. */
  of(rows: number): { readonly nullCount: number; readonly bitmap: Uint8Array } {
    if (rows === 0 || this.nulls === 0) return { nullCount: 0, bitmap: NO_BYTES }
    return { nullCount: this.nulls, bitmap: this.all(rows) }
  }
  /** The bitmap also where all rows have a value. */
  all(rows: number): Uint8Array {
    const bitmap = this.bits.subarray(0, Math.ceil(rows / 8))
    if ((rows & 7) !== 0) bitmap[bitmap.length - 1]! &= (1 << (rows & 7)) - 1
    return bitmap
  }
}

/** int64 written as two halves: a BigInt a value would cost an allocation. */
class LongColumn {
  private readonly halves: Int32Array
  constructor(capacity: number) {
    this.halves = new Int32Array(2 * capacity)
  }
  /** @param value a whole number within ±2^53; typed arrays here are little-endian, as on every platform of Node */
  set(at: number, value: number): void {
    this.halves[2 * at] = value
    this.halves[2 * at + 1] = Math.floor(value / 4_294_967_296)
  }
  bytes(rows: number): ColumnBytes {
    return withoutNulls(new Uint8Array(this.halves.buffer, 0, 8 * rows))
  }
}

class PseudonymColumn {
  private readonly values: Uint8Array
  private readonly validity: Validity
  constructor(capacity: number) {
    this.values = new Uint8Array(8 * capacity)
    this.validity = new Validity(capacity)
  }
  set(at: number, pseudonym: Uint8Array | undefined): void {
    this.validity.set(at, pseudonym !== undefined)
    const from = 8 * at
    for (let index = 0; index < 8; index++) this.values[from + index] = pseudonym === undefined ? 0 : pseudonym[index]!
  }
  bytes(rows: number): ColumnBytes {
    const { nullCount, bitmap } = this.validity.of(rows)
    return { nullCount, buffers: [bitmap, this.values.subarray(0, 8 * rows)] }
  }
}

/** UTF-8 texts, one after the other, with their offsets. */
class TextColumn {
  private text: Buffer
  private readonly offsets: Int32Array
  private last = ''
  private lastFrom = 0
  private lastTo = 0
  constructor(capacity: number) {
    this.text = Buffer.allocUnsafeSlow(Math.max(64, capacity * 16))
    this.offsets = new Int32Array(capacity + 1)
  }
  set(at: number, text: string): void {
    const from = this.offsets[at]!
    // Versions, roles and categories repeat: copying the bytes of the row before is half the price of encoding.
    const isRepeated = at > 0 && text === this.last
    const most = isRepeated ? this.lastTo - this.lastFrom : text.length * 3
    if (from + most > this.text.length) this.grow(from + most)
    const to = isRepeated
      ? from + this.text.copy(this.text, from, this.lastFrom, this.lastTo)
      : from + this.text.write(text, from)
    this.offsets[at + 1] = to
    this.last = text
    this.lastFrom = from
    this.lastTo = to
  }
  private grow(least: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(least, this.text.length * 2))
    this.text.copy(grown)
    this.text = grown
  }
  /** Bytes of the first `rows` texts. */
  used(rows: number): number {
    return this.offsets[rows]!
  }
  bytes(rows: number, validity: { nullCount: number; bitmap: Uint8Array } = NO_NULLS): ColumnBytes {
    const offsets = new Uint8Array(this.offsets.buffer, 0, 4 * (rows + 1))
    return {
      nullCount: validity.nullCount,
      buffers: [validity.bitmap, offsets, this.text.subarray(0, this.offsets[rows])],
    }
  }
}

class OutputColumn {
  private readonly model: string
  private readonly output: string
  private readonly values: Float64Array
  private readonly validity: Validity
  constructor(model: string, output: string, capacity: number) {
    this.model = model
    this.output = output
    this.values = new Float64Array(capacity)
    this.validity = new Validity(capacity)
  }
  set(at: number, scores: readonly Score[]): void {
    const score = find(scores, this.model, this.output)
    this.values[at] = score === undefined ? 0 : score.value
    this.validity.set(at, score !== undefined)
  }
  bytes(rows: number): ColumnBytes {
    const { nullCount, bitmap } = this.validity.of(rows)
    return { nullCount, buffers: [bitmap, new Uint8Array(this.values.buffer, 0, 8 * rows)] }
  }
}

/** Which version of a model scored the row, in which role, and whether it was the model's own word. */
class ModelColumns {
  readonly model: string
  private readonly version: TextColumn
  private readonly role: TextColumn
  private readonly fallback: TextColumn
  private readonly validity: Validity
  private readonly seen = new Set<string>()
  private last = ''
  constructor(model: string, capacity: number) {
    this.model = model
    this.version = new TextColumn(capacity)
    this.role = new TextColumn(capacity)
    this.fallback = new TextColumn(capacity)
    this.validity = new Validity(capacity)
  }
  set(at: number, scores: readonly Score[]): void {
    const score = find(scores, this.model, undefined)
    this.validity.set(at, score !== undefined)
    if (at === 0) this.seen.clear()
    if (score !== undefined && (at === 0 || score.version !== this.last)) {
      this.last = score.version
      this.seen.add(this.last)
    }
    this.version.set(at, score === undefined ? '' : score.version)
    this.role.set(at, score === undefined ? '' : score.role)
    this.fallback.set(at, score === undefined ? '' : score.fallback)
  }
  bytes(rows: number): ColumnBytes[] {
    const validity = this.validity.of(rows)
    return [this.version.bytes(rows, validity), this.role.bytes(rows, validity), this.fallback.bytes(rows, validity)]
  }
  used(rows: number): number {
    return this.version.used(rows) + this.role.used(rows) + this.fallback.used(rows)
  }
  /** Versions of the rows since the batch was cleared, sorted. */
  versions(): string[] {
    return [...this.seen].sort()
  }
}

class LabelColumns {
  private readonly index: number
  private readonly samples: Validity
  private readonly values: Float64Array
  private readonly valid: Validity
  private readonly match: TextColumn | undefined
  private readonly matched: Validity
  constructor(index: number, hasMatch: boolean, capacity: number) {
    this.index = index
    this.samples = new Validity(capacity)
    this.values = new Float64Array(capacity)
    this.valid = new Validity(capacity)
    this.match = hasMatch ? new TextColumn(capacity) : undefined
    this.matched = new Validity(capacity)
  }
  set(at: number, labels: readonly SampleLabel[] | undefined): void {
    const label = labels?.[this.index]
    const value = label === undefined ? Number.NaN : label.value
    const hasValue = !Number.isNaN(value)
    this.samples.set(at, label?.isSample === true)
    this.values[at] = hasValue ? value : 0
    this.valid.set(at, hasValue)
    const match = label === undefined ? '' : label.match
    this.match?.set(at, match)
    this.matched.set(at, match !== '')
  }
  bytes(rows: number): ColumnBytes[] {
    const { nullCount, bitmap } = this.valid.of(rows)
    return [
      withoutNulls(this.samples.all(rows)),
      { nullCount, buffers: [bitmap, new Uint8Array(this.values.buffer, 0, 8 * rows)] },
      ...(this.match ? [this.match.bytes(rows, this.matched.of(rows))] : []),
    ]
  }
  used(rows: number): number {
    return this.match ? this.match.used(rows) + 4 * rows : 0
  }
}

function find(scores: readonly Score[], model: string, output: string | undefined): Score | undefined {
  for (const score of scores) {
    if ((score.column ?? score.model) === model && (output === undefined || score.output === output)) return score
  }
  return undefined
}
