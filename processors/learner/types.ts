import type { OnnxGraph } from '../onnx/graph.ts'

/** A column that a learner reads, in the order of its rows. */
export type InputColumn =
  /** A quantity: standardised; missing (NaN, ±∞) = the mean so far, and an indicator of its own. */
  | { readonly kind: 'number'; readonly name: string }
  /** A whole number 0 ≤ id < size, such as a hash bucket or a position in a vocabulary; anything else is "missing", a value of its own. */
  | { readonly kind: 'id'; readonly name: string; readonly size: number }

/**
 * What is predicted, and what `predict` gives:
 * binary → probability; number → value; count → expected count ≥ 0; classes → a probability a class.
 */
export type Task =
  | { readonly kind: 'binary' }
  | { readonly kind: 'number' }
  | { readonly kind: 'count' }
  | { readonly kind: 'classes'; readonly classes: number }

/** A model that learns from one example at a time. Deterministic: equal calls in equal order give equal bytes. */
export interface Learner {
  readonly inputs: readonly InputColumn[]
  readonly task: Task
  /** Examples that were learned. */
  readonly seen: number
  /**
   * @param x one row, a number a column of `inputs`
   * @returns probability, value or expected count; for classes the probability of the last class (of two: of class 1)
   */
  predict(x: Float32Array): number
  /** As `predict`, one number a class. The array is overwritten by the next call. */
  predictAll(x: Float32Array): Float64Array
  /**
   * Learns one example. Not-finite labels and weights ≤ 0 are ignored (and not counted in `seen`).
   * @param y binary: 0 or 1; classes: 0 … classes − 1; count: ≥ 0
   * @param weight importance; 1 = plain
   */
  learn(x: Float32Array, y: number, weight?: number): void
  /** Packed checkpoint: `decodeLearner(encode())` goes on exactly like this one. */
  encode(): Uint8Array
  /** ONNX file: float32 `features` [n, columns] → float32 `score` [n, 1], or `probabilities` [n, classes]. */
  toOnnx(): Uint8Array
}

/** A learner that can be part of a larger model. */
export interface ExportableLearner extends Learner {
  /** Appends the whole model. @returns predictions, double [n, 1] or [n, classes] */
  appendTo(graph: OnnxGraph, features: string): string
}
