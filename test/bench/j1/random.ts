import type { Random } from '../../../processors/app/units.ts'

/** Draws ranks 0, 1, … with probability ∝ 1 / (rank + 1)^exponent. */
export class Zipf {
  readonly #cumulated: Float64Array

  constructor(count: number, exponent: number) {
    this.#cumulated = new Float64Array(count)
    let sum = 0
    for (let rank = 0; rank < count; rank++) {
      sum += (rank + 1) ** -exponent
      this.#cumulated[rank] = sum
    }
  }

  draw(random: Random): number {
    const at = random() * this.#cumulated.at(-1)!
    let low = 0
    let high = this.#cumulated.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#cumulated[middle]! < at) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Whole number in [0, below). */
export const below = (random: Random, bound: number): number => Math.floor(random() * bound)
