/**
 * What the features of job J1 must be, computed by another way than the kernel's: every accepted event of a profile is
 * kept, sorted by time, with running totals; a window is two positions in it. No panes but for the distinct count, no
 * packed state, no shared code but the hash that ids and values are defined by. Fast enough for all events of a run;
 * `check.part.ts` holds it against the slow reference of the unit tests.
 */
import { hash48, SEED } from '../../../processors/features/hash.ts'
import type { RawClick } from './job.ts'

const S = 1_000
const M = 60 * S
const H = 60 * M
/** Length and hop of the job's windows. */
const WINDOW_5M = [5 * M, 20 * S] as const
const WINDOW_1H = [H, 5 * M] as const
const WINDOW_24H = [24 * H, 2 * H] as const
const HALF_LIFE_MS = 30 * M
const MICRO = 1e6
const TYPES = [
  'web.webpagedetails.pageViews',
  'commerce.productViews',
  'commerce.productListAdds',
  'commerce.purchases',
]
const LAST = 5

/** Columns in the order of the feature set. */
export const COLUMNS = 9 + LAST * TYPES.length
/** Sums of floats in another order differ in their last bits; all other columns must be equal to the bit. */
export const ACTIVITY = COLUMNS - 1

/** Running totals over the events before a position. */
interface Totals {
  amount: number
  amounts: number
  adds: number
  views: number
}

const NOTHING: Totals = { amount: 0, amounts: 0, adds: 0, views: 0 }

interface Event {
  readonly ts: number
  readonly tie: number
  readonly type: number
  readonly micros: number | undefined
}

/** The events of one profile. */
export class ExpectedProfile {
  readonly #events: Event[] = []
  /** Totals of the events up to and including the one at the same position. */
  readonly #totals: Totals[] = []
  readonly #skus = new DistinctSkus()
  #activity = 0
  #time = Number.NEGATIVE_INFINITY

  /** Takes the next event of the profile in log order. @returns the columns right after it */
  next(click: RawClick): Float32Array {
    const event = {
      ts: click.time,
      tie: Math.floor(hash48(click.id, SEED.id) / 2 ** 32),
      type: TYPES.indexOf(click.type),
      micros: click.amount === undefined ? undefined : Math.round(click.amount * MICRO),
    }
    this.#insert(event)
    const before = this.#time
    this.#time = Math.max(before, event.ts)
    const decayed = this.#activity === 0 ? 0 : this.#activity * 2 ** ((before - this.#time) / HALF_LIFE_MS)
    this.#activity = decayed + 2 ** ((event.ts - this.#time) / HALF_LIFE_MS)
    if (click.sku !== undefined) this.#skus.add(click.sku, event.ts)
    return this.#columns()
  }

  #insert(event: Event): void {
    const events = this.#events
    let at = events.length
    while (at > 0 && isBefore(event, events[at - 1]!)) at--
    events.splice(at, 0, event)
    this.#totals.length = at
    for (let index = at; index < events.length; index++) {
      const sum = this.#totals[index - 1] ?? NOTHING
      const { type, micros } = events[index]!
      this.#totals.push({
        amount: sum.amount + (micros ?? 0),
        amounts: sum.amounts + (micros === undefined ? 0 : 1),
        adds: sum.adds + (type === 2 ? 1 : 0),
        views: sum.views + (type === 1 ? 1 : 0),
      })
    }
  }

  #columns(): Float32Array {
    const events = this.#events
    const all = this.#totals.at(-1)!
    const hour = this.#startOf(WINDOW_1H)
    const before = this.#totals[hour - 1] ?? NOTHING
    const amount = (all.amount - before.amount) / MICRO
    const amounts = all.amounts - before.amounts
    const views = all.views - before.views
    const columns = new Float32Array(COLUMNS)
    columns[0] = events.length - this.#startOf(WINDOW_5M)
    columns[1] = events.length - hour
    columns[2] = events.length - this.#startOf(WINDOW_24H)
    columns[3] = amount
    columns[4] = amounts === 0 ? 0 : amount / amounts
    columns[5] = this.#skus.count(startMs(WINDOW_24H, this.#time))
    for (let n = 0; n < LAST; n++) {
      const event = events[events.length - 1 - n]
      if (event) columns[6 + n * TYPES.length + event.type] = 1
    }
    const rest = 6 + LAST * TYPES.length
    columns[rest] = views === 0 ? 0 : (all.adds - before.adds) / views
    // Seconds since the last event: the event at hand is the last one, or an older one came late.
    columns[rest + 1] = 0
    columns[ACTIVITY] = this.#activity
    return columns
  }

  /** Position of the first event that a window reads. */
  #startOf(window: readonly [number, number]): number {
    const start = startMs(window, this.#time)
    let low = 0
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#events[middle]!.ts < start) low = middle + 1
      else high = middle
    }
    return low
  }
}

const startMs = ([length, hop]: readonly [number, number], at: number): number => Math.floor((at - length) / hop) * hop

const isBefore = (a: Event, b: Event): boolean => a.ts < b.ts || (a.ts === b.ts && a.tie < b.tie)

const PRECISION = 10
const REGISTERS = 2 ** PRECISION
const RANKS = 48 - PRECISION + 2

/** HyperLogLog over a window: registers by two-hour pane, and their union for the window of the last question. */
class DistinctSkus {
  readonly #panes = new Map<number, Map<number, number>>()
  #union = new Map<number, number>()
  #unionFrom = Number.NEGATIVE_INFINITY
  #estimate: number | undefined

  add(sku: string, ts: number): void {
    const [register, rank] = placeOf(sku)
    const start = Math.floor(ts / WINDOW_24H[1]) * WINDOW_24H[1]
    const pane = this.#panes.get(start) ?? new Map<number, number>()
    this.#panes.set(start, pane)
    raise(pane, register, rank)
    if (start >= this.#unionFrom && raise(this.#union, register, rank)) this.#estimate = undefined
  }

  /** Estimate of the values at or after `from`, the start of a pane. */
  count(from: number): number {
    if (from !== this.#unionFrom) {
      this.#union = new Map()
      this.#unionFrom = from
      this.#estimate = undefined
      for (const [start, pane] of this.#panes) {
        if (start < from) this.#panes.delete(start)
        else for (const [register, rank] of pane) raise(this.#union, register, rank)
      }
    }
    this.#estimate ??= estimate(this.#union)
    return this.#estimate
  }
}

function raise(registers: Map<number, number>, register: number, rank: number): boolean {
  if ((registers.get(register) ?? 0) >= rank) return false
  registers.set(register, rank)
  return true
}

const places = new Map<string, readonly [number, number]>()

/** Register and rank of a value: the low bits choose, the first 1 above them counts. */
function placeOf(sku: string): readonly [number, number] {
  const known = places.get(sku)
  if (known) return known
  const hash = hash48(sku, SEED.text)
  let rest = Math.floor(hash / REGISTERS)
  let rank = 1
  while (rest % 2 === 0 && rank < RANKS - 1) {
    rest /= 2
    rank++
  }
  const place = [hash % REGISTERS, rank] as const
  places.set(sku, place)
  return place
}

/** Linear counting up to twice as many values as registers, then Ertl's estimator (2017, algorithm 6). */
function estimate(registers: ReadonlyMap<number, number>): number {
  const empty = REGISTERS - registers.size
  if (registers.size === 0) return 0
  if (empty > REGISTERS * Math.exp(-2)) return Math.round(REGISTERS * Math.log(REGISTERS / empty))
  const ofRank = new Array<number>(RANKS).fill(0)
  for (const rank of registers.values()) ofRank[rank]! += 1
  let z = 0
  for (let rank = RANKS - 2; rank >= 1; rank--) z = (z + ofRank[rank]! / REGISTERS) / 2
  let power = empty / REGISTERS
  let sigma = power
  for (let y = 1; power > 0; y *= 2) {
    power *= power
    sigma += power * y
  }
  return REGISTERS / (2 * Math.LN2) / (z + sigma)
}
