import type { Random } from '../../app/units.ts'
import { StateReader, StateWriter } from '../bytes.ts'
import { Front } from '../front.ts'
import { sigmoid } from '../head.ts'
import { normal, SeededRandom } from '../random.ts'
import type { InputColumn } from '../types.ts'
import { dot, exportExpected } from './linucb.ts'
import { type Bandit, type Choice, draw } from './types.ts'

export const THOMPSON = 'thompson'
const ARMS_MAX = 1_000

export interface ThompsonOptions {
  readonly inputs: readonly InputColumn[]
  readonly arms: number
  /** Precision of the weights before any reward. */
  readonly precision?: number
  /** Draws that an arm's probability is counted from. */
  readonly draws?: number
  /** Least probability of each arm: without it a log can't speak about arms that are hardly ever chosen. */
  readonly floor?: number
  readonly seed?: number
}

/**
 * Thompson sampling for a reward of 0 or 1, one logistic model an arm, weights w ~ N(m, 1/q).
 * Update, one reward at a time: m moves by one Newton step on ½·Σq(w − m)² + log loss; q += x²·p(1 − p). The probability of an
 * arm is how often it wins among `draws` samples, mixed with a floor; it is logged, so that the choice can be judged later.
 * Source: Chapelle & Li, "An empirical evaluation of Thompson sampling", NIPS 2011, algorithm 3.
 */
export class Thompson implements Bandit {
  readonly arms: number
  readonly #options: Required<ThompsonOptions>
  readonly #front: Front
  readonly #size: number
  readonly #mean: Float64Array[]
  readonly #precision: Float64Array[]
  readonly #x: Float64Array

  /** @throws RangeError for id columns, or impossible settings */
  constructor(options: ThompsonOptions) {
    this.#options = { precision: 1, draws: 200, floor: 0.01, seed: 1, ...options }
    const { arms, inputs, draws, floor, precision } = this.#options
    if (!(Number.isInteger(arms) && arms >= 2 && arms <= ARMS_MAX))
      throw new RangeError(`${arms} arms; 2 to ${ARMS_MAX}`)
    if (!(draws >= 10 && draws <= 10_000)) throw new RangeError(`${draws} draws; possible are 10 to 10,000`)
    if (!(floor >= 0 && floor * arms < 1)) throw new RangeError(`a floor of ${floor} for ${arms} arms exceeds 1`)
    if (!(precision > 0)) throw new RangeError(`precision is ${precision}; it must be above 0`)
    const id = inputs.find(({ kind }) => kind === 'id')
    if (id) throw new RangeError(`${id.name} is an id: Thompson sampling reads numbers. Encode it as onehot`)
    this.arms = arms
    this.#front = new Front(inputs)
    this.#size = this.#front.denseWidth + 1
    this.#mean = Array.from({ length: arms }, () => new Float64Array(this.#size))
    this.#precision = Array.from({ length: arms }, () => new Float64Array(this.#size).fill(precision))
    this.#x = new Float64Array(this.#size)
  }

  /** @throws Error when the bytes are damaged */
  static decode(bytes: Uint8Array): Thompson {
    const reader = new StateReader(bytes, THOMPSON)
    const bandit = new Thompson(JSON.parse(reader.text()) as ThompsonOptions)
    bandit.#front.load(reader)
    for (let arm = 0; arm < bandit.arms; arm++) {
      bandit.#mean[arm]!.set(reader.f64s(bandit.#size))
      bandit.#precision[arm]!.set(reader.f64s(bandit.#size))
    }
    reader.end()
    return bandit
  }

  encode(): Uint8Array {
    const writer = new StateWriter(THOMPSON).text(JSON.stringify(this.#options))
    this.#front.write(writer)
    for (let arm = 0; arm < this.arms; arm++) writer.f64s(this.#mean[arm]!).f64s(this.#precision[arm]!)
    return writer.done()
  }

  choose(x: Float32Array, random: Random): Choice {
    return draw(this.probabilities(x), random)
  }

  /** The same context and state give the same probabilities: the draws come from the seed. */
  probabilities(x: Float32Array): number[] {
    this.#read(x)
    const { draws, floor, seed } = this.#options
    // The sum of independent normals is one normal: a score is drawn, not each weight.
    const scores = this.#mean.map((mean, arm) => ({ mean: dot(mean, this.#x), deviation: this.#deviation(arm) }))
    const random = new SeededRandom(seed)
    const wins = new Float64Array(this.arms)
    for (let n = 0; n < draws; n++) {
      let best = 0
      let most = Number.NEGATIVE_INFINITY
      for (let arm = 0; arm < this.arms; arm++) {
        const score = scores[arm]!.mean + scores[arm]!.deviation * normal(() => random.next())
        if (score > most) {
          most = score
          best = arm
        }
      }
      wins[best]!++
    }
    return Array.from(wins, (count) => floor + (1 - floor * this.arms) * (count / draws))
  }

  expected(x: Float32Array): number[] {
    this.#read(x)
    return this.#mean.map((mean) => sigmoid(dot(mean, this.#x)))
  }

  learn(x: Float32Array, arm: number, reward: number): void {
    const [mean, precision] = [this.#mean[arm], this.#precision[arm]]
    if (!mean || !precision || !(reward === 0 || reward === 1)) return
    this.#read(x)
    const p = sigmoid(dot(mean, this.#x))
    const curvature = p * (1 - p)
    for (let i = 0; i < this.#size; i++) {
      const v = this.#x[i]!
      precision[i]! += v * v * curvature
      mean[i]! -= ((p - reward) * v) / precision[i]!
    }
    this.#front.observe(x)
  }

  #read(x: Float32Array): void {
    this.#front.read(x)
    this.#x.set(this.#front.dense)
    this.#x[this.#size - 1] = 1
  }

  #deviation(arm: number): number {
    let variance = 0
    for (let i = 0; i < this.#size; i++) variance += this.#x[i]! ** 2 / this.#precision[arm]![i]!
    return Math.sqrt(variance)
  }

  toOnnx(): Uint8Array {
    return exportExpected(THOMPSON, this.#options.inputs, this.#front, this.#mean, true)
  }
}
