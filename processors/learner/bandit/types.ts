import type { Random } from '../../app/units.ts'

/** A choice, with what must be logged for anybody to judge another policy by it later. */
export interface Choice {
  readonly arm: number
  /** μ(a|x): probability with which this arm was chosen. */
  readonly probability: number
  /** Probability of each arm, summing to 1. */
  readonly probabilities: readonly number[]
}

/** Chooses one of several arms for a context, and learns from the reward of the arm that was displayed. */
export interface Bandit {
  readonly arms: number
  /** @param x context, a number a column. @param random decides among the probabilities */
  choose(x: Float32Array, random: Random): Choice
  /** Probabilities of all arms without choosing: π(·|x) of off-policy evaluation. */
  probabilities(x: Float32Array): readonly number[]
  /** Expected reward of each arm: q̂(x, ·). */
  expected(x: Float32Array): readonly number[]
  /**
   * Learns from a reward. Call it for arms that were displayed and whose reward is final: a pending play is not a zero.
   * @param reward finite
   */
  learn(x: Float32Array, arm: number, reward: number): void
  encode(): Uint8Array
  /** float32 `features` [n, columns] → float32 `expected` [n, arms]. */
  toOnnx(): Uint8Array
}

/** Takes an arm by its probability. */
export function draw(probabilities: readonly number[], random: Random): Choice {
  let left = random()
  let arm = 0
  for (; arm < probabilities.length - 1; arm++) {
    left -= probabilities[arm]!
    if (left < 0) break
  }
  // Rounding may leave the last arm without any probability of its own.
  while (probabilities[arm] === 0) arm--
  return { arm, probability: probabilities[arm]!, probabilities }
}

/** μ of ε-greedy: ε/K for each, the rest for the best; ties share it evenly. */
export function greedy(scores: readonly number[], epsilon: number): number[] {
  const best = Math.max(...scores)
  const ties = scores.filter((it) => it === best).length
  return scores.map((it) => epsilon / scores.length + (it === best ? (1 - epsilon) / ties : 0))
}
