/** Gathers what the ladder wants to know about one challenger, in bounded memory. Pure: time comes with each call. */
import type { EpochMs } from '../../app/units.ts'
import { StateReader, StateWriter } from '../bytes.ts'
import { StabilityCheck } from '../drift/psi.ts'
import { logLoss } from '../evaluation/binary.ts'
import { Comparison, type ComparisonOptions } from '../evaluation/comparison.ts'
import { RankingWindow } from '../evaluation/ranking.ts'
import type { Task } from '../types.ts'
import type { Evidence, GateRules } from './ladder.ts'

const KIND = 'contest'
/** Scores that are kept, and labels of the calibration. */
const WINDOW = 2_000
/** Scores that count as "before the step". */
const REFERENCE = 500
/** Labels of the live loss and of what it is compared with: short, so that a turn shows while it is young. */
const LOSS_WINDOW = 400
/** Latencies: bins of 5 % from 10 µs. */
const LATENCY_BINS = 400
const LATENCY_BASE = Math.log(1.05)
const LATENCY_LEAST_MS = 0.01

export type Loss = 'logLoss' | 'brier' | 'squaredError'

/** Loss of one prediction. */
export function lossOf(loss: Loss, prediction: number, y: number): number {
  return loss === 'logLoss' ? logLoss(prediction, y) : (prediction - y) ** 2
}

export interface ContestOptions extends ComparisonOptions {
  readonly loss: Loss
}

/** The contest that a learner's definition asks for. */
export function contestOptions({ metric, margin, confidence }: GateRules, task: Task): ContestOptions {
  const isQuantity = task.kind === 'number' || task.kind === 'count'
  return { loss: metric ?? (isQuantity ? 'squaredError' : 'logLoss'), margin, alpha: 1 - confidence }
}

export class Contest {
  readonly #options: ContestOptions
  #comparison: Comparison
  #calibration = new RankingWindow(WINDOW)
  /** The last scores of the challenger. */
  #scores = new Float64Array(WINDOW)
  #scored = 0
  #failed = 0
  #stability: StabilityCheck | undefined
  /** The challenger's last losses: a ring. */
  #losses = new Float64Array(LOSS_WINDOW)
  #lost = 0
  /** Mean and standard error of its loss before the step. */
  #reference = Float64Array.of(Number.NaN, 0)
  #latencies = new Float64Array(LATENCY_BINS)
  #lastLabelAt = Number.NaN

  constructor(options: ContestOptions) {
    this.#options = options
    this.#comparison = new Comparison(options)
  }

  static decode(bytes: Uint8Array): Contest {
    const reader = new StateReader(bytes, KIND)
    const contest = new Contest(JSON.parse(reader.text()) as ContestOptions)
    contest.#comparison = Comparison.decode(reader.bytes())
    contest.#calibration = RankingWindow.decode(reader.bytes())
    contest.#scored = reader.f64()
    contest.#failed = reader.f64()
    contest.#lastLabelAt = reader.f64()
    contest.#scores = reader.f64s(WINDOW)
    contest.#losses = reader.f64s(LOSS_WINDOW)
    contest.#lost = reader.f64()
    contest.#reference = reader.f64s(2)
    contest.#latencies = reader.f64s(LATENCY_BINS)
    const stability = reader.bytes()
    if (stability.length > 0) contest.#stability = StabilityCheck.decode(stability)
    reader.end()
    return contest
  }

  encode(): Uint8Array {
    return new StateWriter(KIND)
      .text(JSON.stringify(this.#options))
      .bytes(this.#comparison.encode())
      .bytes(this.#calibration.encode())
      .f64(this.#scored, this.#failed, this.#lastLabelAt)
      .f64s(this.#scores)
      .f64s(this.#losses)
      .f64(this.#lost)
      .f64s(this.#reference)
      .f64s(this.#latencies)
      .bytes(this.#stability?.encode() ?? new Uint8Array(0))
      .done()
  }

  /** The challenger has scored an event, in shadow or live. @param score NaN or undefined = it failed */
  score(score: number | undefined, latencyMs: number): void {
    const bin = Math.floor(Math.log(Math.max(1, latencyMs / LATENCY_LEAST_MS)) / LATENCY_BASE)
    this.#latencies[Math.min(LATENCY_BINS - 1, bin)]!++
    const at = this.#scored++ % WINDOW
    if (score === undefined || Number.isNaN(score)) {
      this.#failed++
      this.#scores[at] = Number.NaN
    } else this.#scores[at] = score
    this.#stability?.add(this.#scores[at]!)
  }

  /**
   * A label has settled.
   * @param champion what the champion had said: before the step the one that served, after it the former one, in shadow
   */
  label(at: EpochMs, profile: string, y: number, challenger: number, champion: number): void {
    if (!(at <= this.#lastLabelAt)) this.#lastLabelAt = at
    const { loss } = this.#options
    const own = lossOf(loss, challenger, y)
    const other = lossOf(loss, champion, y)
    this.#comparison.add(profile, other - own)
    if (y === 0 || y === 1) this.#calibration.add(challenger, y)
    this.#losses[this.#lost++ % LOSS_WINDOW] = own
  }

  /** The challenger has climbed: from here on its scores are compared with those before, and its labels count anew. */
  step(): void {
    if (this.#scored > 0) this.#stability = StabilityCheck.of(this.#lastScores(), { window: WINDOW / 2 })
    this.#comparison = new Comparison(this.#options)
    const { mean, error } = this.#recentLoss()
    // A model must keep what it promised in its first step, not in the last one.
    if (Number.isNaN(this.#reference[0]!)) this.#reference = Float64Array.of(mean, error)
    this.#lost = 0
    this.#scored = 0
    this.#failed = 0
    this.#latencies.fill(0)
  }

  /** Labels count anew: a learner is judged by what it has become, not by what it was while it knew nothing. */
  restart(): void {
    this.#comparison = new Comparison(this.#options)
  }

  /** What is normal moves with the world, slowly: what comes next is compared with the last scores and losses. */
  renew(): void {
    this.roll()
    const { mean, error } = this.#recentLoss()
    if (this.#lost >= LOSS_WINDOW) this.#reference = Float64Array.of(mean, error)
  }

  /** The same of the scores alone. */
  roll(): void {
    if (this.#scored >= REFERENCE) this.#stability = StabilityCheck.of(this.#lastScores(), { window: WINDOW / 2 })
  }

  /** A learner's earlier scores were those of an unripe version: only the newest ones say what is normal. */
  #lastScores(): Float64Array {
    const length = Math.min(this.#scored, REFERENCE)
    return Float64Array.from({ length }, (_, i) => this.#scores[(this.#scored - length + i) % WINDOW]!)
  }

  /** @param alarms of `LabelHealth` */
  evidence(at: EpochMs, alarms: readonly string[]): Evidence {
    const live = this.#recentLoss()
    const [referenceLoss, referenceError] = this.#reference as unknown as [number, number]
    const { calibrationError } = this.#calibration.summary()
    return {
      at,
      comparison: this.#comparison.result(),
      // Quantities have no probabilities to be calibrated.
      calibrationError: this.#options.loss === 'squaredError' ? 0 : calibrationError,
      latencyP99Ms: this.#p99(),
      errorRate: this.#scored > 0 ? this.#failed / this.#scored : 0,
      stability: this.#stability?.check(),
      liveLoss: live.mean,
      referenceLoss,
      lossError: Math.sqrt(live.error ** 2 + referenceError ** 2),
      lastLabelAt: Number.isNaN(this.#lastLabelAt) ? undefined : (this.#lastLabelAt as EpochMs),
      alarms,
    }
  }

  #recentLoss(): { mean: number; error: number } {
    const losses = this.#losses.subarray(0, Math.min(this.#lost, LOSS_WINDOW))
    const mean = losses.reduce((sum, it) => sum + it, 0) / losses.length
    const variance = losses.reduce((sum, it) => sum + (it - mean) ** 2, 0) / losses.length
    return { mean, error: Math.sqrt(variance / losses.length) }
  }

  #p99(): number {
    const total = this.#latencies.reduce((sum, it) => sum + it, 0)
    let above = 0
    for (let bin = LATENCY_BINS - 1; bin >= 0; bin--) {
      above += this.#latencies[bin]!
      if (above > total / 100) return LATENCY_LEAST_MS * Math.exp((bin + 1) * LATENCY_BASE)
    }
    return 0
  }
}
