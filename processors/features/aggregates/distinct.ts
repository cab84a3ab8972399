import type { ByteReader, ByteWriter } from '../bytes.ts'
import { corrupt } from '../bytes.ts'
import type { Input } from '../input.ts'
import { type Aggregate, dropFirst } from './aggregate.ts'

/** Bits of a value's hash (see `hash48`). */
const HASH_BITS = 48
/** Ranks are below 2^6 = 64: a register packs as `index · 64 + rank`. */
const RANKS = 64

/** Registers of one pane. Few: sorted list of `index · 64 + rank`. More than a quarter of all: one byte each. */
interface Registers {
  list: number[]
  table: Uint8Array | undefined
}

/**
 * HyperLogLog: how many different values, with m = 2^precision registers; standard error 1.04 / √m.
 * Register and rank come from the 48-bit hash of the value; panes merge by maximum, so order never matters.
 * Column: one `Registers` a pane.
 * Sources: Flajolet et al. 2007; Ertl 2017 (arXiv 1702.01284), algorithm 6, for the estimate without bias tables.
 */
export class Distinct implements Aggregate<Registers[]> {
  readonly id: string
  readonly #precision: number
  readonly #registers: number
  readonly #rankMax: number
  readonly #listMax: number
  readonly #fold: Uint8Array
  constructor(precision: number) {
    this.id = `distinct:${precision}`
    this.#precision = precision
    this.#registers = 2 ** precision
    this.#rankMax = HASH_BITS - precision + 1
    this.#listMax = this.#registers / 4
    this.#fold = new Uint8Array(this.#registers)
  }
  newColumn(): Registers[] {
    return []
  }
  open(column: Registers[], at: number): void {
    column.splice(at, 0, { list: [], table: undefined })
  }
  drop(column: Registers[], count: number): void {
    dropFirst(column, count)
  }
  join(column: Registers[], at: number): void {
    const into = column[at]!
    const from = column[at + 1]!
    if (from.table !== undefined) {
      for (let i = 0; i < from.table.length; i++) if (from.table[i]! > 0) this.#include(into, i, from.table[i]!)
    } else for (const entry of from.list) this.#include(into, Math.floor(entry / RANKS), entry % RANKS)
    column.splice(at + 1, 1)
  }
  add(column: Registers[], at: number, input: Input): void {
    for (let i = 0; i < input.size; i++) {
      const hash = input.hashes[i]!
      const index = ((hash % 0x1_0000_0000) >>> 0) & (this.#registers - 1)
      this.#include(column[at]!, index, rankOf(hash, this.#precision))
    }
  }
  encode(column: Registers[], at: number, writer: ByteWriter): void {
    const { list, table } = column[at]!
    if (table !== undefined) {
      writer.varint(this.#listMax + 1)
      for (let i = 0; i < table.length; i += 4) writeRanks(writer, table, i)
      return
    }
    writer.varint(list.length)
    let before = -1
    for (let i = 0; i < list.length; i++) {
      const rank = list[i]! % RANKS
      const index = (list[i]! - rank) / RANKS
      // Ranks of 4 and more come once in eight values: they take a byte of their own.
      writer.varint((index - before - 1) * 4 + Math.min(rank - 1, 3))
      if (rank >= 4) writer.byte(rank - 4)
      before = index
    }
  }
  decode(column: Registers[], reader: ByteReader): void {
    const size = reader.count(this.#listMax + 1)
    if (size > this.#listMax) {
      const table = new Uint8Array(this.#registers)
      for (let i = 0; i < table.length; i += 4) readRanks(reader, table, i, this.#rankMax)
      column.push({ list: [], table })
      return
    }
    const list: number[] = []
    let index = -1
    for (let i = 0; i < size; i++) {
      const symbol = reader.varint()
      index += Math.floor(symbol / 4) + 1
      const rank = symbol % 4 < 3 ? (symbol % 4) + 1 : reader.byte() + 4
      if (index >= this.#registers || rank > this.#rankMax) throw corrupt('a register is out of range')
      list.push(index * RANKS + rank)
    }
    column.push({ list, table: undefined })
  }
  /** Estimate over panes [from, to). */
  fold(column: Registers[], from: number, to: number): number {
    if (from >= to) return 0
    const registers = this.#fold
    registers.fill(0)
    let used = 0
    for (let i = from; i < to; i++) {
      const { list, table } = column[i]!
      if (table !== undefined) used += mergeTable(registers, table)
      else used += mergeList(registers, list)
    }
    return estimate(registers, used, this.#precision)
  }
  #include(pane: Registers, index: number, rank: number): void {
    if (pane.table !== undefined) {
      if (rank > pane.table[index]!) pane.table[index] = rank
      return
    }
    const { list } = pane
    let at = list.length
    while (at > 0 && list[at - 1]! >= index * RANKS) at--
    const known = list[at]
    if (known !== undefined && known < (index + 1) * RANKS) {
      if (rank > known % RANKS) list[at] = index * RANKS + rank
      return
    }
    list.splice(at, 0, index * RANKS + rank)
    if (list.length <= this.#listMax) return
    pane.table = new Uint8Array(this.#registers)
    mergeList(pane.table, list)
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

function mergeTable(into: Uint8Array, from: Uint8Array): number {
  let opened = 0
  for (let i = 0; i < from.length; i++) {
    if (from[i]! <= into[i]!) continue
    if (into[i] === 0) opened++
    into[i] = from[i]!
  }
  return opened
}

function mergeList(into: Uint8Array, list: readonly number[]): number {
  let opened = 0
  for (let i = 0; i < list.length; i++) {
    const rank = list[i]! & (RANKS - 1)
    const index = list[i]! >>> 6
    if (rank <= into[index]!) continue
    if (into[index] === 0) opened++
    into[index] = rank
  }
  return opened
}

/**
 * Up to 2m values (where it is the better of the two): linear counting, m · ln(m / empty), rounded to a whole number.
 * Above: Ertl's improved estimate.
 */
function estimate(registers: Uint8Array, used: number, precision: number): number {
  const m = registers.length
  if (m - used > m * Math.exp(-2)) return Math.round(m * Math.log(m / (m - used)))
  const rankMax = HASH_BITS - precision + 1
  const counts = new Array<number>(rankMax + 1).fill(0)
  for (let i = 0; i < m; i++) counts[registers[i]!]!++
  let z = m * tau(1 - counts[rankMax]! / m)
  for (let k = rankMax - 1; k >= 1; k--) z = 0.5 * (z + counts[k]!)
  z += m * sigma(counts[0]! / m)
  return (m * m) / (2 * Math.LN2) / z
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
