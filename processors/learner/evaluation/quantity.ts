import { StateReader, StateWriter } from '../bytes.ts'

export interface QuantitySummary {
  readonly labels: number
  readonly meanLabel: number
  readonly rmse: number
  readonly mae: number
  /** 1 − squared error / variance of the labels: above 0 the model knows more than their mean. */
  readonly r2: number
  /** Σ prediction / Σ label: 1 = right on the whole. */
  readonly ratio: number
}

const KIND = 'quantity-metrics'

/** Errors of predicted numbers and counts. With fading, each label takes all before it times the factor. */
export class QuantityMetrics {
  readonly #fading: number
  /** weight, squared error, absolute error, Σ prediction, mean label, Σ (label − mean)² */
  #sums = new Float64Array(6)

  constructor(fading = 1) {
    if (!(fading > 0 && fading <= 1)) throw new RangeError(`a fading factor lies in (0, 1]; this one is ${fading}`)
    this.#fading = fading
  }

  static decode(bytes: Uint8Array): QuantityMetrics {
    const reader = new StateReader(bytes, KIND)
    const metrics = new QuantityMetrics(reader.f64())
    metrics.#sums = reader.f64s(6)
    reader.end()
    return metrics
  }

  encode(): Uint8Array {
    return new StateWriter(KIND).f64(this.#fading).f64s(this.#sums).done()
  }

  add(prediction: number, y: number): void {
    const sums = this.#sums
    const error = prediction - y
    const weight = sums[0]! * this.#fading + 1
    const delta = y - sums[4]!
    const mean = sums[4]! + delta / weight
    sums[0] = weight
    sums[1] = sums[1]! * this.#fading + error * error
    sums[2] = sums[2]! * this.#fading + Math.abs(error)
    sums[3] = sums[3]! * this.#fading + prediction
    sums[5] = sums[5]! * this.#fading + delta * (y - mean)
    sums[4] = mean
  }

  summary(): QuantitySummary {
    const [weight, squares, absolute, predicted, mean, m2] = this.#sums as unknown as number[] as [
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    return {
      labels: weight,
      meanLabel: mean,
      rmse: Math.sqrt(squares / weight),
      mae: absolute / weight,
      r2: 1 - squares / m2,
      ratio: predicted / (mean * weight),
    }
  }
}
