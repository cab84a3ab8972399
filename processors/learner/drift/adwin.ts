import { StateReader, StateWriter } from '../bytes.ts'

const KIND = 'adwin'
/** Buckets of one size before two of them become one of twice the size. */
const BUCKETS = 5
/** Values between two looks for a cut. */
const CLOCK = 32
/** Values that either side of a cut must have. */
const SIDE_MIN = 5

interface Bucket {
  readonly count: number
  readonly sum: number
  /** Σ (value − mean)². */
  readonly m2: number
}

/**
 * ADWIN: a window that shrinks when its older and its younger part differ by more than chance allows. Memory grows with the
 * logarithm of the window's length. Values should lie in [0, 1]: the bound assumes it.
 * Source: Bifet & Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007: cut where
 * |μ₀ − μ₁| > √(2/m·σ²·ln(2·ln n/δ)) + 2/(3m)·ln(2·ln n/δ), 1/m = 1/n₀ + 1/n₁.
 */
export class Adwin {
  readonly #delta: number
  /** Oldest first; sizes fall by powers of two. */
  #buckets: Bucket[] = []
  #seen = 0
  #cuts = 0

  constructor(delta = 0.002) {
    if (!(delta > 0 && delta < 1)) throw new RangeError(`delta is ${delta}; it must lie between 0 and 1`)
    this.#delta = delta
  }

  static decode(bytes: Uint8Array): Adwin {
    const reader = new StateReader(bytes, KIND)
    const adwin = new Adwin(reader.f64())
    adwin.#seen = reader.f64()
    adwin.#cuts = reader.f64()
    for (let n = reader.u32(); n > 0; n--) {
      adwin.#buckets.push({ count: reader.f64(), sum: reader.f64(), m2: reader.f64() })
    }
    reader.end()
    return adwin
  }

  encode(): Uint8Array {
    const writer = new StateWriter(KIND).f64(this.#delta, this.#seen, this.#cuts).u32(this.#buckets.length)
    for (const { count, sum, m2 } of this.#buckets) writer.f64(count, sum, m2)
    return writer.done()
  }

  /** Values in the window. */
  get width(): number {
    return totalOf(this.#buckets).count
  }

  get mean(): number {
    const { count, sum } = totalOf(this.#buckets)
    return sum / count
  }

  /** Times that older values were dropped. */
  get cuts(): number {
    return this.#cuts
  }

  /** Takes a value; one that isn't finite is ignored. @returns true when the mean has changed: older values were dropped */
  add(value: number): boolean {
    if (!Number.isFinite(value)) return false
    this.#buckets.push({ count: 1, sum: value, m2: 0 })
    this.#compress()
    if (++this.#seen % CLOCK !== 0) return false
    let hasCut = false
    while (this.#cut()) hasCut = true
    if (hasCut) this.#cuts++
    return hasCut
  }

  #compress(): void {
    const buckets = this.#buckets
    let end = buckets.length
    while (end > 0) {
      const { count } = buckets[end - 1]!
      let start = end
      while (start > 0 && buckets[start - 1]!.count === count) start--
      if (end - start <= BUCKETS) return
      buckets.splice(start, 2, merged(buckets[start]!, buckets[start + 1]!))
      end = start + 1
    }
  }

  /** Drops the oldest bucket when any division of the window shows a difference. */
  #cut(): boolean {
    const whole = totalOf(this.#buckets)
    const logs = Math.log((2 * Math.log(whole.count)) / this.#delta)
    const variance = whole.m2 / whole.count
    let n0 = 0
    let sum0 = 0
    for (const { count, sum } of this.#buckets) {
      n0 += count
      sum0 += sum
      const n1 = whole.count - n0
      if (n1 < SIDE_MIN) return false
      if (n0 < SIDE_MIN) continue
      const inverse = 1 / n0 + 1 / n1
      const bound = Math.sqrt(2 * inverse * variance * logs) + (2 / 3) * inverse * logs
      if (Math.abs(sum0 / n0 - (whole.sum - sum0) / n1) > bound) {
        this.#buckets.shift()
        return true
      }
    }
    return false
  }
}

function merged(a: Bucket, b: Bucket): Bucket {
  const count = a.count + b.count
  const gap = a.sum / a.count - b.sum / b.count
  return { count, sum: a.sum + b.sum, m2: a.m2 + b.m2 + (gap * gap * a.count * b.count) / count }
}

const totalOf = (buckets: readonly Bucket[]): Bucket =>
  buckets.length === 0 ? { count: 0, sum: 0, m2: 0 } : buckets.reduce(merged)
