import type { ByteReader, ByteWriter } from '../bytes.ts'
import type { Input } from '../input.ts'
import { numbers } from '../sized.ts'
import { type Aggregate, closeNumbers, dropFirst, openNumbers } from './aggregate.ts'

/** The least or the greatest value. Column: one float64 a pane, NaN = none. Not invertible, so panes are folded, never subtracted. */
export class Extreme implements Aggregate<number[]> {
  readonly id: 'min' | 'max'
  readonly #sign: number
  constructor(which: 'min' | 'max') {
    this.id = which
    this.#sign = which === 'min' ? -1 : 1
  }
  newColumn(panes: number): number[] {
    return panes === 0 ? [] : numbers(panes)
  }
  open(column: number[], at: number): void {
    openNumbers(column, at, 1)
    column[at] = Number.NaN
  }
  drop(column: number[], count: number): void {
    dropFirst(column, count)
  }
  join(column: number[], at: number): void {
    column[at] = this.#better(column[at]!, column[at + 1]!)
    closeNumbers(column, at + 1, 1)
  }
  add(column: number[], at: number, input: Input): void {
    column[at] = this.#better(column[at]!, input.number)
  }
  encode(column: number[], at: number, writer: ByteWriter): void {
    writer.number(column[at]!)
  }
  decode(column: number[], at: number, reader: ByteReader): void {
    column[at] = reader.number()
  }
  /** NaN when panes [from, to) hold no value. */
  fold(column: number[], from: number, to: number): number {
    let best = Number.NaN
    for (let i = from; i < to; i++) best = this.#better(best, column[i]!)
    return best
  }
  #better(a: number, b: number): number {
    if (Number.isNaN(a)) return b
    return (b - a) * this.#sign > 0 ? b : a
  }
}
