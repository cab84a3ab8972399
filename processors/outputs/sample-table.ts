import type { Data, Table } from 'apache-arrow'
import type { ExampleColumns, ServedScore } from './examples.ts'
import { decodeSamples, labelColumns } from './samples.ts'

/** Columns before those of the vector. */
const FIXED = ['event_id', 'event_ts', 'processed_at', 'partition', 'position', 'pseudonym'] as const

export interface LabelColumn {
  isSample(row: number): boolean
  /** NaN: none. */
  value(row: number): number
  /** '': none. */
  match(row: number): string
}

/**
 * One record of `samples`, read where it lies: column buffers, no object a row. Of any feature set and any models: what
 * there is, the record says itself.
 */
export class SampleTable {
  readonly rows: number
  readonly columns: ExampleColumns
  readonly #table: Table
  readonly #eventIds: TextView
  readonly #eventTimes: BigInt64Array
  readonly #processed: BigInt64Array
  readonly #partitions: BigInt64Array
  readonly #positions: BigInt64Array
  readonly #pseudonyms: NumberView<BigUint64Array>
  readonly #floats: readonly Float32Array[]
  readonly #texts: readonly TextView[]
  readonly #scores: readonly ScoreView[]
  readonly #labels = new Map<string, LabelColumn | undefined>()

  /** @throws Error when the bytes are no samples of rtml's */
  constructor(value: Uint8Array) {
    const { table, rows, featureSetVersion } = decodeSamples(value)
    this.rows = rows
    this.#table = table
    const { fields, metadata } = table.schema
    const [floats = 0, texts = 0] = (metadata.get('rtml.vector') ?? '').split(' ').map(Number)
    const names = fields.slice(FIXED.length, FIXED.length + floats + texts).map(({ name }) => name)
    this.columns = { featureSetVersion, features: names.slice(0, floats), texts: names.slice(floats) }
    this.#eventIds = this.#text('event_id')
    this.#eventTimes = this.#data('event_ts').values as BigInt64Array
    this.#processed = this.#data('processed_at').values as BigInt64Array
    this.#partitions = this.#data('partition').values as BigInt64Array
    this.#positions = this.#data('position').values as BigInt64Array
    this.#pseudonyms = new NumberView(this.#data('pseudonym'))
    this.#floats = this.columns.features.map((name) => this.#data(name).values as Float32Array)
    this.#texts = this.columns.texts.map((name) => this.#text(name))
    this.#scores = fields.flatMap(({ name }) => {
      if (!name.startsWith('score.')) return []
      const [model, output = 'score'] = name.slice('score.'.length).split('.') as [string, string?]
      const own = (column: string) => this.#text(`${column}.${model}`)
      const values = new NumberView<Float64Array>(this.#data(name))
      return [{ model, output, values, version: own('version'), role: own('role'), fallback: own('fallback') }]
    })
  }

  eventId(row: number): string {
    return this.#eventIds.get(row) ?? ''
  }

  /** Epoch milliseconds, as all times here. */
  eventTime(row: number): number {
    return Number(this.#eventTimes[row])
  }

  processedAt(row: number): number {
    return Number(this.#processed[row])
  }

  /** Of the topic that was scored. */
  partition(row: number): number {
    return Number(this.#partitions[row])
  }

  position(row: number): number {
    return Number(this.#positions[row])
  }

  /** 16 hex digits; undefined: none is kept. */
  pseudonym(row: number): string | undefined {
    return this.#pseudonyms.get(row)?.toString(16).padStart(16, '0')
  }

  /** Undefined: the label wasn't declared when the record was written. */
  label(name: string): LabelColumn | undefined {
    if (!this.#labels.has(name)) this.#labels.set(name, this.#label(name))
    return this.#labels.get(name)
  }

  /** The numbers of a row as they were served: float32, little-endian, in the order of the columns. */
  features(row: number): Buffer {
    const values = new Float32Array(this.#floats.length)
    for (let column = 0; column < values.length; column++) values[column] = this.#floats[column]![row]!
    return Buffer.from(values.buffer)
  }

  texts(row: number): string[] {
    return this.#texts.map((column) => column.get(row) ?? '')
  }

  scores(row: number): ServedScore[] {
    const scores: ServedScore[] = []
    for (const { model, output, values, version, role, fallback } of this.#scores) {
      const score = values.get(row)
      if (score === undefined) continue
      const [by, as, instead] = [version.get(row) ?? '', role.get(row) ?? '', fallback.get(row) ?? '']
      scores.push({ model, version: by, role: as, output, score, fallback: instead })
    }
    return scores
  }

  #label(name: string): LabelColumn | undefined {
    const columns = labelColumns(name)
    if (!this.#table.getChild(columns.sample)) return undefined
    const samples = this.#data(columns.sample).values as Uint8Array
    const values = new NumberView<Float64Array>(this.#data(columns.value))
    const match = this.#table.getChild(columns.match) ? this.#text(columns.match) : undefined
    return {
      isSample: (row) => isSet(samples, row),
      value: (row) => values.get(row) ?? Number.NaN,
      match: (row) => match?.get(row) ?? '',
    }
  }

  #text(name: string): TextView {
    return new TextView(this.#data(name))
  }

  /** A record is one batch, so a column is one piece. */
  #data(name: string): Data {
    const [data] = this.#table.getChild(name)?.data ?? []
    if (!data) throw new Error(`samples without the column ${name}`)
    return data
  }
}

interface ScoreView {
  readonly model: string
  readonly output: string
  readonly values: NumberView<Float64Array>
  readonly version: TextView
  readonly role: TextView
  readonly fallback: TextView
}

/** Arrow's bitmaps: least significant bit first. */
const isSet = (bits: Uint8Array, at: number): boolean => ((bits[at >> 3]! >> (at & 7)) & 1) === 1

class NumberView<T extends Float64Array | BigUint64Array> {
  readonly #values: T
  readonly #valid: Uint8Array | undefined
  constructor(data: Data) {
    this.#values = data.values as T
    this.#valid = validityOf(data)
  }
  get(row: number): T[number] | undefined {
    return this.#valid === undefined || isSet(this.#valid, row) ? this.#values[row] : undefined
  }
}

class TextView {
  readonly #bytes: Buffer
  readonly #offsets: Int32Array
  readonly #valid: Uint8Array | undefined
  constructor(data: Data) {
    const values = data.values as Uint8Array
    this.#bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength)
    this.#offsets = data.valueOffsets as Int32Array
    this.#valid = validityOf(data)
  }
  get(row: number): string | undefined {
    if (this.#valid !== undefined && !isSet(this.#valid, row)) return undefined
    return this.#bytes.toString('utf8', this.#offsets[row], this.#offsets[row + 1])
  }
}

const validityOf = ({ nullCount, nullBitmap }: Data): Uint8Array | undefined =>
  nullCount > 0 ? (nullBitmap as Uint8Array) : undefined
