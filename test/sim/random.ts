import type { Random } from '../../processors/app/units.ts'

/** mulberry32: small, fast, and good enough to choose faults. One seed, one run. */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Choices from one source of randomness. */
export class Dice {
  readonly random: Random
  constructor(random: Random) {
    this.random = random
  }
  chance(probability: number): boolean {
    return this.random() < probability
  }
  between(low: number, high: number): number {
    return low + this.random() * (high - low)
  }
  integer(low: number, highInclusive: number): number {
    return low + Math.floor(this.random() * (highInclusive - low + 1))
  }
  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.random() * items.length)]
    if (item === undefined) throw new Error('pick from nothing')
    return item
  }
}
