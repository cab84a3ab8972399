import type { OnnxGraph } from '../../onnx/graph.ts'
import { sigmoid } from '../head.ts'
import type { Calibration } from './types.ts'

/** Log odds of certain predictions are finite in the fit. */
const CLIP = 1e-6

export const logit = (p: number): number => {
  const bounded = Math.min(1 - CLIP, Math.max(CLIP, p))
  return Math.log(bounded / (1 - bounded))
}

export interface Platt extends Calibration {
  readonly method: 'platt'
  /** p ↦ σ(slope · logit p + offset) */
  readonly parameters: readonly [slope: number, offset: number]
}

export function platt(slope: number, offset: number): Platt {
  return {
    method: 'platt',
    parameters: [slope, offset],
    apply: (p) => sigmoid(slope * logit(p) + offset),
    append: (graph, p) => appendPlatt(graph, p, slope, offset),
  }
}

/**
 * Fits slope and offset by Newton's method on the log loss, towards softened labels: (n₁ + 1)/(n₁ + 2) and 1/(n₀ + 2), so
 * that a perfectly separated sample has a finite answer. Source: Platt 1999; Lin, Lin & Weng 2007.
 * @param scores predictions of a model that had not learned these labels
 * @param weights importance of each; absent: 1
 */
export function fitPlatt(scores: ArrayLike<number>, labels: ArrayLike<number>, weights?: ArrayLike<number>): Platt {
  let positives = 0
  let negatives = 0
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] === 1) positives += weights?.[i] ?? 1
    else negatives += weights?.[i] ?? 1
  }
  const high = (positives + 1) / (positives + 2)
  const low = 1 / (negatives + 2)
  let slope = 1
  let offset = 0
  for (let round = 0; round < 50; round++) {
    // The ridge keeps the step finite when all scores are equal.
    let h11 = 1e-9
    let h22 = 1e-9
    let h12 = 0
    let g1 = 0
    let g2 = 0
    for (let i = 0; i < labels.length; i++) {
      const x = logit(scores[i]!)
      const p = sigmoid(slope * x + offset)
      const weight = weights?.[i] ?? 1
      const d = weight * (p - (labels[i] === 1 ? high : low))
      const w = weight * p * (1 - p)
      h11 += w * x * x
      h12 += w * x
      h22 += w
      g1 += d * x
      g2 += d
    }
    const determinant = h11 * h22 - h12 * h12
    if (!(determinant > 0)) break
    const step1 = (h22 * g1 - h12 * g2) / determinant
    const step2 = (h11 * g2 - h12 * g1) / determinant
    const size = Math.max(Math.abs(step1), Math.abs(step2))
    // Newton may overshoot where the curve is flat.
    const scale = size > 1 ? 1 / size : 1
    slope -= scale * step1
    offset -= scale * step2
    if (size < 1e-10) break
  }
  return platt(slope, offset)
}

function appendPlatt(graph: OnnxGraph, p: string, slope: number, offset: number): string {
  const scalar = (value: number) => graph.constant([value], [])
  const bounded = graph.node('Clip', [p, scalar(CLIP), scalar(1 - CLIP)])
  const odds = graph.node('Div', [bounded, graph.node('Sub', [scalar(1), bounded])])
  const raw = graph.node('Add', [graph.node('Mul', [graph.node('Log', [odds]), scalar(slope)]), scalar(offset)])
  return graph.node('Sigmoid', [raw])
}
