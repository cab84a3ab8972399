import { StateReader, StateWriter } from '../bytes.ts'

const KIND = 'comparison'
/** Profiles with an unfinished sum at most; the one that was opened first is closed for a new one. */
const OPEN_MAX = 100_000

export interface ComparisonOptions {
  /** Chance of calling a difference where there is none, however often one looks. */
  readonly alpha?: number
  /** τ: deviation of the differences that are expected, in deviations of one cluster's difference. */
  readonly tau?: number
  /** Difference that is worth something: what is tested is mean − margin. */
  readonly margin?: number
  /** Clusters before a verdict. */
  readonly least?: number
}

export interface ComparisonResult {
  /** Labels. */
  readonly labels: number
  /** Profiles: the independent observations. */
  readonly clusters: number
  /** Mean difference champion's loss − challenger's loss of a label: above 0 the challenger is better. */
  readonly meanDifference: number
  /** Interval that holds at every look at once. */
  readonly low: number
  readonly high: number
  /** Likelihood ratio against "no difference beyond the margin". */
  readonly evidence: number
  readonly verdict: 'challenger' | 'champion' | 'undecided'
}

/**
 * Champion against challenger on the same labels. Differences of loss are summed by profile, because one profile's events
 * resemble each other: the profile is the observation, not the event. The verdict is a mixture sequential probability
 * ratio test, which may be looked at after each label: Λ_n = √(V/(V + nτ²))·exp(n²τ²·d̄²/(2V(V + nτ²))), stop at Λ_n ≥ 1/α.
 * Source: Johari, Koomen, Pekelis & Walsh, "Peeking at A/B tests", KDD 2017.
 */
export class Comparison {
  readonly #options: Required<ComparisonOptions>
  /** Σ difference and labels of each profile. */
  readonly #open = new Map<string, { sum: number; labels: number }>()
  /** Closed clusters: count, Σ d, Σ d², Σ labels, Σ d·labels, Σ labels² */
  #closed = new Float64Array(6)

  constructor({ alpha = 0.05, tau = 0.1, margin = 0, least = 30 }: ComparisonOptions = {}) {
    if (!(alpha > 0 && alpha < 1)) throw new RangeError(`alpha is ${alpha}; it must lie between 0 and 1`)
    this.#options = { alpha, tau, margin, least }
  }

  static decode(bytes: Uint8Array): Comparison {
    const reader = new StateReader(bytes, KIND)
    const comparison = new Comparison(JSON.parse(reader.text()) as ComparisonOptions)
    comparison.#closed = reader.f64s(6)
    for (let n = reader.u32(); n > 0; n--) {
      comparison.#open.set(reader.text(), { sum: reader.f64(), labels: reader.f64() })
    }
    reader.end()
    return comparison
  }

  encode(): Uint8Array {
    const writer = new StateWriter(KIND).text(JSON.stringify(this.#options)).f64s(this.#closed).u32(this.#open.size)
    for (const [profile, { sum, labels }] of this.#open) writer.text(profile).f64(sum, labels)
    return writer.done()
  }

  /** @param difference champion's loss − challenger's loss on one label; not finite = ignored */
  add(profile: string, difference: number): void {
    if (!Number.isFinite(difference)) return
    const cluster = this.#open.get(profile)
    if (cluster) {
      cluster.sum += difference
      cluster.labels++
      return
    }
    if (this.#open.size >= OPEN_MAX) {
      const [oldest, { sum, labels }] = this.#open.entries().next().value!
      this.#open.delete(oldest)
      account(this.#closed, sum, labels)
    }
    this.#open.set(profile, { sum: difference, labels: 1 })
  }

  result(): ComparisonResult {
    const sums = this.#closed.slice()
    for (const { sum, labels } of this.#open.values()) account(sums, sum, labels)
    const [n, d, d2, labels, dl, l2] = sums as unknown as number[] as [number, number, number, number, number, number]
    const { alpha, margin, least } = this.#options
    if (n === 0) {
      const none = { labels: 0, clusters: 0, meanDifference: Number.NaN, evidence: 1, verdict: 'undecided' } as const
      return { ...none, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY }
    }
    const mean = d / labels
    const size = labels / n
    // Residuals of the ratio Σd/Σlabels: profiles of many events must not pass for many profiles.
    const variance = (d2 - 2 * mean * dl + mean * mean * l2) / Math.max(1, n - 1) / (size * size)
    const tau2 = this.#options.tau ** 2 * variance
    const ratio = (shift: number) =>
      variance > 0
        ? Math.sqrt(variance / (variance + n * tau2)) *
          Math.exp((n * n * tau2 * (mean - shift) ** 2) / (2 * variance * (variance + n * tau2)))
        : mean === shift
          ? 1
          : Number.POSITIVE_INFINITY
    const half =
      variance > 0
        ? Math.sqrt(
            ((2 * variance * (variance + n * tau2)) / (n * n * tau2)) *
              Math.log(Math.sqrt((variance + n * tau2) / variance) / alpha),
          )
        : 0
    const evidence = ratio(margin)
    const isSure = n >= least && evidence >= 1 / alpha
    const verdict =
      isSure && mean > margin
        ? 'challenger'
        : n >= least && ratio(0) >= 1 / alpha && mean < 0
          ? 'champion'
          : 'undecided'
    return { labels, clusters: n, meanDifference: mean, low: mean - half, high: mean + half, evidence, verdict }
  }
}

function account(sums: Float64Array, sum: number, labels: number): void {
  sums[0]!++
  sums[1]! += sum
  sums[2]! += sum * sum
  sums[3]! += labels
  sums[4]! += sum * labels
  sums[5]! += labels * labels
}
