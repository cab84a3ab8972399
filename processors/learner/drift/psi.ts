import { StateReader, StateWriter } from '../bytes.ts'

const KIND = 'psi'
/** A share of 0 would make the index infinite. */
const FLOOR = 1e-4

/**
 * Population stability index: Σ (a − e)·ln(a/e) over shares of bins.
 * @param expected counts of the reference, one a bin
 * @param actual counts of now
 */
export function stabilityIndex(expected: ArrayLike<number>, actual: ArrayLike<number>): number {
  let expectedSum = 0
  let actualSum = 0
  for (let i = 0; i < expected.length; i++) {
    expectedSum += expected[i]!
    actualSum += actual[i]!
  }
  let sum = 0
  for (let i = 0; i < expected.length; i++) {
    const e = Math.max(FLOOR, expected[i]! / expectedSum)
    const a = Math.max(FLOOR, actual[i]! / actualSum)
    sum += (a - e) * Math.log(a / e)
  }
  return sum
}

/** What two samples of the same population give on average: (bins − 1)·(1/n + 1/m). */
export const stabilityNoise = (bins: number, n: number, m: number): number => (bins - 1) * (1 / n + 1 / m)

export interface Stability {
  readonly psi: number
  /** What chance alone would give. */
  readonly noise: number
  /** `psi` without what chance gives; never below 0. Convention: above 0.1 watch, above 0.25 act. */
  readonly excess: number
  readonly labels: number
}

/**
 * Compares the last values of a stream with a reference: ten bins at the reference's quantiles, and one for missing values.
 * Bins of equal values are joined, so a constant has one bin and a flag has two.
 */
export class StabilityCheck {
  /** Upper ends of all bins but the last. */
  readonly #edges: Float64Array
  /** Counts of the reference: bins, then missing. */
  readonly #expected: Float64Array
  readonly #actual: Float64Array
  /** Bins of the last values: a ring. */
  readonly #ring: Uint8Array
  #added = 0

  private constructor(edges: Float64Array, expected: Float64Array, window: number) {
    this.#edges = edges
    this.#expected = expected
    this.#actual = new Float64Array(expected.length)
    this.#ring = new Uint8Array(window)
  }

  /** @param reference values that were normal; NaN = missing. @throws RangeError when it is empty */
  static of(reference: Float64Array, options: { bins?: number; window?: number } = {}): StabilityCheck {
    const { bins = 10, window = 1_000 } = options
    if (reference.length === 0) throw new RangeError('a reference wants at least one value')
    if (!(bins >= 2 && bins <= 200)) throw new RangeError(`${bins} bins; possible are 2 to 200`)
    const there = reference.filter((it) => !Number.isNaN(it)).sort()
    const quantiles = Array.from({ length: bins - 1 }, (_, i) => there[Math.ceil(((i + 1) * there.length) / bins) - 1]!)
    const edges = Float64Array.from(new Set(quantiles.filter((it) => it !== undefined && it < there.at(-1)!)))
    const check = new StabilityCheck(edges, new Float64Array(edges.length + 2), window)
    for (const value of reference) check.#expected[check.#binOf(value)]!++
    return check
  }

  static decode(bytes: Uint8Array): StabilityCheck {
    const reader = new StateReader(bytes, KIND)
    const [window, added] = [reader.u32(), reader.f64()]
    const edges = reader.f64s()
    const check = new StabilityCheck(edges, reader.f64s(edges.length + 2), window)
    check.#actual.set(reader.f64s(edges.length + 2))
    check.#ring.set(reader.bytes(window))
    check.#added = added
    reader.end()
    return check
  }

  encode(): Uint8Array {
    const writer = new StateWriter(KIND).u32(this.#ring.length).f64(this.#added)
    return writer.f64s(this.#edges).f64s(this.#expected).f64s(this.#actual).bytes(this.#ring).done()
  }

  /** The reference had one value only, or none but missing ones. */
  get isConstant(): boolean {
    return this.#expected.filter((count) => count > 0).length === 1 && this.#edges.length === 0
  }

  add(value: number): void {
    const at = this.#added % this.#ring.length
    if (this.#added >= this.#ring.length) this.#actual[this.#ring[at]!]!--
    const bin = this.#binOf(value)
    this.#ring[at] = bin
    this.#actual[bin]!++
    this.#added++
  }

  #binOf(value: number): number {
    const edges = this.#edges
    if (Number.isNaN(value)) return edges.length + 1
    let low = 0
    let high = edges.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (value <= edges[middle]!) high = middle
      else low = middle + 1
    }
    return low
  }

  /** @returns undefined before the first value */
  check(): Stability | undefined {
    const labels = Math.min(this.#added, this.#ring.length)
    if (labels === 0) return undefined
    const psi = stabilityIndex(this.#expected, this.#actual)
    const reference = this.#expected.reduce((sum, it) => sum + it, 0)
    const used = this.#expected.filter((count, i) => count > 0 || this.#actual[i]! > 0).length
    const noise = stabilityNoise(used, reference, labels)
    return { psi, noise, excess: Math.max(0, psi - noise), labels }
  }
}
