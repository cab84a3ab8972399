import type { OnnxGraph } from '../../onnx/graph.ts'
import type { Calibration } from './types.ts'

/** Corners that are kept: finer steps than the noise of a window only cost time in the served model. */
const CORNERS_MAX = 100

export interface Isotonic extends Calibration {
  readonly method: 'isotonic'
}

/**
 * A rising line through corners (x, y), level outside of them.
 * @param parameters x₀, y₀, x₁, y₁ …, rising in x and not falling in y
 */
export function isotonic(parameters: readonly number[]): Isotonic {
  const xs = parameters.filter((_, i) => i % 2 === 0)
  const ys = parameters.filter((_, i) => i % 2 === 1)
  return {
    method: 'isotonic',
    parameters,
    apply(p) {
      if (p <= xs[0]!) return ys[0]!
      for (let i = 1; i < xs.length; i++) {
        if (p < xs[i]!) return ys[i - 1]! + ((p - xs[i - 1]!) / (xs[i]! - xs[i - 1]!)) * (ys[i]! - ys[i - 1]!)
      }
      return ys.at(-1)!
    },
    append: (graph, p) => appendIsotonic(graph, p, xs, ys),
  }
}

interface Block {
  x: number
  y: number
  weight: number
}

/**
 * The best rising fit to labels over scores: pool adjacent violators (Ayer et al. 1955). Each pool is a corner at its mean
 * score and mean label, and lines join them, so that different scores stay different.
 * @param weights importance of each, above 0; absent: 1
 */
export function fitIsotonic(
  scores: ArrayLike<number>,
  labels: ArrayLike<number>,
  weights?: ArrayLike<number>,
): Isotonic {
  const order = Array.from({ length: scores.length }, (_, i) => i).sort((a, b) => scores[a]! - scores[b]!)
  const blocks: Block[] = []
  for (let at = 0; at < order.length; ) {
    const x = scores[order[at]!]!
    const block: Block = { x, y: 0, weight: 0 }
    for (; at < order.length && scores[order[at]!] === x; at++) {
      const weight = weights?.[order[at]!] ?? 1
      block.y += weight * labels[order[at]!]!
      block.weight += weight
    }
    block.y /= block.weight
    merge(blocks, block)
  }
  if (blocks.length === 0) return isotonic([0.5, 0.5])
  return isotonic(thinned(blocks).flatMap(({ x, y }) => [x, y]))
}

function merge(blocks: Block[], block: Block): void {
  let current = block
  for (let last = blocks.at(-1); last && last.y >= current.y; last = blocks.at(-1)) {
    blocks.pop()
    current = joined(last, current)
  }
  blocks.push(current)
}

const joined = (a: Block, b: Block): Block => {
  const weight = a.weight + b.weight
  return { weight, x: (a.x * a.weight + b.x * b.weight) / weight, y: (a.y * a.weight + b.y * b.weight) / weight }
}

/** Neighbours are joined, the lightest first: it keeps the order, and so the rise. */
function thinned(blocks: Block[]): Block[] {
  while (blocks.length > CORNERS_MAX) {
    let best = 1
    for (let i = 2; i < blocks.length; i++) {
      if (weightAt(blocks, i) < weightAt(blocks, best)) best = i
    }
    blocks.splice(best - 1, 2, joined(blocks[best - 1]!, blocks[best]!))
  }
  return blocks
}

const weightAt = (blocks: readonly Block[], i: number): number => blocks[i - 1]!.weight + blocks[i]!.weight

/** y₀ + Σ (yᵢ − yᵢ₋₁) · clip((p − xᵢ₋₁)/(xᵢ − xᵢ₋₁), 0, 1) */
function appendIsotonic(graph: OnnxGraph, p: string, xs: readonly number[], ys: readonly number[]): string {
  const scalar = (value: number) => graph.constant([value], [])
  const first = graph.node('Mul', [p, scalar(0)])
  if (xs.length === 1) return graph.node('Add', [first, scalar(ys[0]!)])
  const steps = xs.slice(1).map((x, i) => ({ from: xs[i]!, length: x - xs[i]!, rise: ys[i + 1]! - ys[i]! }))
  const row = (values: readonly number[]) => graph.constant(values, [1, values.length])
  const away = graph.node('Sub', [p, row(steps.map(({ from }) => from))])
  const part = graph.node('Div', [away, row(steps.map(({ length }) => length))])
  const held = graph.node('Clip', [part, scalar(0), scalar(1)])
  const rises = graph.constant(
    steps.map(({ rise }) => rise),
    [steps.length, 1],
  )
  return graph.node('Add', [graph.node('MatMul', [held, rises]), scalar(ys[0]!)])
}
