import type { ByteReader, ByteWriter } from '../bytes.ts'
import { corrupt } from '../bytes.ts'
import type { Input } from '../input.ts'
import { integers } from '../sized.ts'
import { type Aggregate, dropFirst, insertAt } from './aggregate.ts'

/** Bits of a value's hash (see `hash48`). */
const HASH_BITS = 48
/** Ranks are below 2^6 = 64: a register packs as `index · 64 + rank`. */
const RANKS = 64

/** Registers of one pane. Few: sorted list of `index · 64 + rank`. More than a quarter of all: one byte each. */
class Registers {
  list: number[]
  table: Uint8Array | undefined
  /** A cache and no part of the state: a busy key is packed in every batch, and most of its panes are past. */
  #packed: Uint8Array | undefined
  constructor(list: number[], table: Uint8Array | undefined) {
    this.list = list
    this.table = table
  }
  /** Its packed form while nothing is added. */
  get packed(): Uint8Array | undefined {
    return this.#packed
  }
  set packed(packed: Uint8Array | undefined) {
    this.#packed = packed
  }
}

/** Panes of fewer entries are packed anew each time: that is cheaper than to keep their bytes. */
const PACKED_FROM = 16

/** Stands in a column until its pane is decoded. */
const NO_REGISTERS = new Registers([], undefined)

/** Above this many entries in its lists, or with a table, a column keeps the union of its panes ready. */
const UNION_FROM = 64

/** Maximum of several panes' registers, with what an estimate needs counted on the way. */
class Union {
  readonly registers: Uint8Array
  /** How many registers have each rank; the empty ones have rank 0. */
  readonly counts: number[]
  readonly #precision: number
  constructor(precision: number) {
    this.#precision = precision
    this.registers = new Uint8Array(2 ** precision)
    this.counts = new Array<number>(HASH_BITS - precision + 2).fill(0)
    this.clear()
  }
  clear(): void {
    this.registers.fill(0)
    this.counts.fill(0)
    this.counts[0] = this.registers.length
  }
  include(index: number, rank: number): void {
    const known = this.registers[index]!
    if (rank <= known) return
    this.registers[index] = rank
    this.counts[known]!--
    this.counts[rank]!++
  }
  includePane({ list, table }: Registers): void {
    for (let i = 0; i < list.length; i++) this.include(list[i]! >>> 6, list[i]! & (RANKS - 1))
    if (table !== undefined) for (let i = 0; i < table.length; i++) this.include(i, table[i]!)
  }
  /**
   * Up to 2m values (where it is the better of the two): linear counting, m · ln(m / empty), rounded to a whole number.
   * Above: Ertl's improved estimate.
   */
  estimate(): number {
    const m = this.registers.length
    const empty = this.counts[0]!
    if (empty > m * Math.exp(-2)) return Math.round(m * Math.log(m / empty))
    const rankMax = HASH_BITS - this.#precision + 1
    let z = m * tau(1 - this.counts[rankMax]! / m)
    for (let k = rankMax - 1; k >= 1; k--) z = 0.5 * (z + this.counts[k]!)
    z += m * sigma(empty / m)
    return (m * m) / (2 * Math.LN2) / z
  }
}

/** Panes of one track. The union is a cache: it is no part of the state, and is made again when it is needed. */
class RegistersColumn {
  readonly panes: Registers[]
  #union: Union | undefined
  constructor(panes: number) {
    this.panes = panes === 0 ? [] : new Array<Registers>(panes).fill(NO_REGISTERS)
  }
  get union(): Union | undefined {
    return this.#union
  }
  set union(union: Union | undefined) {
    this.#union = union
  }
  isLarge(): boolean {
    let entries = 0
    for (let i = 0; i < this.panes.length; i++) {
      if (this.panes[i]!.table !== undefined) return true
      entries += this.panes[i]!.list.length
    }
    return entries > UNION_FROM
  }
}

/**
 * HyperLogLog: how many different values, with m = 2^precision registers; standard error 1.04 / √m.
 * Register and rank come from the 48-bit hash of the value; panes merge by maximum, so order never matters.
 * Column: one `Registers` a pane. Keys with many values keep the union of their panes: merging thirteen panes of 1,024
 * registers for every event cost 4 µs.
 * Sources: Flajolet et al. 2007; Ertl 2017 (arXiv 1702.01284), algorithm 6, for the estimate without bias tables.
 */
export class Distinct implements Aggregate<RegistersColumn> {
  readonly id: string
  readonly #precision: number
  readonly #registers: number
  readonly #rankMax: number
  readonly #listMax: number
  readonly #scratch: Union
  constructor(precision: number) {
    this.id = `distinct:${precision}`
    this.#precision = precision
    this.#registers = 2 ** precision
    this.#rankMax = HASH_BITS - precision + 1
    this.#listMax = this.#registers / 4
    this.#scratch = new Union(precision)
  }
  newColumn(panes: number): RegistersColumn {
    return new RegistersColumn(panes)
  }
  open({ panes }: RegistersColumn, at: number): void {
    insertAt(panes, at, new Registers([], undefined))
  }
  drop(column: RegistersColumn, count: number): void {
    dropFirst(column.panes, count)
    column.union = undefined
  }
  join({ panes }: RegistersColumn, at: number): void {
    const into = panes[at]!
    const { list, table } = panes[at + 1]!
    if (table !== undefined) {
      for (let i = 0; i < table.length; i++) if (table[i]! > 0) this.#include(into, i, table[i]!)
    }
    for (const entry of list) this.#include(into, entry >>> 6, entry & (RANKS - 1))
    panes.splice(at + 1, 1)
  }
  add(column: RegistersColumn, at: number, input: Input): void {
    for (let i = 0; i < input.size; i++) {
      const hash = input.hashes[i]!
      const index = hash & (this.#registers - 1)
      const rank = rankOf(hash, this.#precision)
      this.#include(column.panes[at]!, index, rank)
      column.union?.include(index, rank)
    }
  }
  encode({ panes }: RegistersColumn, at: number, writer: ByteWriter): void {
    const pane = panes[at]!
    if (pane.packed !== undefined) return writer.raw(pane.packed)
    const start = writer.length
    this.#encodePane(pane, writer)
    if (pane.table !== undefined || pane.list.length >= PACKED_FROM) pane.packed = writer.since(start)
  }
  #encodePane({ list, table }: Registers, writer: ByteWriter): void {
    if (table !== undefined) {
      writer.varint(this.#listMax + 1)
      for (let i = 0; i < table.length; i += 4) writeRanks(writer, table, i)
      return
    }
    writer.varint(list.length)
    let before = -1
    for (let i = 0; i < list.length; i++) {
      const rank = list[i]! & (RANKS - 1)
      const index = list[i]! >>> 6
      // Ranks of 4 and more come once in eight values: they take a byte of their own.
      writer.varint((index - before - 1) * 4 + Math.min(rank - 1, 3))
      if (rank >= 4) writer.byte(rank - 4)
      before = index
    }
  }
  decode({ panes }: RegistersColumn, at: number, reader: ByteReader): void {
    const size = reader.count(this.#listMax + 1)
    if (size > this.#listMax) {
      const table = new Uint8Array(this.#registers)
      for (let i = 0; i < table.length; i += 4) readRanks(reader, table, i, this.#rankMax)
      panes[at] = new Registers([], table)
      return
    }
    const list = integers(size)
    let index = -1
    for (let i = 0; i < size; i++) {
      const symbol = reader.varint()
      const gap = Math.floor(symbol / 4)
      const short = symbol % 4
      index += gap + 1
      const rank = short < 3 ? short + 1 : reader.byte() + 4
      if (index >= this.#registers || rank > this.#rankMax) throw corrupt('a register is out of range')
      list[i] = index * RANKS + rank
    }
    panes[at] = new Registers(list, undefined)
  }
  /** Estimate over panes [from, to); `to` is the end. */
  fold(column: RegistersColumn, from: number, to: number): number {
    if (from >= to) return 0
    if (from === 0 && column.union !== undefined) return column.union.estimate()
    const { panes } = column
    const union = from === 0 && column.isLarge() ? new Union(this.#precision) : this.#scratch
    union.clear()
    for (let i = from; i < to; i++) union.includePane(panes[i]!)
    if (union !== this.#scratch) column.union = union
    return union.estimate()
  }
  #include(pane: Registers, index: number, rank: number): void {
    const { list, table } = pane
    if (table !== undefined) {
      if (rank <= table[index]!) return
      table[index] = rank
      pane.packed = undefined
      return
    }
    let at = list.length
    while (at > 0 && list[at - 1]! >= index * RANKS) at--
    const known = list[at]
    if (known !== undefined && known < (index + 1) * RANKS) {
      if (rank <= (known & (RANKS - 1))) return
      list[at] = index * RANKS + rank
      pane.packed = undefined
      return
    }
    pane.packed = undefined
    insertAt(list, at, index * RANKS + rank)
    if (list.length <= this.#listMax) return
    pane.table = new Uint8Array(this.#registers)
    for (const entry of list) pane.table[entry >>> 6] = entry & (RANKS - 1)
    pane.list = []
  }
}

/** Trailing zeros of the hash above the register's bits, plus 1. */
export function rankOf(hash: number, precision: number): number {
  const low = ((hash % 0x1_0000_0000) >>> 0) >>> precision
  if (low !== 0) return trailingZeros(low) + 1
  const high = Math.floor(hash / 0x1_0000_0000)
  return 32 - precision + (high === 0 ? HASH_BITS - 32 : trailingZeros(high)) + 1
}

function trailingZeros(bits: number): number {
  return 31 - Math.clz32(bits & -bits)
}

function sigma(x: number): number {
  if (x === 1) return Number.POSITIVE_INFINITY
  let power = x
  let y = 1
  let z = x
  for (let before = -1; z !== before; ) {
    before = z
    power *= power
    z += power * y
    y += y
  }
  return z
}

function tau(x: number): number {
  if (x === 0 || x === 1) return 0
  let root = x
  let y = 1
  let z = 1 - x
  for (let before = -1; z !== before; ) {
    before = z
    root = Math.sqrt(root)
    y *= 0.5
    z -= (1 - root) ** 2 * y
  }
  return z / 3
}

/** Four ranks of six bits in three bytes. */
function writeRanks(writer: ByteWriter, table: Uint8Array, at: number): void {
  const bits = table[at]! | (table[at + 1]! << 6) | (table[at + 2]! << 12) | (table[at + 3]! << 18)
  writer.u16(bits & 0xffff)
  writer.byte(bits >>> 16)
}

function readRanks(reader: ByteReader, table: Uint8Array, at: number, rankMax: number): void {
  const bits = reader.u16() | (reader.byte() << 16)
  for (let k = 0; k < 4; k++) {
    const rank = (bits >>> (6 * k)) & 63
    if (rank > rankMax) throw corrupt('a register is out of range')
    table[at + k] = rank
  }
}
