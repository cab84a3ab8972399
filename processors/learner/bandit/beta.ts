import { normal, SeededRandom } from '../random.ts'

/** What is known of an arm: how often it was displayed, and how often that was followed by a reward. */
export interface ArmCounts {
  readonly plays: number
  readonly rewards: number
}

export interface WinShareOptions {
  readonly draws?: number
  readonly seed?: number
}

/**
 * How often each arm wins when its rate of reward is drawn from Beta(1 + rewards, 1 + plays − rewards): the probabilities of
 * Thompson sampling without a context. The same counts give the same shares: the draws come from the seed. Resolution 1/draws.
 * A play whose reward is still to come counts as one without until it comes.
 * Source: Chapelle & Li, "An empirical evaluation of Thompson sampling", NIPS 2011, algorithm 2.
 * @returns one share an arm, summing to 1
 */
export function winShares(arms: readonly ArmCounts[], { draws = 500, seed = 1 }: WinShareOptions = {}): number[] {
  const seeded = new SeededRandom(seed)
  const random = () => seeded.next()
  const wins = new Float64Array(arms.length)
  for (let draw = 0; draw < draws; draw++) {
    let best = 0
    let most = -1
    for (const [arm, { plays, rewards }] of arms.entries()) {
      const won = gamma(1 + rewards, random)
      const lost = gamma(1 + Math.max(0, plays - rewards), random)
      const rate = won / (won + lost)
      if (rate > most) {
        most = rate
        best = arm
      }
    }
    wins[best]!++
  }
  return Array.from(wins, (count) => count / draws)
}

/**
 * A draw from Gamma(shape, 1).
 * @param shape at least 1
 * Source: Marsaglia & Tsang, "A simple method for generating gamma variables", ACM TOMS 26, 2000.
 */
function gamma(shape: number, random: () => number): number {
  const d = shape - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  // Each try is taken with a probability of more than 0.95.
  for (;;) {
    const x = normal(random)
    const v = (1 + c * x) ** 3
    if (v > 0 && Math.log(1 - random()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v
  }
}
