/**
 * The end of every learner: raw scores → prediction, and the gradient of the loss at the raw scores.
 * binary: σ, log loss, p − y. classes: softmax, log loss, p − [k = y]. number: identity, squared loss over the target in
 * its own mean and deviation so far. count: exp, Poisson loss, over the target divided by its mean so far.
 * Targets are scaled because the learners' rates are made for values around 1.
 */
import type { OnnxGraph } from '../onnx/graph.ts'
import type { StateReader, StateWriter } from './bytes.ts'
import type { Task } from './types.ts'

/** e^±20 times the mean is beyond any count that is worth a model; further out the gradient would only overflow. */
const LOG_RATE_MAX = 20
const CLASSES_MAX = 1_000

export class Head {
  readonly task: Task
  /** Raw scores of a row. */
  readonly width: number
  #count = 0
  #mean = 0
  #m2 = 0

  /** @throws RangeError for fewer than 2 or more than 1,000 classes */
  constructor(task: Task) {
    this.task = task
    this.width = task.kind === 'classes' ? task.classes : 1
    if (
      task.kind === 'classes' &&
      !(Number.isInteger(task.classes) && task.classes >= 2 && task.classes <= CLASSES_MAX)
    ) {
      throw new RangeError(`${task.classes} classes; possible are 2 to ${CLASSES_MAX}`)
    }
  }

  /** Whether a label can be learned. */
  accepts(y: number): boolean {
    switch (this.task.kind) {
      case 'binary':
        return y === 0 || y === 1
      case 'classes':
        return Number.isInteger(y) && y >= 0 && y < this.width
      case 'count':
        return Number.isFinite(y) && y >= 0
      case 'number':
        return Number.isFinite(y)
    }
  }

  /** Raw scores → predictions; both of length `width`, and they may be the same array. */
  activate(raw: Float64Array, into: Float64Array): void {
    switch (this.task.kind) {
      case 'binary':
        into[0] = sigmoid(raw[0]!)
        return
      case 'number':
        into[0] = this.#mean + this.#deviation * raw[0]!
        return
      case 'count':
        into[0] = this.#mean * Math.exp(cut(raw[0]!))
        return
      case 'classes':
        softmax(raw, into)
    }
  }

  /** Takes a label into the target's scale. Before `gradient`, so that the first label can't be a million deviations away. */
  observe(y: number): void {
    if (this.task.kind === 'binary' || this.task.kind === 'classes') return
    this.#count++
    const delta = y - this.#mean
    this.#mean += delta / this.#count
    this.#m2 += delta * (y - this.#mean)
  }

  /** Gradient of the loss at the raw scores; `raw` and `into` may be the same array. */
  gradient(raw: Float64Array, y: number, into: Float64Array): void {
    switch (this.task.kind) {
      case 'binary':
        into[0] = sigmoid(raw[0]!) - y
        return
      case 'number':
        into[0] = raw[0]! - (y - this.#mean) / this.#deviation
        return
      case 'count':
        into[0] = Math.exp(cut(raw[0]!)) - (this.#mean > 0 ? y / this.#mean : 0)
        return
      case 'classes':
        softmax(raw, into)
        into[y] = into[y]! - 1
    }
  }

  get #deviation(): number {
    const variance = this.#count > 0 ? this.#m2 / this.#count : 0
    return variance > 0 ? Math.sqrt(variance) : 1
  }

  write(writer: StateWriter): void {
    writer.f64(this.#count, this.#mean, this.#m2)
  }

  load(reader: StateReader): void {
    this.#count = reader.f64()
    this.#mean = reader.f64()
    this.#m2 = reader.f64()
  }

  /** @param raw double [n, width]. @returns predictions, double [n, width] */
  append(graph: OnnxGraph, raw: string): string {
    const scalar = (value: number) => graph.constant([value], [])
    switch (this.task.kind) {
      case 'binary':
        return graph.node('Sigmoid', [raw])
      case 'number':
        return graph.node('Add', [graph.node('Mul', [raw, scalar(this.#deviation)]), scalar(this.#mean)])
      case 'count': {
        const bounded = graph.node('Clip', [raw, scalar(-LOG_RATE_MAX), scalar(LOG_RATE_MAX)])
        return graph.node('Mul', [graph.node('Exp', [bounded]), scalar(this.#mean)])
      }
      case 'classes':
        return graph.node('Softmax', [raw], { axis: { int: 1 } })
    }
  }
}

const cut = (raw: number): number => Math.min(LOG_RATE_MAX, Math.max(-LOG_RATE_MAX, raw))

export function sigmoid(raw: number): number {
  // e^−x overflows for very negative x, e^x for very positive ones.
  if (raw >= 0) return 1 / (1 + Math.exp(-raw))
  const e = Math.exp(raw)
  return e / (1 + e)
}

function softmax(raw: Float64Array, into: Float64Array): void {
  let most = Number.NEGATIVE_INFINITY
  for (let k = 0; k < raw.length; k++) if (raw[k]! > most) most = raw[k]!
  let sum = 0
  for (let k = 0; k < raw.length; k++) {
    const e = Math.exp(raw[k]! - most)
    into[k] = e
    sum += e
  }
  for (let k = 0; k < raw.length; k++) into[k] = into[k]! / sum
}
