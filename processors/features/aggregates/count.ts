import type { ByteReader, ByteWriter } from '../bytes.ts'
import { numbers } from '../sized.ts'
import { type Aggregate, closeNumbers, dropFirst, openNumbers } from './aggregate.ts'

/** How many events. Column: one integer a pane. */
class Count implements Aggregate<number[]> {
  readonly id = 'count'
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
  add(column: number[], at: number): void {
    column[at]!++
  }
  encode(column: number[], at: number, writer: ByteWriter): void {
    writer.varint(column[at]!)
  }
  decode(column: number[], at: number, reader: ByteReader): void {
    column[at] = reader.varint()
  }
  /** Events of panes [from, to). */
  fold(column: number[], from: number, to: number): number {
    let n = 0
    for (let i = from; i < to; i++) n += column[i]!
    return n
  }
}

export const countAggregate = new Count()
