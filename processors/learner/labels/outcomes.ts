/**
 * What one profile did that may be the label of a sample: the state of the stream's label join. Samples themselves wait in
 * the log; only those that an outcome must find at once (fake-negative) are noted here, by their place.
 *
 * Pure: times come from the samples.
 */
import { StateReader, StateWriter } from '../bytes.ts'
import { combined, insertByTime, isNegativeLearned, type JoinRules } from './joiner.ts'

export interface StoredOutcome {
  readonly ts: number
  /** The partition's time when it came: it counts for a sample that wasn't settled by then. */
  readonly arrival: number
  readonly processedAt: number
  /** Hashes of the event's id and of what must match. */
  readonly id: number
  readonly match: number
  readonly value: number
}

/** A sample that was given as a negative and waits for its outcome. */
export interface NotedSample {
  readonly ts: number
  readonly id: number
  readonly match: number
  /** Where its features are: record and row of `samples`. */
  readonly offset: number
  readonly row: number
  /** Its positive copy has been given. */
  isCopied: boolean
}

interface OfLabel {
  /** By time, then arrival. */
  readonly outcomes: StoredOutcome[]
  readonly samples: NotedSample[]
}

export type Taken = 'taken' | 'late' | 'duplicate' | 'overflow'

/** Outcomes and noted samples of a profile and label. A bot has more; the oldest are forgotten, and that is counted. */
export const PROFILE_BOUND = 256

const KIND = 'outcomes'
/** Stands among the labels of a profile that was erased; no label of an application file begins with this character. */
const ERASED = '\u0000erased'
const NOTHING: OfLabel = { outcomes: [], samples: [] }

export class ProfileOutcomes {
  readonly #labels = new Map<string, OfLabel>()

  outcomes(label: string): readonly StoredOutcome[] {
    return (this.#labels.get(label) ?? NOTHING).outcomes
  }

  /** The person was erased: nothing is known any more, and samples that still wait are settled no more. */
  erase(): void {
    this.#labels.clear()
    this.#of(ERASED)
  }

  get isErased(): boolean {
    return this.#labels.has(ERASED)
  }

  /**
   * Takes an outcome.
   * @returns `late` when every sample that it could belong to is settled; the samples that it completes
   */
  addOutcome(label: string, outcome: StoredOutcome, rules: JoinRules): { taken: Taken; completes: NotedSample[] } {
    if (outcome.ts <= outcome.arrival - keptMs(rules)) return { taken: 'late', completes: [] }
    const { outcomes, samples } = this.#of(label)
    if (outcomes.some(({ id }) => id === outcome.id)) return { taken: 'duplicate', completes: [] }
    insertByTime(outcomes, outcome, ({ ts }) => ts)
    const isOver = outcomes.length > PROFILE_BOUND
    if (isOver) outcomes.shift()
    const completes = samples.filter((it) => !it.isCopied && outcome.value > 0 && belongs(it, outcome, rules))
    for (const sample of completes) sample.isCopied = true
    return { taken: isOver ? 'overflow' : 'taken', completes }
  }

  /**
   * Notes a sample for the outcomes to come.
   * @returns the outcome that has overtaken it, if any: then it is complete
   */
  addSample(
    label: string,
    sample: NotedSample,
    rules: JoinRules,
  ): { taken: Taken; outcome: StoredOutcome | undefined } {
    const { outcomes, samples } = this.#of(label)
    if (samples.some(({ id }) => id === sample.id)) return { taken: 'duplicate', outcome: undefined }
    const outcome = outcomes.find((it) => it.value > 0 && belongs(sample, it, rules))
    sample.isCopied = outcome !== undefined
    samples.push(sample)
    const isOver = samples.length > PROFILE_BOUND
    if (isOver) samples.shift()
    return { taken: isOver ? 'overflow' : 'taken', outcome }
  }

  /**
   * Forgets what can matter no more: outcomes by processing time, since a replay's event time runs far ahead of whoever
   * settles behind it; samples by event time.
   */
  forget(label: string, rules: JoinRules, before: { processedAt: number; time: number }): void {
    const own = this.#labels.get(label)
    if (!own) return
    removeWhere(own.outcomes, ({ processedAt }) => processedAt < before.processedAt)
    removeWhere(own.samples, ({ ts }) => ts + keptMs(rules) < before.time)
  }

  encode(): Buffer {
    const writer = new StateWriter(KIND).u32(this.#labels.size)
    for (const [label, { outcomes, samples }] of this.#labels) {
      writer.text(label).u32(outcomes.length)
      for (const { ts, arrival, processedAt, id, match, value } of outcomes) {
        writer.f64(ts, arrival, processedAt, id, match, value)
      }
      writer.u32(samples.length)
      for (const { ts, id, match, offset, row, isCopied } of samples) {
        writer
          .f64(ts, id, match, offset)
          .u32(row)
          .u32(isCopied ? 1 : 0)
      }
    }
    return Buffer.from(writer.done())
  }

  /** @throws Error when the bytes are damaged */
  static decode(bytes: Uint8Array): ProfileOutcomes {
    const reader = new StateReader(bytes, KIND)
    const profile = new ProfileOutcomes()
    for (let labels = reader.u32(); labels > 0; labels--) {
      const { outcomes, samples } = profile.#of(reader.text())
      for (let count = reader.u32(); count > 0; count--) {
        const [ts, arrival, processedAt] = [reader.f64(), reader.f64(), reader.f64()]
        outcomes.push({ ts, arrival, processedAt, id: reader.f64(), match: reader.f64(), value: reader.f64() })
      }
      for (let count = reader.u32(); count > 0; count--) {
        const [ts, id, match, offset] = [reader.f64(), reader.f64(), reader.f64(), reader.f64()]
        samples.push({ ts, id, match, offset, row: reader.u32(), isCopied: reader.u32() === 1 })
      }
    }
    reader.end()
    return profile
  }

  #of(label: string): OfLabel {
    let own = this.#labels.get(label)
    if (!own) {
      own = { outcomes: [], samples: [] }
      this.#labels.set(label, own)
    }
    return own
  }
}

/** From the time of a sample to its settling. */
export const keptMs = ({ windowMs, latenessMs }: JoinRules): number => windowMs + latenessMs

const belongs = (sample: { ts: number; match: number }, outcome: StoredOutcome, { windowMs }: JoinRules): boolean =>
  outcome.ts > sample.ts && outcome.ts <= sample.ts + windowMs && outcome.match === sample.match

export interface SettledSample {
  readonly y: number
  readonly weight: number
  /** Undefined: nothing came. */
  readonly outcomeTime: number | undefined
  /** To be learned as well, not only to be judged by. */
  readonly isLearned: boolean
}

/**
 * The label of a sample whose window is over. Outcomes that came after its settling have no say, however late this is
 * called, so that the answer is always the same.
 * @param sample `due`: time from which it waited
 * @returns undefined when nothing came and that is no label
 */
export function settle(
  sample: { readonly id: string; readonly ts: number; readonly due: number; readonly match: number },
  outcomes: readonly StoredOutcome[],
  rules: JoinRules,
): SettledSample | undefined {
  const settledAt = sample.due + keptMs(rules)
  const found = outcomes.filter((it) => it.arrival <= settledAt && belongs(sample, it, rules))
  const isWaitedFor = rules.policy === 'wait'
  if (found.length > 0) {
    const decides = rules.combine === 'first' ? found[0]! : found.at(-1)!
    return { y: combined(found, rules.combine), weight: 1, outcomeTime: decides.ts, isLearned: isWaitedFor }
  }
  if (Number.isNaN(rules.none)) return undefined
  const learned = isWaitedFor ? negative(sample.id, rules) : { isLearned: false, weight: 1 }
  return { y: rules.none, outcomeTime: undefined, ...learned }
}

/** How a sample without an outcome is learned: or not, when only a share of the negatives is. */
export function negative(
  id: string,
  { negatives }: Pick<JoinRules, 'negatives'>,
): { isLearned: boolean; weight: number } {
  const isLearned = isNegativeLearned(id, negatives)
  return { isLearned, weight: isLearned ? 1 / negatives : 1 }
}

function removeWhere<T>(list: T[], isGone: (item: T) => boolean): void {
  let kept = 0
  for (const item of list) if (!isGone(item)) list[kept++] = item
  list.length = kept
}
