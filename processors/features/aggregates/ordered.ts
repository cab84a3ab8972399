import type { ByteReader, ByteWriter } from '../bytes.ts'
import type { Input } from '../input.ts'
import { integers, numbers, texts } from '../sized.ts'
import { type Aggregate, dropFirst, insertAt } from './aggregate.ts'

/** Up to n values of a pane, best first, which is newest first when there are several. Three arrays instead of n objects. */
export interface Entries {
  readonly ts: number[]
  readonly tie: number[]
  readonly value: (number | string)[]
}

/**
 * The first value (n = 1), or the last n, by (event time, 16 bits of the id's hash, value). The value comes last in the
 * order so that even a collision of the 16 bits can't let arrival order decide.
 * Column: one `Entries` a pane.
 */
export class Ordered implements Aggregate<Entries[]> {
  readonly id: string
  readonly n: number
  readonly #text: boolean
  /** 1: newest first; −1: oldest first. */
  readonly #sign: number
  readonly #fold: Entries = newEntries()
  constructor(which: 'first' | 'last', n: number, type: 'number' | 'text') {
    this.id = `${which}:${n}:${type}`
    this.n = n
    this.#text = type === 'text'
    this.#sign = which === 'last' ? 1 : -1
  }
  newColumn(panes: number): Entries[] {
    return panes === 0 ? [] : new Array<Entries>(panes).fill(NO_ENTRIES)
  }
  open(column: Entries[], at: number): void {
    insertAt(column, at, newEntries())
  }
  drop(column: Entries[], count: number): void {
    dropFirst(column, count)
  }
  join(column: Entries[], at: number): void {
    this.#includeAll(column[at]!, column[at + 1]!)
    column.splice(at + 1, 1)
  }
  add(column: Entries[], at: number, input: Input): void {
    this.#include(column[at]!, input.ts, input.tie, this.#text ? input.text : input.number)
  }
  encode(column: Entries[], at: number, writer: ByteWriter, time: number): void {
    const { ts, tie, value } = column[at]!
    writer.varint(ts.length)
    let before = time
    for (let i = 0; i < ts.length; i++) {
      writer.varint(before - ts[i]!)
      writer.u16(tie[i]!)
      if (this.#text) writer.text(value[i] as string)
      else writer.number(value[i] as number)
      before = ts[i]!
    }
  }
  decode(column: Entries[], at: number, reader: ByteReader, time: number): void {
    const size = reader.count(this.n)
    const ts = numbers(size)
    const tie = integers(size)
    const value: (number | string)[] = this.#text ? texts(size) : numbers(size)
    let before = time
    for (let i = 0; i < size; i++) {
      before -= reader.varint()
      ts[i] = before
      tie[i] = reader.u16()
      value[i] = this.#text ? reader.text() : reader.number()
    }
    column[at] = { ts, tie, value }
  }
  /** Best values of panes [from, to), best first; valid until the next fold. */
  fold(column: Entries[], from: number, to: number): Entries {
    if (to - from === 1) return column[from]!
    const entries = this.#fold
    entries.ts.length = 0
    entries.tie.length = 0
    entries.value.length = 0
    for (let i = from; i < to; i++) this.#includeAll(entries, column[i]!)
    return entries
  }
  #includeAll(entries: Entries, more: Entries): void {
    for (let i = 0; i < more.ts.length; i++) this.#include(entries, more.ts[i]!, more.tie[i]!, more.value[i]!)
  }
  #include(entries: Entries, ts: number, tie: number, value: number | string): void {
    const { ts: times, tie: ties, value: values } = entries
    let at = times.length
    while (at > 0 && this.#isBetter(ts - times[at - 1]!, tie - ties[at - 1]!, value, values[at - 1]!)) at--
    if (at >= this.n) return
    if (times.length < this.n) {
      times.push(ts)
      ties.push(tie)
      values.push(value)
    }
    for (let i = times.length - 1; i > at; i--) {
      times[i] = times[i - 1]!
      ties[i] = ties[i - 1]!
      values[i] = values[i - 1]!
    }
    times[at] = ts
    ties[at] = tie
    values[at] = value
  }
  #isBetter(byTime: number, byTie: number, value: number | string, than: number | string): boolean {
    if (byTime !== 0) return byTime * this.#sign > 0
    if (byTie !== 0) return byTie * this.#sign > 0
    return this.#sign > 0 ? value > than : value < than
  }
}

/** Stands in a column until its pane is decoded. */
const NO_ENTRIES: Entries = newEntries()

function newEntries(): Entries {
  return { ts: [], tie: [], value: [] }
}
