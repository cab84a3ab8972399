import { StateReader, StateWriter } from './bytes.ts'

const KIND = 'leakage'
/** A feature that is this correlated with the label is the label, or was made of it. */
const SUSPICIOUS = 0.99

export interface Leak {
  readonly feature: string
  /** Of the value, or of the value being missing, with the label; −1 to 1. */
  readonly correlation: number
}

/**
 * Looks for features that equal the label: the value itself, or the mere fact that it is there. A model that is too good is
 * nearly always reading its own answer.
 */
export class LeakageCheck {
  readonly #names: readonly string[]
  readonly #least: number
  /** A pair of columns a feature: its value, and whether it is missing. Each: count, mean x, mean y, Sxx, Syy, Sxy. */
  #sums: Float64Array

  /** @param least labels before anything is said */
  constructor(names: readonly string[], least = 200) {
    this.#names = names
    this.#least = least
    this.#sums = new Float64Array(names.length * 2 * 6)
  }

  static decode(bytes: Uint8Array): LeakageCheck {
    const reader = new StateReader(bytes, KIND)
    const check = new LeakageCheck(JSON.parse(reader.text()) as string[], reader.u32())
    check.#sums = reader.f64s(check.#sums.length)
    reader.end()
    return check
  }

  encode(): Uint8Array {
    return new StateWriter(KIND).text(JSON.stringify(this.#names)).u32(this.#least).f64s(this.#sums).done()
  }

  add(x: Float32Array, y: number): void {
    for (let i = 0; i < this.#names.length; i++) {
      const value = x[i]!
      const isThere = Number.isFinite(value)
      if (isThere) this.#add(12 * i, value, y)
      this.#add(12 * i + 6, isThere ? 0 : 1, y)
    }
  }

  #add(at: number, x: number, y: number): void {
    const s = this.#sums
    const count = s[at]! + 1
    const dx = x - s[at + 1]!
    const dy = y - s[at + 2]!
    s[at] = count
    s[at + 1] = s[at + 1]! + dx / count
    s[at + 2] = s[at + 2]! + dy / count
    s[at + 3] = s[at + 3]! + dx * (x - s[at + 1]!)
    s[at + 4] = s[at + 4]! + dy * (y - s[at + 2]!)
    s[at + 5] = s[at + 5]! + dx * (y - s[at + 2]!)
  }

  /** The suspicious features, worst first. */
  leaks(): Leak[] {
    const found = this.#names.flatMap((feature, i) => {
      const [value, missing] = [this.#correlation(12 * i), this.#correlation(12 * i + 6)]
      const correlation = Math.abs(value) >= Math.abs(missing) ? value : missing
      return Math.abs(correlation) >= SUSPICIOUS ? [{ feature, correlation }] : []
    })
    return found.sort((a, b) => Math.abs(b.correlation) - Math.abs(a.correlation))
  }

  #correlation(at: number): number {
    const [count, , , xx, yy, xy] = this.#sums.subarray(at, at + 6) as unknown as number[] as [
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    return count >= this.#least && xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : 0
  }
}
