import type { ByteReader, ByteWriter } from '../bytes.ts'
import { corrupt } from '../bytes.ts'
import type { Input } from '../input.ts'
import { toUnits } from '../units.ts'
import { type Aggregate, dropFirst, insertAt } from './aggregate.ts'

/**
 * A weight a text: counts, or sums in units. Column: one map a pane.
 * Exact while a pane has at most `capacity` texts. When one more comes, the text of least |weight| goes (of equals the
 * one that sorts last), but never the newcomer, so that a text that becomes frequent has a chance. What goes is
 * forgotten: weights are never too high, and beyond the capacity they depend on arrival order.
 */
export class Frequencies implements Aggregate<Map<string, number>[]> {
  readonly id: string
  readonly scale: number
  readonly #capacity: number
  readonly #fold = new Map<string, number>()
  constructor(capacity: number, scale: number) {
    this.id = `frequencies:${capacity}:${scale}`
    this.scale = scale
    this.#capacity = capacity
  }
  newColumn(panes: number): Map<string, number>[] {
    return panes === 0 ? [] : new Array<Map<string, number>>(panes).fill(NO_WEIGHTS)
  }
  open(column: Map<string, number>[], at: number): void {
    insertAt(column, at, new Map())
  }
  drop(column: Map<string, number>[], count: number): void {
    dropFirst(column, count)
  }
  join(column: Map<string, number>[], at: number): void {
    for (const [text, weight] of column[at + 1]!) this.#include(column[at]!, text, weight)
    column.splice(at + 1, 1)
  }
  add(column: Map<string, number>[], at: number, input: Input): void {
    const weight = toUnits(input.number, this.scale)
    for (let i = 0; i < input.size; i++) this.#include(column[at]!, input.texts[i]!, weight)
  }
  encode(column: Map<string, number>[], at: number, writer: ByteWriter): void {
    const weights = column[at]!
    writer.varint(weights.size)
    for (const text of [...weights.keys()].sort()) {
      writer.text(text)
      writer.units(weights.get(text)!)
    }
  }
  decode(column: Map<string, number>[], at: number, reader: ByteReader): void {
    const weights = new Map<string, number>()
    const size = reader.count(this.#capacity)
    for (let i = 0; i < size; i++) weights.set(reader.text(), reader.units())
    if (weights.size !== size) throw corrupt('a text stands twice in a map')
    column[at] = weights
  }
  /** Weights of panes [from, to); valid until the next fold. */
  fold(column: Map<string, number>[], from: number, to: number): ReadonlyMap<string, number> {
    if (to - from === 1) return column[from]!
    const weights = this.#fold
    weights.clear()
    for (let i = from; i < to; i++) {
      for (const [text, weight] of column[i]!) weights.set(text, (weights.get(text) ?? 0) + weight)
    }
    return weights
  }
  /** Weight of one text; NaN when no pane has it. */
  weightOf(column: Map<string, number>[], from: number, to: number, text: string): number {
    let sum = Number.NaN
    for (let i = from; i < to; i++) {
      const weight = column[i]!.get(text)
      if (weight !== undefined) sum = Number.isNaN(sum) ? weight : sum + weight
    }
    return sum
  }
  #include(weights: Map<string, number>, text: string, weight: number): void {
    const before = weights.get(text)
    if (before === undefined && weights.size >= this.#capacity) weights.delete(leastOf(weights))
    weights.set(text, (before ?? 0) + weight)
  }
}

/** Stands in a column until its pane is decoded. */
const NO_WEIGHTS = new Map<string, number>()

function leastOf(weights: ReadonlyMap<string, number>): string {
  let least = ''
  let size = Number.POSITIVE_INFINITY
  for (const [text, weight] of weights) {
    const magnitude = Math.abs(weight)
    if (magnitude < size || (magnitude === size && text > least)) {
      least = text
      size = magnitude
    }
  }
  return least
}
