import { StateReader, StateWriter } from '../bytes.ts'

/** Predictions are held this far from 0 and 1 in the loss, and only there: one certain error must not make it infinite. */
export const LOSS_CLIP = 1e-15

/** −y·ln p − (1 − y)·ln(1 − p), in nats. */
export function logLoss(p: number, y: number): number {
  const bounded = Math.min(1 - LOSS_CLIP, Math.max(LOSS_CLIP, p))
  return y === 1 ? -Math.log(bounded) : -Math.log(1 - bounded)
}

/** Entropy of a base rate, in nats: the log loss of always predicting it. */
export const entropy = (rate: number): number =>
  rate <= 0 || rate >= 1 ? 0 : -rate * Math.log(rate) - (1 - rate) * Math.log(1 - rate)

export interface BinarySummary {
  /** Sum of weights: the number of labels, unless they fade. */
  readonly labels: number
  readonly positiveRate: number
  readonly logLoss: number
  /** Log loss over the entropy of the base rate: below 1 the model knows more than the rate. */
  readonly normalisedEntropy: number
  readonly brier: number
  /** At threshold 0.5. */
  readonly accuracy: number
  readonly precision: number
  readonly recall: number
  readonly f1: number
}

const KIND = 'binary-metrics'

/** Sums of a stream of predictions and labels. With fading, each label takes all before it times the factor. */
export class BinaryMetrics {
  readonly #fading: number
  /** weight, positives, loss, squared error, true and false positives, false negatives */
  #sums = new Float64Array(7)

  /** @param fading 1 = all labels count alike; 0.999 = about the last 1,000 count */
  constructor(fading = 1) {
    if (!(fading > 0 && fading <= 1)) throw new RangeError(`a fading factor lies in (0, 1]; this one is ${fading}`)
    this.#fading = fading
  }

  static decode(bytes: Uint8Array): BinaryMetrics {
    const reader = new StateReader(bytes, KIND)
    const metrics = new BinaryMetrics(reader.f64())
    metrics.#sums = reader.f64s(7)
    reader.end()
    return metrics
  }

  encode(): Uint8Array {
    return new StateWriter(KIND).f64(this.#fading).f64s(this.#sums).done()
  }

  /** @param isPositive the decision, where it isn't p ≥ 0.5 */
  add(p: number, y: number, isPositive = p >= 0.5): void {
    const sums = this.#sums
    if (this.#fading < 1) for (let i = 0; i < sums.length; i++) sums[i] = sums[i]! * this.#fading
    sums[0] = sums[0]! + 1
    sums[1] = sums[1]! + y
    sums[2] = sums[2]! + logLoss(p, y)
    sums[3] = sums[3]! + (p - y) ** 2
    if (isPositive) sums[y === 1 ? 4 : 5] = sums[y === 1 ? 4 : 5]! + 1
    else if (y === 1) sums[6] = sums[6]! + 1
  }

  summary(): BinarySummary {
    const [weight, positives, loss, squares, tp, fp, fn] = this.#sums as unknown as number[] as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    const rate = positives / weight
    return {
      labels: weight,
      positiveRate: rate,
      logLoss: loss / weight,
      normalisedEntropy: loss / weight / entropy(rate),
      brier: squares / weight,
      accuracy: (weight - fp - fn) / weight,
      precision: tp / (tp + fp),
      recall: tp / (tp + fn),
      f1: (2 * tp) / (2 * tp + fp + fn),
    }
  }
}
