/**
 * FTRL-Proximal over a linear model: logistic, softmax, linear and Poisson regression.
 * Source: McMahan et al., "Ad Click Prediction: a View from the Trenches", KDD 2013, Algorithm 1. Per coordinate, state z
 * and n: w = 0 while |z| ≤ λ1, else −(z − sign(z)·λ1) / ((β + √n)/α + λ2); g = gradient · x; σ = (√(n + g²) − √n)/α;
 * z += g − σ·w; n += g². The bias has no λ1 and no λ2. State is float64.
 */
import type { OnnxGraph } from '../onnx/graph.ts'
import type { StateReader, StateWriter } from './bytes.ts'
import { FramedLearner, type FrameOptions, openCheckpoint } from './frame.ts'

export const FTRL = 'ftrl'

export interface FtrlOptions extends FrameOptions {
  /** Rate: a coordinate moves by α/(β + √Σg²) a unit of gradient. */
  readonly alpha: number
  readonly beta: number
  /** L1: makes weights exactly 0. */
  readonly l1: number
  readonly l2: number
}

export const FTRL_DEFAULTS = { alpha: 0.2, beta: 1, l1: 0, l2: 0 } as const

/** Coordinates of one class: dense values, rows of the id tables, the bias last. */
export class Ftrl extends FramedLearner<FtrlOptions> {
  readonly #size: number
  #z: Float64Array
  #n: Float64Array
  /** The weights that z and n stand for: kept, because every prediction reads them and few updates change each. */
  readonly #w: Float64Array

  constructor(options: FrameOptions & Partial<FtrlOptions>) {
    super(FTRL, checked({ ...FTRL_DEFAULTS, ...options }))
    this.#size = this.front.denseWidth + this.front.idRows + 1
    const length = this.#size * this.head.width
    this.#z = new Float64Array(length)
    this.#n = new Float64Array(length)
    this.#w = new Float64Array(length)
  }

  /** @throws Error when the bytes are no checkpoint of this learner */
  static decode(bytes: Uint8Array): Ftrl {
    const { options, reader } = openCheckpoint<FtrlOptions>(bytes, FTRL)
    return new Ftrl(options).restore(reader)
  }

  /** Weight of each dense value (standardised numbers, then their missing flags) of a class: what an explanation shows. */
  denseWeights(row = 0): Float64Array {
    return this.#w.slice(row * this.#size, row * this.#size + this.front.denseWidth)
  }

  protected forward(): void {
    const { dense, rows, denseWidth } = this.front
    const w = this.#w
    for (let k = 0; k < this.raw.length; k++) {
      const start = k * this.#size
      let sum = w[start + this.#size - 1]!
      for (let i = 0; i < denseWidth; i++) sum += w[start + i]! * dense[i]!
      for (let i = 0; i < rows.length; i++) sum += w[start + denseWidth + rows[i]!]!
      this.raw[k] = sum
    }
  }

  protected step(): void {
    const { dense, rows, denseWidth } = this.front
    const { l1, l2 } = this.options
    for (let k = 0; k < this.raw.length; k++) {
      const start = k * this.#size
      const gradient = this.raw[k]!
      if (gradient === 0) continue
      for (let i = 0; i < denseWidth; i++) {
        const x = dense[i]!
        if (x !== 0) this.#move(start + i, gradient * x, l1, l2)
      }
      for (let i = 0; i < rows.length; i++) this.#move(start + denseWidth + rows[i]!, gradient, l1, l2)
      this.#move(start + this.#size - 1, gradient, 0, 0)
    }
  }

  #move(at: number, g: number, l1: number, l2: number): void {
    const { alpha } = this.options
    const n = this.#n[at]!
    const next = n + g * g
    const root = Math.sqrt(next)
    this.#n[at] = next
    this.#z[at] = this.#z[at]! + g - ((root - Math.sqrt(n)) / alpha) * this.#w[at]!
    this.#w[at] = this.#weight(this.#z[at]!, root, l1, l2)
  }

  #weight(z: number, root: number, l1: number, l2: number): number {
    const { alpha, beta } = this.options
    if (z > l1) return -(z - l1) / ((beta + root) / alpha + l2)
    if (z < -l1) return -(z + l1) / ((beta + root) / alpha + l2)
    return 0
  }

  protected write(writer: StateWriter): void {
    writer.f64s(this.#z).f64s(this.#n)
  }

  protected load(reader: StateReader): void {
    const length = this.#w.length
    this.#z = reader.f64s(length)
    this.#n = reader.f64s(length)
    const { l1, l2 } = this.options
    for (let i = 0; i < length; i++) {
      const isBias = i % this.#size === this.#size - 1
      this.#w[i] = this.#weight(this.#z[i]!, Math.sqrt(this.#n[i]!), isBias ? 0 : l1, isBias ? 0 : l2)
    }
  }

  protected append(graph: OnnxGraph, dense: string | undefined, rows: string | undefined): string {
    const { denseWidth, idRows } = this.front
    const width = this.head.width
    /** Transposed: a row a coordinate, a column a class. */
    const table = (from: number, count: number): Float64Array => {
      const values = new Float64Array(count * width)
      for (let i = 0; i < count; i++)
        for (let k = 0; k < width; k++) values[i * width + k] = this.#w[k * this.#size + from + i]!
      return values
    }
    let sum = graph.constant(table(this.#size - 1, 1), [1, width])
    if (dense !== undefined) {
      const weights = graph.constant(table(0, denseWidth), [denseWidth, width])
      sum = graph.node('Add', [graph.node('MatMul', [dense, weights]), sum])
    }
    if (rows !== undefined) {
      const weights = graph.constant(table(denseWidth, idRows), [idRows, width])
      const each = graph.node('Gather', [weights, rows], { axis: { int: 0 } })
      const ids = graph.node('ReduceSum', [each, graph.constant([1], [1], 'int64')], { keepdims: { int: 0 } })
      sum = graph.node('Add', [ids, sum])
    }
    return sum
  }
}

function checked(options: FtrlOptions): FtrlOptions {
  const { alpha, beta, l1, l2 } = options
  if (!(alpha > 0)) throw new RangeError(`alpha is ${alpha}; it must be above 0. 0.05 to 0.5 is usual`)
  for (const [name, value] of Object.entries({ beta, l1, l2 })) {
    if (!(value >= 0)) throw new RangeError(`${name} is ${value}; it must be 0 or more`)
  }
  return options
}
