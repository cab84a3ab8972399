import type { ByteReader, ByteWriter } from '../bytes.ts'
import type { Input } from '../input.ts'
import { numbers } from '../sized.ts'
import { toUnits } from '../units.ts'
import { type Aggregate, closeNumbers, dropFirst, openNumbers } from './aggregate.ts'

const WIDTH = 5

/**
 * n, Σx and Σx² of values in whole units, for a variance. The textbook form (Σx² − (Σx)²/n) loses all digits in float64
 * when the mean is large against the spread, and merging (n, mean, M2) depends on order. So both sums are kept as
 * double-doubles (106 bits): integers, exact in any order while Σx² < 2^106 units², and the difference is taken at that
 * precision. Beyond, the relative error of a sum is about 2^-104.
 * Column: n, Σx high, Σx low, Σx² high, Σx² low.
 * Source of the arithmetic: Dekker 1971, Knuth TAOCP 2 §4.2.2 (two-sum, two-product).
 */
export class Moments implements Aggregate<number[]> {
  readonly id: string
  readonly scale: number
  readonly #fold = [0, 0, 0, 0, 0]
  constructor(scale: number) {
    this.id = `moments:${scale}`
    this.scale = scale
  }
  newColumn(panes: number): number[] {
    return panes === 0 ? [] : numbers(panes * WIDTH)
  }
  open(column: number[], at: number): void {
    openNumbers(column, at, WIDTH)
  }
  drop(column: number[], count: number): void {
    dropFirst(column, count * WIDTH)
  }
  join(column: number[], at: number): void {
    mergeInto(column, at * WIDTH, column, (at + 1) * WIDTH)
    closeNumbers(column, at + 1, WIDTH)
  }
  add(column: number[], at: number, input: Input): void {
    const x = toUnits(input.number, this.scale)
    const base = at * WIDTH
    column[base]!++
    addTo(column, base + 1, x, 0)
    const square = x * x
    addTo(column, base + 3, square, productError(x, x, square))
  }
  encode(column: number[], at: number, writer: ByteWriter): void {
    writer.varint(column[at * WIDTH]!)
    for (let i = at * WIDTH + 1; i < (at + 1) * WIDTH; i++) writer.units(column[i]!)
  }
  decode(column: number[], at: number, reader: ByteReader): void {
    column[at * WIDTH] = reader.varint()
    for (let i = at * WIDTH + 1; i < (at + 1) * WIDTH; i++) column[i] = reader.units()
  }
  /** Population variance (÷ n) of panes [from, to); NaN when they hold no value. */
  fold(column: number[], from: number, to: number): number {
    const sum = this.#fold
    sum.fill(0)
    for (let i = from; i < to; i++) mergeInto(sum, 0, column, i * WIDTH)
    return varianceOf(sum[0]!, sum[1]!, sum[2]!, sum[3]!, sum[4]!) / this.scale / this.scale
  }
}

/** (n·Σx² − (Σx)²) / n², in double-double up to the last division. */
function varianceOf(n: number, sumHigh: number, sumLow: number, squareHigh: number, squareLow: number): number {
  if (n === 0) return Number.NaN
  const pair = [0, 0]
  const scaled = squareHigh * n
  addTo(pair, 0, scaled, productError(squareHigh, n, scaled) + squareLow * n)
  const squared = sumHigh * sumHigh
  addTo(pair, 0, -squared, -(productError(sumHigh, sumHigh, squared) + 2 * sumHigh * sumLow))
  return Math.max(0, (pair[0]! + pair[1]!) / n / n)
}

function mergeInto(into: number[], at: number, from: readonly number[], other: number): void {
  into[at]! += from[other]!
  addTo(into, at + 1, from[other + 1]!, from[other + 2]!)
  addTo(into, at + 3, from[other + 3]!, from[other + 4]!)
}

/** Adds a double-double to the one at `at`, `at + 1`; the result is normalised, so equal sums have equal parts. */
function addTo(pairs: number[], at: number, high: number, low: number): void {
  const a = pairs[at]!
  const sum = a + high
  const part = sum - a
  const error = a - (sum - part) + (high - part)
  const lowSum = pairs[at + 1]! + low
  const lowPart = lowSum - pairs[at + 1]!
  const lowError = pairs[at + 1]! - (lowSum - lowPart) + (low - lowPart)
  const middle = error + lowSum
  const newHigh = sum + middle
  const rest = middle - (newHigh - sum) + lowError
  const top = newHigh + rest
  pairs[at] = top
  pairs[at + 1] = rest - (top - newHigh)
}

const SPLITTER = 2 ** 27 + 1

/** a·b − fl(a·b), exactly. */
function productError(a: number, b: number, product: number): number {
  const aBig = a * SPLITTER
  const aHigh = aBig - (aBig - a)
  const aLow = a - aHigh
  const bBig = b * SPLITTER
  const bHigh = bBig - (bBig - b)
  const bLow = b - bHigh
  return aLow * bLow - (product - aHigh * bHigh - aLow * bHigh - aHigh * bLow)
}
