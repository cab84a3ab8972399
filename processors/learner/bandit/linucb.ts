import type { Random } from '../../app/units.ts'
import { OnnxGraph } from '../../onnx/graph.ts'
import { StateReader, StateWriter } from '../bytes.ts'
import { Front } from '../front.ts'
import type { InputColumn } from '../types.ts'
import { type Bandit, type Choice, draw, greedy } from './types.ts'

export const LINUCB = 'linucb'
/** Updates of an arm between two exact inversions: Sherman–Morrison gathers rounding. */
const REFACTOR = 1_000
const ARMS_MAX = 1_000

export interface LinUcbOptions {
  readonly inputs: readonly InputColumn[]
  readonly arms: number
  /** Width of the bound; 1 + √(ln(2/δ)/2) for a certainty of 1 − δ. */
  readonly alpha?: number
  /** Share of choices at random: without it the policy is deterministic and its log can't be used to judge others. */
  readonly epsilon?: number
}

/**
 * LinUCB with disjoint arms: A = I + Σ x·xᵀ, b = Σ r·x, θ = A⁻¹·b; chooses the arm of the largest θᵀx + α·√(xᵀ·A⁻¹·x).
 * A⁻¹ is kept by Sherman–Morrison. Source: Li, Chu, Langford & Schapire, WWW 2010.
 */
export class LinUcb implements Bandit {
  readonly arms: number
  readonly #options: Required<LinUcbOptions>
  readonly #front: Front
  /** Columns: dense values and a constant. */
  readonly #size: number
  readonly #a: Float64Array[]
  readonly #inverse: Float64Array[]
  readonly #b: Float64Array[]
  readonly #theta: Float64Array[]
  readonly #updates: Float64Array
  readonly #x: Float64Array

  /** @throws RangeError for id columns, or too many arms */
  constructor(options: LinUcbOptions) {
    this.#options = { alpha: 1, epsilon: 0.05, ...options }
    const { arms, inputs, epsilon } = this.#options
    if (!(Number.isInteger(arms) && arms >= 2 && arms <= ARMS_MAX))
      throw new RangeError(`${arms} arms; 2 to ${ARMS_MAX}`)
    if (!(epsilon >= 0 && epsilon <= 1)) throw new RangeError(`epsilon is ${epsilon}; it must lie between 0 and 1`)
    const id = inputs.find(({ kind }) => kind === 'id')
    if (id) throw new RangeError(`${id.name} is an id: LinUCB reads numbers. Encode it as onehot`)
    this.arms = arms
    this.#front = new Front(inputs)
    this.#size = this.#front.denseWidth + 1
    const matrix = () => identity(this.#size)
    const vector = () => new Float64Array(this.#size)
    this.#a = Array.from({ length: arms }, matrix)
    this.#inverse = Array.from({ length: arms }, matrix)
    this.#b = Array.from({ length: arms }, vector)
    this.#theta = Array.from({ length: arms }, vector)
    this.#updates = new Float64Array(arms)
    this.#x = vector()
  }

  /** @throws Error when the bytes are damaged */
  static decode(bytes: Uint8Array): LinUcb {
    const reader = new StateReader(bytes, LINUCB)
    const bandit = new LinUcb(JSON.parse(reader.text()) as LinUcbOptions)
    bandit.#front.load(reader)
    const n = bandit.#size
    bandit.#updates.set(reader.f64s(bandit.arms))
    for (let arm = 0; arm < bandit.arms; arm++) {
      bandit.#a[arm]!.set(reader.f64s(n * n))
      bandit.#inverse[arm]!.set(reader.f64s(n * n))
      bandit.#b[arm]!.set(reader.f64s(n))
      multiply(bandit.#inverse[arm]!, bandit.#b[arm]!, bandit.#theta[arm]!)
    }
    reader.end()
    return bandit
  }

  encode(): Uint8Array {
    const writer = new StateWriter(LINUCB).text(JSON.stringify(this.#options))
    this.#front.write(writer)
    writer.f64s(this.#updates)
    for (let arm = 0; arm < this.arms; arm++) writer.f64s(this.#a[arm]!).f64s(this.#inverse[arm]!).f64s(this.#b[arm]!)
    return writer.done()
  }

  choose(x: Float32Array, random: Random): Choice {
    return draw(this.probabilities(x), random)
  }

  probabilities(x: Float32Array): number[] {
    this.#read(x)
    const scores = this.#theta.map(
      (theta, arm) => dot(theta, this.#x) + this.#options.alpha * Math.sqrt(Math.max(0, this.#width(arm))),
    )
    return greedy(scores, this.#options.epsilon)
  }

  expected(x: Float32Array): number[] {
    this.#read(x)
    return this.#theta.map((theta) => dot(theta, this.#x))
  }

  learn(x: Float32Array, arm: number, reward: number): void {
    const [a, inverse, b] = [this.#a[arm], this.#inverse[arm], this.#b[arm]]
    if (!a || !inverse || !b || !Number.isFinite(reward)) return
    this.#read(x)
    const n = this.#size
    const v = this.#x
    const u = new Float64Array(n)
    multiply(inverse, v, u)
    const scale = 1 / (1 + dot(u, v))
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        a[i * n + j]! += v[i]! * v[j]!
        inverse[i * n + j]! -= scale * u[i]! * u[j]!
      }
      b[i]! += reward * v[i]!
    }
    if (++this.#updates[arm]! % REFACTOR === 0) inverse.set(inverted(a, n))
    multiply(inverse, b, this.#theta[arm]!)
    this.#front.observe(x)
  }

  #read(x: Float32Array): void {
    this.#front.read(x)
    this.#x.set(this.#front.dense)
    this.#x[this.#size - 1] = 1
  }

  /** xᵀ·A⁻¹·x */
  #width(arm: number): number {
    const n = this.#size
    const inverse = this.#inverse[arm]!
    let sum = 0
    for (let i = 0; i < n; i++) {
      let row = 0
      for (let j = 0; j < n; j++) row += inverse[i * n + j]! * this.#x[j]!
      sum += row * this.#x[i]!
    }
    return sum
  }

  /** Expected rewards only: a served model exploits, and who explores is the decision's matter. */
  toOnnx(): Uint8Array {
    return exportExpected(LINUCB, this.#options.inputs, this.#front, this.#theta, false)
  }
}

/** θᵀx of each arm, or σ(θᵀx). */
export function exportExpected(
  name: string,
  inputs: readonly InputColumn[],
  front: Front,
  thetas: readonly Float64Array[],
  isLogistic: boolean,
): Uint8Array {
  const graph = new OnnxGraph()
  const { dense } = front.append(graph, graph.input('features', 'float32', inputs.length))
  const width = front.denseWidth
  const weights = new Float64Array(width * thetas.length)
  for (const [arm, theta] of thetas.entries())
    for (let i = 0; i < width; i++) weights[i * thetas.length + arm] = theta[i]!
  const bias = graph.constant(
    thetas.map((theta) => theta[width]!),
    [1, thetas.length],
  )
  const product = graph.node('MatMul', [dense!, graph.constant(weights, [width, thetas.length])])
  const raw = graph.node('Add', [product, bias])
  const result = isLogistic ? graph.node('Sigmoid', [raw]) : raw
  graph.output(graph.cast(result, 'float32'), 'expected', 'float32', thetas.length)
  return graph.bytes(name)
}

function identity(n: number): Float64Array {
  const matrix = new Float64Array(n * n)
  for (let i = 0; i < n; i++) matrix[i * n + i] = 1
  return matrix
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

function multiply(matrix: Float64Array, vector: Float64Array, into: Float64Array): void {
  const n = vector.length
  for (let i = 0; i < n; i++) {
    let sum = 0
    for (let j = 0; j < n; j++) sum += matrix[i * n + j]! * vector[j]!
    into[i] = sum
  }
}

/** Inverse of a symmetric positive definite matrix: Gauss–Jordan, which needs no pivots for these. */
function inverted(matrix: Float64Array, n: number): Float64Array {
  const a = matrix.slice()
  const result = identity(n)
  for (let k = 0; k < n; k++) {
    const pivot = a[k * n + k]!
    for (let j = 0; j < n; j++) {
      a[k * n + j]! /= pivot
      result[k * n + j]! /= pivot
    }
    for (let i = 0; i < n; i++) {
      const factor = a[i * n + k]!
      if (i === k || factor === 0) continue
      for (let j = 0; j < n; j++) {
        a[i * n + j]! -= factor * a[k * n + j]!
        result[i * n + j]! -= factor * result[k * n + j]!
      }
    }
  }
  return result
}
