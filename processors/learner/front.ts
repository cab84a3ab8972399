/**
 * What every learner does to a row before it learns: standardise numbers, fill what is missing, resolve ids.
 * It is part of the model: its state is in the checkpoint and its arithmetic in the exported ONNX, so a row that is served
 * is prepared exactly as the rows that were learned.
 * Mean and variance: Welford 1962, one pass, updated after the prediction.
 */
import type { OnnxGraph } from '../onnx/graph.ts'
import type { StateReader, StateWriter } from './bytes.ts'
import type { InputColumn } from './types.ts'

/** Standardised values beyond this are cut: one absurd value must not move every weight. */
const CUT = 8
/** From this many values on, a value moves mean and variance as if it were at most this many deviations away. */
const SETTLED = 100
const WINSOR = 20
const FLOAT_MAX = 3.4028234663852886e38
/** Rows of id tables of one learner; at 8 bytes a number and three numbers a row it is the bound of its memory. */
export const ID_ROWS_MAX = 4_194_304

export class Front {
  readonly inputs: readonly InputColumn[]
  /** Dense outputs: a standardised value for each number, then a missing flag for each number. */
  readonly denseWidth: number
  /** Rows of all id tables together: `size + 1` a column, the last one is "missing". */
  readonly idRows: number
  /** Dense values of the last row that was read. */
  readonly dense: Float64Array
  /** Rows of the last row's ids, in one table of `idRows`. */
  readonly rows: Int32Array
  readonly #numbers: Int32Array
  readonly #ids: Int32Array
  readonly #sizes: Float64Array
  readonly #offsets: Float64Array
  #count: Float64Array
  #mean: Float64Array
  #m2: Float64Array
  /** 1 / standard deviation; 0 while all values were equal. */
  readonly #inverse: Float64Array

  /** @throws RangeError when the columns can't be learned from */
  constructor(inputs: readonly InputColumn[]) {
    if (inputs.length === 0) throw new RangeError('a learner wants at least one feature')
    this.inputs = inputs
    const numbers: number[] = []
    const ids: number[] = []
    for (const [index, column] of inputs.entries()) (column.kind === 'number' ? numbers : ids).push(index)
    this.#numbers = Int32Array.from(numbers)
    this.#ids = Int32Array.from(ids)
    this.#sizes = Float64Array.from(ids, (index) => (inputs[index] as { size: number }).size)
    this.#offsets = new Float64Array(ids.length)
    let rows = 0
    for (let i = 0; i < ids.length; i++) {
      this.#offsets[i] = rows
      rows += this.#sizes[i]! + 1
    }
    if (rows > ID_ROWS_MAX) {
      throw new RangeError(`the id features have ${rows} values; the most is ${ID_ROWS_MAX}. Use fewer hash buckets`)
    }
    this.idRows = rows
    this.denseWidth = numbers.length * 2
    this.dense = new Float64Array(this.denseWidth)
    this.rows = new Int32Array(ids.length)
    this.#count = new Float64Array(numbers.length)
    this.#mean = new Float64Array(numbers.length)
    this.#m2 = new Float64Array(numbers.length)
    this.#inverse = new Float64Array(numbers.length)
  }

  /** First row of the table of each id column. */
  get offsets(): Float64Array {
    return this.#offsets
  }

  /** Fills `dense` and `rows` from a row of inputs. */
  read(x: Float32Array): void {
    const numbers = this.#numbers
    const { dense } = this
    const width = numbers.length
    for (let i = 0; i < width; i++) {
      const value = x[numbers[i]!]!
      // NaN and ±∞ fail the comparison.
      if (Math.abs(value) <= FLOAT_MAX) {
        const z = (value - this.#mean[i]!) * this.#inverse[i]!
        dense[i] = Math.min(CUT, Math.max(-CUT, z))
        dense[width + i] = 0
      } else {
        dense[i] = 0
        dense[width + i] = 1
      }
    }
    const ids = this.#ids
    for (let i = 0; i < ids.length; i++) {
      const id = Math.floor(x[ids[i]!]!)
      const size = this.#sizes[i]!
      this.rows[i] = this.#offsets[i]! + (id >= 0 && id < size ? id : size)
    }
  }

  /** Takes the row's values into mean and variance. Call after the example was learned. */
  observe(x: Float32Array): void {
    const numbers = this.#numbers
    const counts = this.#count
    const means = this.#mean
    const m2s = this.#m2
    for (let i = 0; i < numbers.length; i++) {
      const raw = x[numbers[i]!]!
      if (!(Math.abs(raw) <= FLOAT_MAX)) continue
      const count = counts[i]! + 1
      const mean = means[i]!
      let delta = raw - mean
      const inverse = this.#inverse[i]!
      if (inverse > 0 && count > SETTLED) {
        const most = WINSOR / inverse
        if (delta > most) delta = most
        else if (delta < -most) delta = -most
      }
      const step = delta / count
      means[i] = mean + step
      const m2 = m2s[i]! + delta * (delta - step)
      m2s[i] = m2
      counts[i] = count
      this.#inverse[i] = inverseDeviation(m2, count, means[i]!)
    }
  }

  write(writer: StateWriter): void {
    writer.f64s(this.#count).f64s(this.#mean).f64s(this.#m2)
  }

  load(reader: StateReader): void {
    const width = this.#numbers.length
    this.#count = reader.f64s(width)
    this.#mean = reader.f64s(width)
    this.#m2 = reader.f64s(width)
    for (let i = 0; i < width; i++) {
      this.#inverse[i] = inverseDeviation(this.#m2[i]!, this.#count[i]!, this.#mean[i]!)
    }
  }

  /**
   * The same in ONNX, in double precision: a mean of 1e9 would leave nothing of a float32.
   * @param features name of the float32 input [n, columns]
   * @returns `dense` [n, denseWidth] and `rows` int64 [n, id columns]; undefined where there is none
   */
  append(graph: OnnxGraph, features: string): { dense: string | undefined; rows: string | undefined } {
    const wide = graph.cast(features, 'float64')
    return {
      dense: this.#numbers.length > 0 ? this.#appendNumbers(graph, wide) : undefined,
      rows: this.#ids.length > 0 ? this.#appendIds(graph, wide) : undefined,
    }
  }

  #appendNumbers(graph: OnnxGraph, wide: string): string {
    const width = this.#numbers.length
    const mean = graph.constant(this.#mean, [1, width])
    const x = this.#columns(graph, wide, this.#numbers)
    const isThere = graph.node('LessOrEqual', [graph.node('Abs', [x]), graph.constant([FLOAT_MAX], [])])
    const filled = graph.node('Where', [isThere, x, mean])
    const scaled = graph.node('Mul', [graph.node('Sub', [filled, mean]), graph.constant(this.#inverse, [1, width])])
    const cut = graph.node('Clip', [scaled, graph.constant([-CUT], []), graph.constant([CUT], [])])
    const isMissing = graph.cast(graph.node('Not', [isThere]), 'float64')
    return graph.node('Concat', [cut, isMissing], { axis: { int: 1 } })
  }

  #appendIds(graph: OnnxGraph, wide: string): string {
    const width = this.#ids.length
    const size = graph.constant(this.#sizes, [1, width])
    const id = graph.node('Floor', [this.#columns(graph, wide, this.#ids)])
    const isKnown = graph.node('And', [
      graph.node('GreaterOrEqual', [id, graph.constant([0], [])]),
      graph.node('Less', [id, size]),
    ])
    const own = graph.node('Where', [isKnown, id, size])
    return graph.cast(graph.node('Add', [own, graph.constant(this.#offsets, [1, width])]), 'int64')
  }

  #columns(graph: OnnxGraph, wide: string, indexes: Int32Array): string {
    if (indexes.length === this.inputs.length) return wide
    const constant = graph.constant([...indexes], [indexes.length], 'int64')
    return graph.node('Gather', [wide, constant], { axis: { int: 1 } })
  }
}

/** 0 while values differ by no more than rounding: a constant says nothing. */
function inverseDeviation(m2: number, count: number, mean: number): number {
  const variance = m2 / count
  const noise = 1e-12 * Math.abs(mean)
  return variance > noise * noise && variance > 1e-60 ? 1 / Math.sqrt(variance) : 0
}
