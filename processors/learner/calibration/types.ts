import type { OnnxGraph } from '../../onnx/graph.ts'

/** A map of probabilities to better ones. */
export interface Calibration {
  readonly method: 'platt' | 'isotonic'
  /** All there is to it, as numbers. */
  readonly parameters: readonly number[]
  apply(p: number): number
  /** @param p double [n, 1]. @returns double [n, 1] */
  append(graph: OnnxGraph, p: string): string
}
