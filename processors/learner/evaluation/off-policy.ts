/**
 * What would another policy have earned, from what the logged one did? Sources: Horvitz & Thompson 1952 (IPS); Swaminathan &
 * Joachims 2015 (SNIPS); Dudík, Langford & Li 2011 (DR).
 */
import { StateReader, StateWriter } from '../bytes.ts'

/** One logged decision. */
export interface Decision {
  /** Probability with which the logged policy chose the arm, μ(a|x) > 0. */
  readonly logged: number
  /** Probability with which the policy in question would choose that arm, π(a|x). */
  readonly target: number
  readonly reward: number
  /** For DR: q̂(x, a), the expected reward of the arm that was chosen, by a model. */
  readonly predicted?: number
  /** For DR: Σ π(a|x)·q̂(x, a) over all arms. */
  readonly predictedTarget?: number
}

export interface Estimate {
  readonly value: number
  /** Normal interval around it at the confidence asked for. */
  readonly low: number
  readonly high: number
}

export interface OffPolicyValue {
  readonly decisions: number
  readonly ips: Estimate
  readonly snips: Estimate
  /** Undefined when a decision came without predictions. */
  readonly dr: Estimate | undefined
  /** (Σw)²/Σw²: how many decisions of the policy itself would say as much. */
  readonly effectiveSampleSize: number
  /** Σw/n: near 1 when the logged probabilities are right. */
  readonly meanWeight: number
  /** Decisions whose weight was cut to the most. */
  readonly clipped: number
  /** False: too few effective decisions, or logged probabilities that can't be right; no verdict. */
  readonly isReliable: boolean
}

const KIND = 'off-policy'

export interface OffPolicyOptions {
  /** Most weight of one decision. */
  readonly weightMax?: number
  /** Least effective sample size of a verdict. */
  readonly effectiveMin?: number
}

/** Sums over logged decisions; all estimates in constant memory. */
export class OffPolicy {
  readonly #weightMax: number
  readonly #effectiveMin: number
  /** n, Σw, Σw², Σwr, Σ(wr)², Σw²r, Σw²r², Σdr, Σdr², decisions with predictions, clipped, refused */
  #sums = new Float64Array(12)

  constructor({ weightMax = 100, effectiveMin = 100 }: OffPolicyOptions = {}) {
    this.#weightMax = weightMax
    this.#effectiveMin = effectiveMin
  }

  static decode(bytes: Uint8Array): OffPolicy {
    const reader = new StateReader(bytes, KIND)
    const value = new OffPolicy({ weightMax: reader.f64(), effectiveMin: reader.f64() })
    value.#sums = reader.f64s(12)
    reader.end()
    return value
  }

  encode(): Uint8Array {
    return new StateWriter(KIND).f64(this.#weightMax, this.#effectiveMin).f64s(this.#sums).done()
  }

  /** Decisions that could not be used: without a probability, nothing can be said. */
  get refused(): number {
    return this.#sums[11]!
  }

  add({ logged, target, reward, predicted, predictedTarget }: Decision): void {
    const s = this.#sums
    if (!(logged > 0 && logged <= 1 && target >= 0 && target <= 1 && Number.isFinite(reward))) {
      s[11]!++
      return
    }
    const full = target / logged
    const w = Math.min(full, this.#weightMax)
    if (w < full) s[10]!++
    s[0]!++
    s[1]! += w
    s[2]! += w * w
    s[3]! += w * reward
    s[4]! += (w * reward) ** 2
    s[5]! += w * w * reward
    s[6]! += w * w * reward * reward
    if (predicted === undefined || predictedTarget === undefined) return
    const dr = predictedTarget + w * (reward - predicted)
    s[7]! += dr
    s[8]! += dr * dr
    s[9]!++
  }

  /** @param z half-width of the interval in standard errors; 1.96 = 95 % */
  value(z = 1.96): OffPolicyValue {
    const [n, w, w2, wr, wr2, w2r, w2r2, dr, dr2, withPrediction, clipped] = this.#sums as unknown as number[] as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    const snips = wr / w
    // Delta method for a ratio: Σ w²(r − v)² / (Σw)².
    const snipsError = Math.sqrt(Math.max(0, w2r2 - 2 * snips * w2r + snips * snips * w2)) / w
    const effectiveSampleSize = w2 > 0 ? (w * w) / w2 : 0
    const meanWeight = w / n
    const weightError = Math.sqrt(Math.max(0, w2 / n - meanWeight * meanWeight) / n)
    return {
      decisions: n,
      ips: meanEstimate(n, wr, wr2, z),
      snips: { value: snips, low: snips - z * snipsError, high: snips + z * snipsError },
      dr: withPrediction === n && n > 0 ? meanEstimate(n, dr, dr2, z) : undefined,
      effectiveSampleSize,
      meanWeight,
      clipped,
      // Clipping lowers the mean weight on purpose, so only without it does its distance from 1 accuse the probabilities.
      isReliable:
        effectiveSampleSize >= this.#effectiveMin &&
        (clipped > 0 || Math.abs(meanWeight - 1) <= 4 * weightError + 1e-9),
    }
  }
}

function meanEstimate(n: number, sum: number, squares: number, z: number): Estimate {
  const value = sum / n
  const error = Math.sqrt(Math.max(0, squares / n - value * value) / Math.max(1, n - 1))
  return { value, low: value - z * error, high: value + z * error }
}
