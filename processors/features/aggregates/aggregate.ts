import type { ByteReader, ByteWriter } from '../bytes.ts'
import type { Input } from '../input.ts'

/**
 * The state of one aggregate in all panes of a track, as one column. Columns are passed in, not owned: an aggregate is
 * part of the definitions and has no state of its own.
 * `C` is an array: numbers, `width` of them a pane, or one object a pane.
 */
export interface Aggregate<C = unknown> {
  /** Name with parameters, such as `distinct:10`: equal ids have equal states. Part of the layout. */
  readonly id: string
  /** @param panes how many there are, for `decode` to fill one after the other */
  newColumn(panes: number): C
  /** Makes room for an empty pane before pane `at`. */
  open(column: C, at: number): void
  /** Forgets the first `count` panes. */
  drop(column: C, count: number): void
  /** Adds pane `at + 1` to pane `at` and removes it: two sessions have become one. */
  join(column: C, at: number): void
  /** Adds an event to a pane. The value has been read in the way that the track wants. */
  add(column: C, at: number, input: Input): void
  /** Writes pane `at`. @param time the key's time: instants are written as ages */
  encode(column: C, at: number, writer: ByteWriter, time: number): void
  /** Reads pane `at`. @throws when the bytes can't be one */
  decode(column: C, at: number, reader: ByteReader, time: number): void
}

// Plain loops: on arrays of a dozen elements they are several times faster than splice and copyWithin, which end in
// generic native code.

/** Makes room for `width` zeros at pane `at`; almost always at the end. */
export function openNumbers(column: number[], at: number, width: number): void {
  const from = at * width
  for (let i = 0; i < width; i++) column.push(0)
  for (let i = column.length - 1; i >= from + width; i--) column[i] = column[i - width]!
  for (let i = from; i < from + width; i++) column[i] = 0
}

/** Removes `width` numbers of pane `at`. */
export function closeNumbers(column: number[], at: number, width: number): void {
  for (let i = (at + 1) * width; i < column.length; i++) column[i - width] = column[i]!
  column.length -= width
}

export function insertAt<T>(list: T[], at: number, value: T): void {
  list.push(value)
  for (let i = list.length - 1; i > at; i--) list[i] = list[i - 1]!
  list[at] = value
}

/** Removes the first `count` elements. */
export function dropFirst(list: unknown[], count: number): void {
  for (let i = count; i < list.length; i++) list[i - count] = list[i]
  list.length -= count
}
