import type { ByteReader, ByteWriter } from '../bytes.ts'
import type { Input } from '../input.ts'
import { numbers } from '../sized.ts'
import { type Aggregate, closeNumbers, dropFirst, openNumbers } from './aggregate.ts'

/**
 * A sum whose terms halve every half-life: s(t) = Σ v · 2^(−(t − ts) / H).
 * Kept as (s at t0, t0 = newest term), so that an event costs one power. Two terms are aligned to the later t0 before
 * they are added; independent of arrival order up to float rounding. Terms vanish after about 1,000 half-lives.
 * Column: t0 in epoch ms (−Infinity = no term yet), s.
 */
export class Decayed implements Aggregate<number[]> {
  readonly id: string
  readonly #halfLifeMs: number
  constructor(halfLifeMs: number) {
    this.id = `decayed:${halfLifeMs}`
    this.#halfLifeMs = halfLifeMs
  }
  newColumn(panes: number): number[] {
    return panes === 0 ? [] : numbers(panes * 2)
  }
  open(column: number[], at: number): void {
    openNumbers(column, at, 2)
    column[at * 2] = Number.NEGATIVE_INFINITY
  }
  drop(column: number[], count: number): void {
    dropFirst(column, count * 2)
  }
  join(column: number[], at: number): void {
    this.#include(column, at, column[at * 2 + 2]!, column[at * 2 + 3]!)
    closeNumbers(column, at + 1, 2)
  }
  /** The number of a count is 1: a track that reads no value gives 1. */
  add(column: number[], at: number, input: Input): void {
    this.#include(column, at, input.ts, input.number)
  }
  encode(column: number[], at: number, writer: ByteWriter, time: number): void {
    const newest = column[at * 2]!
    if (newest === Number.NEGATIVE_INFINITY) return writer.varint(0)
    writer.varint(time - newest + 1)
    writer.float64(column[at * 2 + 1]!)
  }
  decode(column: number[], at: number, reader: ByteReader, time: number): void {
    const age = reader.varint()
    column[at * 2] = age === 0 ? Number.NEGATIVE_INFINITY : time - age + 1
    column[at * 2 + 1] = age === 0 ? 0 : reader.float64()
  }
  /** Value at `at`; NaN when there was no term. Lifetime tracks have one pane. */
  fold(column: number[], from: number, to: number, at: number): number {
    if (from >= to || column[from * 2] === Number.NEGATIVE_INFINITY) return Number.NaN
    return column[from * 2 + 1]! * this.#decay(at - column[from * 2]!)
  }
  #include(column: number[], at: number, ts: number, value: number): void {
    const newest = column[at * 2]!
    const sum = column[at * 2 + 1]!
    if (ts > newest) {
      column[at * 2] = ts
      column[at * 2 + 1] = value + (sum === 0 ? 0 : sum * this.#decay(ts - newest))
    } else column[at * 2 + 1] = sum + value * this.#decay(newest - ts)
  }
  #decay(ageMs: number): number {
    return 2 ** (-ageMs / this.#halfLifeMs)
  }
}
