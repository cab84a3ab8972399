import type { ByteReader, ByteWriter } from '../bytes.ts'
import type { Input } from '../input.ts'
import { numbers } from '../sized.ts'
import { toUnits } from '../units.ts'
import { type Aggregate, closeNumbers, dropFirst, openNumbers } from './aggregate.ts'

/** n and Σ in units (see units.ts). Column: two integers a pane. */
export class Total implements Aggregate<number[]> {
  readonly id: string
  readonly scale: number
  /** Results of the last `fold`. */
  n = 0
  sum = 0
  constructor(scale: number) {
    this.id = `total:${scale}`
    this.scale = scale
  }
  newColumn(panes: number): number[] {
    return panes === 0 ? [] : numbers(panes * 2)
  }
  open(column: number[], at: number): void {
    openNumbers(column, at, 2)
  }
  drop(column: number[], count: number): void {
    dropFirst(column, count * 2)
  }
  join(column: number[], at: number): void {
    column[at * 2]! += column[at * 2 + 2]!
    column[at * 2 + 1]! += column[at * 2 + 3]!
    closeNumbers(column, at + 1, 2)
  }
  add(column: number[], at: number, input: Input): void {
    column[at * 2]!++
    column[at * 2 + 1]! += toUnits(input.number, this.scale)
  }
  encode(column: number[], at: number, writer: ByteWriter): void {
    writer.varint(column[at * 2]!)
    writer.units(column[at * 2 + 1]!)
  }
  decode(column: number[], at: number, reader: ByteReader): void {
    column[at * 2] = reader.varint()
    column[at * 2 + 1] = reader.units()
  }
  /** Leaves n and Σ of panes [from, to) in `n` and `sum` (units). */
  fold(column: number[], from: number, to: number): void {
    let n = 0
    let sum = 0
    for (let i = from * 2; i < to * 2; i += 2) {
      n += column[i]!
      sum += column[i + 1]!
    }
    this.n = n
    this.sum = sum
  }
}

/** Σ in units alone, for ratios: a pane without events adds nothing, so n isn't needed. Column: one integer a pane. */
export class Sum implements Aggregate<number[]> {
  readonly id: string
  readonly scale: number
  constructor(scale: number) {
    this.id = `sum:${scale}`
    this.scale = scale
  }
  newColumn(panes: number): number[] {
    return panes === 0 ? [] : numbers(panes)
  }
  open(column: number[], at: number): void {
    openNumbers(column, at, 1)
  }
  drop(column: number[], count: number): void {
    dropFirst(column, count)
  }
  join(column: number[], at: number): void {
    column[at]! += column[at + 1]!
    closeNumbers(column, at + 1, 1)
  }
  add(column: number[], at: number, input: Input): void {
    column[at]! += toUnits(input.number, this.scale)
  }
  encode(column: number[], at: number, writer: ByteWriter): void {
    writer.units(column[at]!)
  }
  decode(column: number[], at: number, reader: ByteReader): void {
    column[at] = reader.units()
  }
  /** Σ of panes [from, to), in units. */
  fold(column: number[], from: number, to: number): number {
    let sum = 0
    for (let i = from; i < to; i++) sum += column[i]!
    return sum
  }
}
