import { StateReader, StateWriter } from '../bytes.ts'

const KIND = 'ddm'
const WARM_UP = 30
const WARNING = 2
const DRIFT = 3

export type DriftLevel = 'none' | 'warning' | 'drift'

/**
 * Drift detection method: watches a model's error rate p with s = √(p(1 − p)/n), and keeps the least p + s. It warns at
 * p + s > p_min + 2·s_min and calls drift at + 3·s_min, then starts anew. It sees sudden rises of the error, neither slow ones
 * nor improvement. Source: Gama, Medas, Castillo & Rodrigues, "Learning with drift detection", SBIA 2004.
 */
export class Ddm {
  #count = 0
  #rate = 0
  #leastRate = Number.POSITIVE_INFINITY
  #leastDeviation = Number.POSITIVE_INFINITY

  static decode(bytes: Uint8Array): Ddm {
    const reader = new StateReader(bytes, KIND)
    const ddm = new Ddm()
    ddm.#count = reader.f64()
    ddm.#rate = reader.f64()
    ddm.#leastRate = reader.f64()
    ddm.#leastDeviation = reader.f64()
    reader.end()
    return ddm
  }

  encode(): Uint8Array {
    return new StateWriter(KIND).f64(this.#count, this.#rate, this.#leastRate, this.#leastDeviation).done()
  }

  get errorRate(): number {
    return this.#rate
  }

  add(isError: boolean): DriftLevel {
    this.#count++
    this.#rate += ((isError ? 1 : 0) - this.#rate) / this.#count
    if (this.#count <= WARM_UP) return 'none'
    const deviation = Math.sqrt((this.#rate * (1 - this.#rate)) / this.#count)
    if (this.#rate + deviation < this.#leastRate + this.#leastDeviation) {
      this.#leastRate = this.#rate
      this.#leastDeviation = deviation
    }
    const level = this.#rate + deviation
    if (level > this.#leastRate + DRIFT * this.#leastDeviation) {
      this.#count = 0
      this.#rate = 0
      this.#leastRate = Number.POSITIVE_INFINITY
      this.#leastDeviation = Number.POSITIVE_INFINITY
      return 'drift'
    }
    return level > this.#leastRate + WARNING * this.#leastDeviation ? 'warning' : 'none'
  }
}
