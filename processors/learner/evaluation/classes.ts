import { StateReader, StateWriter } from '../bytes.ts'
import { LOSS_CLIP } from './binary.ts'

export interface ClassesSummary {
  readonly labels: number
  readonly logLoss: number
  readonly accuracy: number
  /** Mean of the classes' F1, over the classes that occurred. */
  readonly macroF1: number
  /** Σ |confidence − hit rate| over bins of the chosen class's probability. */
  readonly calibrationError: number
}

const KIND = 'classes-metrics'
const BINS = 20

/** Confusion and loss of predicted classes. Calibration is that of the most probable class, in 20 bins of equal width. */
export class ClassesMetrics {
  readonly #classes: number
  /** A row a true class, a column a predicted one. */
  #confusion: Float64Array
  /** labels, loss */
  #sums = new Float64Array(2)
  /** labels, Σ confidence, hits; a bin each */
  #bins = new Float64Array(3 * BINS)

  constructor(classes: number) {
    this.#classes = classes
    this.#confusion = new Float64Array(classes * classes)
  }

  static decode(bytes: Uint8Array): ClassesMetrics {
    const reader = new StateReader(bytes, KIND)
    const metrics = new ClassesMetrics(reader.u32())
    metrics.#confusion = reader.f64s(metrics.#classes ** 2)
    metrics.#sums = reader.f64s(2)
    metrics.#bins = reader.f64s(3 * BINS)
    reader.end()
    return metrics
  }

  encode(): Uint8Array {
    const writer = new StateWriter(KIND).u32(this.#classes)
    return writer.f64s(this.#confusion).f64s(this.#sums).f64s(this.#bins).done()
  }

  add(probabilities: ArrayLike<number>, y: number): void {
    let best = 0
    for (let k = 1; k < this.#classes; k++) if (probabilities[k]! > probabilities[best]!) best = k
    const cell = y * this.#classes + best
    this.#confusion[cell] = this.#confusion[cell]! + 1
    this.#sums[0] = this.#sums[0]! + 1
    this.#sums[1] = this.#sums[1]! - Math.log(Math.max(LOSS_CLIP, probabilities[y]!))
    const bin = 3 * Math.min(BINS - 1, Math.floor(probabilities[best]! * BINS))
    this.#bins[bin] = this.#bins[bin]! + 1
    this.#bins[bin + 1] = this.#bins[bin + 1]! + probabilities[best]!
    if (best === y) this.#bins[bin + 2] = this.#bins[bin + 2]! + 1
  }

  summary(): ClassesSummary {
    const n = this.#classes
    const labels = this.#sums[0]!
    let hits = 0
    let f1 = 0
    let seen = 0
    for (let k = 0; k < n; k++) {
      const tp = this.#confusion[k * n + k]!
      let actual = 0
      let predicted = 0
      for (let j = 0; j < n; j++) {
        actual += this.#confusion[k * n + j]!
        predicted += this.#confusion[j * n + k]!
      }
      hits += tp
      if (actual === 0) continue
      seen++
      f1 += (2 * tp) / (actual + predicted)
    }
    let gap = 0
    for (let b = 0; b < BINS; b++) gap += Math.abs(this.#bins[3 * b + 1]! - this.#bins[3 * b + 2]!)
    return {
      labels,
      logLoss: this.#sums[1]! / labels,
      accuracy: hits / labels,
      macroF1: f1 / seen,
      calibrationError: gap / labels,
    }
  }
}
