import type { EpochMs, Ms } from '../../app/units.ts'
import { StateReader, StateWriter } from '../bytes.ts'
import { Adwin } from '../drift/adwin.ts'
import { type Leak, LeakageCheck } from '../leakage.ts'

const KIND = 'label-health'
/** Labels of one profile, as a share of all, above which it could steer the model. */
const DOMINANCE = 0.2
/** Labels over which a rise stays an alarm after it was seen. */
const ALARM_LABELS = 2_000
/** Profiles that are counted: the heaviest ones, by the space-saving rule of Metwally et al. 2005. */
const HEAVY = 100
/** Labels before shares mean anything. */
const LEAST = 500

export interface LabelFinding {
  readonly code:
    | 'labels-silent'
    | 'label-rate-changed'
    | 'error-risen'
    | 'labels-dominated'
    | 'labels-constant'
    | 'label-leak'
  readonly text: string
}

export interface HealthOptions {
  readonly features: readonly string[]
  readonly silenceMs: Ms
}

/**
 * Watches the labels themselves: a model can't be better than what it is taught. It sees a rate of positives or a loss of the
 * champion that changes (poisoned or broken labels), one profile that gives too large a share of them, a source that went
 * silent, one class only, and features that are the label.
 */
export class LabelHealth {
  readonly #options: HealthOptions
  #rate = new Adwin(0.0005)
  #loss = new Adwin(0.0005)
  #leakage: LeakageCheck
  readonly #heavy = new Map<string, number>()
  #labels = 0
  #positives = 0
  #firstAt = Number.NaN
  #lastAt = Number.NaN
  #rateAlarm = Number.NEGATIVE_INFINITY
  #lossAlarm = Number.NEGATIVE_INFINITY

  constructor(options: HealthOptions) {
    this.#options = options
    this.#leakage = new LeakageCheck(options.features)
  }

  static decode(bytes: Uint8Array): LabelHealth {
    const reader = new StateReader(bytes, KIND)
    const health = new LabelHealth(JSON.parse(reader.text()) as HealthOptions)
    health.#labels = reader.f64()
    health.#positives = reader.f64()
    health.#firstAt = reader.f64()
    health.#lastAt = reader.f64()
    health.#rateAlarm = reader.f64()
    health.#lossAlarm = reader.f64()
    health.#rate = Adwin.decode(reader.bytes())
    health.#loss = Adwin.decode(reader.bytes())
    health.#leakage = LeakageCheck.decode(reader.bytes())
    for (let n = reader.u32(); n > 0; n--) health.#heavy.set(reader.text(), reader.f64())
    reader.end()
    return health
  }

  encode(): Uint8Array {
    const writer = new StateWriter(KIND).text(JSON.stringify(this.#options))
    writer.f64(this.#labels, this.#positives, this.#firstAt, this.#lastAt, this.#rateAlarm, this.#lossAlarm)
    writer.bytes(this.#rate.encode()).bytes(this.#loss.encode()).bytes(this.#leakage.encode()).u32(this.#heavy.size)
    for (const [profile, count] of this.#heavy) writer.text(profile).f64(count)
    return writer.done()
  }

  get labels(): number {
    return this.#labels
  }

  get lastAt(): EpochMs | undefined {
    return Number.isNaN(this.#lastAt) ? undefined : (this.#lastAt as EpochMs)
  }

  /**
   * Takes a settled label.
   * @param y 0 or 1; other tasks: the label scaled into [0, 1]
   * @param prediction what the champion had said, on the same scale
   */
  add(at: EpochMs, profile: string, x: Float32Array, y: number, prediction: number): void {
    if (Number.isNaN(this.#firstAt)) this.#firstAt = at
    if (!(at <= this.#lastAt)) this.#lastAt = at
    this.#labels++
    if (y > 0) this.#positives++
    if (this.#rate.add(y)) this.#rateAlarm = this.#labels
    const before = this.#loss.mean
    // Only a rise is bad news; the error, not the log loss, because ADWIN assumes [0, 1].
    if (this.#loss.add(Math.abs(y - prediction)) && this.#loss.mean > before) this.#lossAlarm = this.#labels
    this.#leakage.add(x, y)
    this.#weigh(profile)
  }

  #weigh(profile: string): void {
    const count = this.#heavy.get(profile)
    if (count !== undefined || this.#heavy.size < HEAVY) {
      this.#heavy.set(profile, (count ?? 0) + 1)
      return
    }
    let least: [string, number] | undefined
    for (const entry of this.#heavy) if (least === undefined || entry[1] < least[1]) least = entry
    this.#heavy.delete(least![0])
    this.#heavy.set(profile, least![1] + 1)
  }

  leaks(): Leak[] {
    return this.#leakage.leaks()
  }

  /** Labels since the last change that a detector saw began, at most; undefined: none is an alarm now. */
  get labelsSinceChange(): number | undefined {
    const since = [
      ...(this.#labels - this.#rateAlarm < ALARM_LABELS ? [this.#rate.width] : []),
      ...(this.#labels - this.#lossAlarm < ALARM_LABELS ? [this.#loss.width] : []),
    ]
    return since.length === 0 ? undefined : Math.max(...since)
  }

  /** What is wrong now, in words; empty = nothing. Any of it stops promotions. */
  alarms(now: EpochMs): string[] {
    return this.findings(now).map(({ text }) => text)
  }

  /** What is wrong now; empty = nothing. */
  findings(now: EpochMs): LabelFinding[] {
    const alarms: LabelFinding[] = []
    const found = (code: LabelFinding['code'], text: string) => alarms.push({ code, text })
    if (this.#labels > 0 && now - this.#lastAt > this.#options.silenceMs) {
      found('labels-silent', `no label for ${Math.round((now - this.#lastAt) / 1_000)} s: its source is dead`)
    }
    if (this.#labels - this.#rateAlarm < ALARM_LABELS) found('label-rate-changed', 'the rate of the labels has changed')
    if (this.#labels - this.#lossAlarm < ALARM_LABELS) found('error-risen', "the champion's error has risen")
    if (this.#labels >= LEAST) {
      const [profile, most] = [...this.#heavy].reduce((a, b) => (b[1] > a[1] ? b : a))
      // Space saving over-estimates by at most labels / HEAVY.
      const share = (most - this.#labels / HEAVY) / this.#labels
      if (share > DOMINANCE) {
        const percent = Math.floor(share * 100)
        found('labels-dominated', `at least ${percent} % of the labels come from one profile (${profile.slice(0, 8)}…)`)
      }
      if (this.#positives === 0) found('labels-constant', 'every label is negative')
      if (this.#positives === this.#labels) found('labels-constant', 'every label is positive')
    }
    for (const { feature } of this.leaks()) found('label-leak', `feature ${feature} equals the label`)
    return alarms
  }
}
