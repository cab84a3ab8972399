/**
 * A small network, learned one example at a time with Adam: standardised numbers and an embedding a id feature → hidden
 * layers with ReLU → head. A straight linear path beside the hidden layers lets it start as fast as a linear model does
 * ("wide & deep", Cheng et al. 2016).
 * Adam: Kingma & Ba 2015. Embedding rows and whatever else a row did not touch are left alone, so they count their own
 * steps: with one global count a rare row's first step would be over-corrected.
 */
import type { OnnxGraph } from '../onnx/graph.ts'
import type { StateReader, StateWriter } from './bytes.ts'
import { FramedLearner, type FrameOptions, openCheckpoint } from './frame.ts'
import { normal, SeededRandom } from './random.ts'

export const MLP = 'mlp'

export interface MlpOptions extends FrameOptions {
  /** Widths of the hidden layers. */
  readonly hidden: readonly number[]
  /** Numbers an id feature is embedded in. */
  readonly embedding: number
  /** Adam's α. */
  readonly rate: number
  /** Decoupled weight decay a step (Loshchilov & Hutter 2019); 0 = none. */
  readonly decay: number
  readonly seed: number
}

export const MLP_DEFAULTS = { hidden: [32, 16] as readonly number[], embedding: 8, rate: 0.001, decay: 0, seed: 1 }

const BETA1 = 0.9
const BETA2 = 0.999
const EPSILON = 1e-8
const PARAMETERS_MAX = 16_777_216

/** Weights with Adam's moments. `steps` counts a row's updates: embeddings have many rows, other tensors one. */
class Parameter {
  readonly values: Float64Array
  readonly #first: Float64Array
  readonly #second: Float64Array
  readonly #steps: Float64Array
  readonly #rowWidth: number

  constructor(rows: number, rowWidth: number) {
    const length = rows * rowWidth
    this.values = new Float64Array(length)
    this.#first = new Float64Array(length)
    this.#second = new Float64Array(length)
    this.#steps = new Float64Array(rows)
    this.#rowWidth = rowWidth
  }

  init(deviation: number, random: SeededRandom): void {
    for (let i = 0; i < this.values.length; i++) this.values[i] = deviation * normal(() => random.next())
  }

  /** One Adam step of a row. @param at where the row's gradient starts in `gradient` */
  step(row: number, gradient: Float64Array, at: number, rate: number, decay: number): void {
    const t = this.#steps[row]! + 1
    this.#steps[row] = t
    const correction1 = 1 - BETA1 ** t
    const correction2 = 1 - BETA2 ** t
    const start = row * this.#rowWidth
    for (let i = 0; i < this.#rowWidth; i++) {
      const g = gradient[at + i]!
      const m = BETA1 * this.#first[start + i]! + (1 - BETA1) * g
      const v = BETA2 * this.#second[start + i]! + (1 - BETA2) * g * g
      this.#first[start + i] = m
      this.#second[start + i] = v
      const value = this.values[start + i]!
      this.values[start + i] = value - rate * (m / correction1 / (Math.sqrt(v / correction2) + EPSILON) + decay * value)
    }
  }

  write(writer: StateWriter): void {
    writer.f64s(this.values).f64s(this.#first).f64s(this.#second).f64s(this.#steps)
  }

  load(reader: StateReader): void {
    for (const array of [this.values, this.#first, this.#second, this.#steps]) array.set(reader.f64s(array.length))
  }
}

/** One fully connected layer: `weights` is a row an output. */
interface Layer {
  readonly from: number
  readonly to: number
  readonly weights: Parameter
  readonly bias: Parameter
  /** Outputs, after ReLU in hidden layers. */
  readonly out: Float64Array
  /** Gradient at the outputs. */
  readonly delta: Float64Array
  readonly gradient: Float64Array
}

export class Mlp extends FramedLearner<MlpOptions> {
  readonly #width: number
  readonly #embeddings: Parameter
  readonly #layers: readonly Layer[]
  /** The straight path. */
  readonly #wide: Parameter
  readonly #input: Float64Array
  readonly #inputDelta: Float64Array
  readonly #wideGradient: Float64Array

  constructor(options: FrameOptions & Partial<MlpOptions>) {
    super(MLP, checked({ ...MLP_DEFAULTS, ...options }))
    const { hidden, embedding, seed } = this.options
    const ids = this.front.rows.length
    this.#width = this.front.denseWidth + ids * embedding
    this.#embeddings = new Parameter(ids === 0 ? 0 : this.front.idRows, embedding)
    this.#input = new Float64Array(this.#width)
    this.#inputDelta = new Float64Array(this.#width)
    const widths = [this.#width, ...hidden, this.head.width]
    const size = widths.slice(1).reduce((sum, to, i) => sum + to * widths[i]!, this.#embeddings.values.length)
    if (size > PARAMETERS_MAX) throw new RangeError(`${size} parameters; the most is ${PARAMETERS_MAX}`)
    this.#layers = widths.slice(1).map((to, i) => layer(widths[i]!, to))
    this.#wide = new Parameter(1, this.#width * this.head.width)
    this.#wideGradient = new Float64Array(this.#width * this.head.width)
    const random = new SeededRandom(seed)
    this.#embeddings.init(0.05, random)
    // He 2015 for ReLU; the last layer starts at 0, so that the first prediction is the plain one.
    for (const it of this.#layers.slice(0, -1)) it.weights.init(Math.sqrt(2 / Math.max(1, it.from)), random)
  }

  /** @throws Error when the bytes are no checkpoint of this learner */
  static decode(bytes: Uint8Array): Mlp {
    const { options, reader } = openCheckpoint<MlpOptions>(bytes, MLP)
    return new Mlp(options).restore(reader)
  }

  protected forward(): void {
    const { dense, rows, denseWidth } = this.front
    const { embedding } = this.options
    const input = this.#input
    input.set(dense)
    for (let i = 0; i < rows.length; i++) {
      const from = rows[i]! * embedding
      for (let j = 0; j < embedding; j++) input[denseWidth + i * embedding + j] = this.#embeddings.values[from + j]!
    }
    let x = input
    const last = this.#layers.length - 1
    for (let l = 0; l <= last; l++) {
      const { from, to, weights, bias, out } = this.#layers[l]!
      for (let j = 0; j < to; j++) {
        let sum = bias.values[j]!
        const row = j * from
        for (let i = 0; i < from; i++) sum += weights.values[row + i]! * x[i]!
        out[j] = l < last && sum < 0 ? 0 : sum
      }
      x = out
    }
    const wide = this.#wide.values
    for (let k = 0; k < this.raw.length; k++) {
      let sum = x[k]!
      for (let i = 0; i < this.#width; i++) sum += wide[k * this.#width + i]! * input[i]!
      this.raw[k] = sum
    }
  }

  protected step(): void {
    const { rate, decay, embedding } = this.options
    const { rows, denseWidth } = this.front
    const input = this.#input
    const inputDelta = this.#inputDelta
    const wide = this.#wide.values
    inputDelta.fill(0)
    for (let k = 0; k < this.raw.length; k++) {
      const g = this.raw[k]!
      for (let i = 0; i < this.#width; i++) {
        const at = k * this.#width + i
        inputDelta[i] = inputDelta[i]! + g * wide[at]!
        this.#wideGradient[at] = g * input[i]!
      }
    }
    this.#layers.at(-1)!.delta.set(this.raw)
    for (let l = this.#layers.length - 1; l >= 0; l--) {
      const { from, to, weights, bias, delta, gradient } = this.#layers[l]!
      const below = this.#layers[l - 1]
      const x = below ? below.out : input
      const belowDelta = below ? below.delta : inputDelta
      if (below) belowDelta.fill(0)
      for (let j = 0; j < to; j++) {
        const d = delta[j]!
        const row = j * from
        for (let i = 0; i < from; i++) {
          belowDelta[i] = belowDelta[i]! + d * weights.values[row + i]!
          gradient[row + i] = d * x[i]!
        }
      }
      // ReLU passes nothing back where it was closed.
      if (below) for (let i = 0; i < from; i++) if (x[i]! <= 0) belowDelta[i] = 0
      weights.step(0, gradient, 0, rate, decay)
      bias.step(0, delta, 0, rate, 0)
    }
    this.#wide.step(0, this.#wideGradient, 0, rate, decay)
    for (let i = 0; i < rows.length; i++) {
      this.#embeddings.step(rows[i]!, inputDelta, denseWidth + i * embedding, rate, decay)
    }
  }

  protected write(writer: StateWriter): void {
    for (const it of this.#parameters()) it.write(writer)
  }

  protected load(reader: StateReader): void {
    for (const it of this.#parameters()) it.load(reader)
  }

  *#parameters(): Iterable<Parameter> {
    yield this.#embeddings
    for (const { weights, bias } of this.#layers) yield* [weights, bias]
    yield this.#wide
  }

  protected append(graph: OnnxGraph, dense: string | undefined, rows: string | undefined): string {
    const { embedding } = this.options
    const parts = dense === undefined ? [] : [dense]
    if (rows !== undefined) {
      const table = graph.constant(this.#embeddings.values, [this.front.idRows, embedding])
      const each = graph.node('Gather', [table, rows], { axis: { int: 0 } })
      const shape = graph.constant([-1, this.front.rows.length * embedding], [2], 'int64')
      parts.push(graph.node('Reshape', [each, shape]))
    }
    const input = parts.length === 1 ? parts[0]! : graph.node('Concat', parts, { axis: { int: 1 } })
    let x = input
    for (const [l, { from, to, weights, bias }] of this.#layers.entries()) {
      const product = graph.node('MatMul', [x, transposed(graph, weights.values, from, to)])
      x = graph.node('Add', [product, graph.constant(bias.values, [1, to])])
      if (l < this.#layers.length - 1) x = graph.node('Relu', [x])
    }
    const wide = transposed(graph, this.#wide.values, this.#width, this.head.width)
    return graph.node('Add', [x, graph.node('MatMul', [input, wide])])
  }
}

function layer(from: number, to: number): Layer {
  return {
    from,
    to,
    weights: new Parameter(1, from * to),
    bias: new Parameter(1, to),
    out: new Float64Array(to),
    delta: new Float64Array(to),
    gradient: new Float64Array(from * to),
  }
}

function transposed(graph: OnnxGraph, values: Float64Array, from: number, to: number): string {
  const turned = new Float64Array(values.length)
  for (let j = 0; j < to; j++) for (let i = 0; i < from; i++) turned[i * to + j] = values[j * from + i]!
  return graph.constant(turned, [from, to])
}

function checked(options: MlpOptions): MlpOptions {
  const { hidden, embedding, rate, decay, seed } = options
  if (hidden.length > 8 || !hidden.every((it) => Number.isInteger(it) && it >= 1 && it <= 4_096)) {
    throw new RangeError(`hidden is [${hidden.join(', ')}]; possible are at most 8 layers of 1 to 4096`)
  }
  if (!(Number.isInteger(embedding) && embedding >= 1 && embedding <= 256)) {
    throw new RangeError(`embedding is ${embedding}; possible are 1 to 256`)
  }
  if (!(rate > 0 && rate < 1)) throw new RangeError(`rate is ${rate}; it must lie between 0 and 1`)
  if (!(decay >= 0)) throw new RangeError(`decay is ${decay}; it must be 0 or more`)
  if (!Number.isInteger(seed)) throw new RangeError(`seed is ${seed}; it must be a whole number`)
  return options
}
