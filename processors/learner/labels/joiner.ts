/**
 * Joins samples (what was scored) with outcomes (what came of it) of the same profile.
 *
 * A sample at time t is labelled by the outcomes with t < time ≤ t + window and an equal `match`. It is settled when the
 * watermark has passed t + window + lateness: only then is "nothing came" known. With `fake-negative` it is learned at
 * once as a negative, and once more when its first outcome arrives; settling then serves evaluation only.
 *
 * Pure: time is the watermark that the caller gives. State is bounded: a sample beyond `samplesMax` is counted and left out.
 * An outcome beyond `outcomesPerProfile` or `outcomesMax` is counted as well, and that count is an alarm: samples that it
 * belonged to may be settled without it.
 */
import { StateReader, StateWriter } from '../bytes.ts'
import { Heap } from '../heap.ts'
import { unitHash } from './hash.ts'

export interface JoinRules {
  readonly windowMs: number
  /** How long after the window an outcome may still arrive. */
  readonly latenessMs: number
  readonly policy: 'wait' | 'fake-negative'
  readonly combine: 'first' | 'last' | 'sum' | 'count'
  /** Share of negatives that is learned, 0 < share ≤ 1; each weighs 1/share. */
  readonly negatives: number
  /** Label of a sample without an outcome; NaN = it has none and is not learned. */
  readonly none: number
}

/** @typeParam P what the caller wants back with the label: the served row, the prediction… */
export interface Sample<P> {
  /** Id of the event. A second sample with the id of a pending one is a duplicate. */
  readonly id: string
  readonly profile: string
  readonly ts: number
  readonly match: string
  readonly payload: P
}

export interface Outcome {
  /** Id of the event. A second outcome of the profile with this id is a duplicate. */
  readonly id: string
  readonly profile: string
  readonly ts: number
  readonly match: string
  readonly value: number
}

export type Joined<P> =
  /** To be learned. `weight` corrects for the sampling of negatives; the correction of fake negatives depends on the model and is the learner's. */
  | { readonly kind: 'example'; readonly sample: Sample<P>; readonly y: number; readonly weight: number }
  /** The true label, once a sample: to be evaluated. */
  | { readonly kind: 'settled'; readonly sample: Sample<P>; readonly y: number }

export interface JoinCounts {
  samples: number
  outcomes: number
  settled: number
  positives: number
  duplicateSamples: number
  duplicateOutcomes: number
  /** Outcomes that came after a sample they belong to was settled. */
  lateOutcomes: number
  /** Samples that came after their own settling time: their outcomes may be forgotten. */
  lateSamples: number
  /** Samples that were left out because too many were pending. */
  overflowSamples: number
  /** Outcomes that were forgotten, or not taken, because there were too many. */
  overflowOutcomes: number
}

export interface JoinBounds {
  readonly samplesMax: number
  readonly outcomesMax: number
  readonly outcomesPerProfile: number
}

export const JOIN_BOUNDS: JoinBounds = { samplesMax: 1_000_000, outcomesMax: 1_000_000, outcomesPerProfile: 1_000 }

interface Pending<P> {
  readonly sample: Sample<P>
  /** Fake-negative: its positive copy has been emitted. */
  copied: boolean
}

interface Profile<P> {
  /** By time. */
  readonly pending: Pending<P>[]
  readonly pendingIds: Set<string>
  /** By time, then arrival. */
  readonly outcomes: Outcome[]
}

interface Expiry {
  readonly ts: number
  readonly profile: string
}

const KIND = 'label-joiner'
const COUNTS = [
  'samples',
  'outcomes',
  'settled',
  'positives',
  'duplicateSamples',
  'duplicateOutcomes',
  'lateOutcomes',
  'lateSamples',
  'overflowSamples',
  'overflowOutcomes',
] as const satisfies readonly (keyof JoinCounts)[]

export class LabelJoiner<P> {
  readonly rules: JoinRules
  readonly counts: JoinCounts = Object.fromEntries(COUNTS.map((name) => [name, 0])) as unknown as JoinCounts
  readonly #bounds: JoinBounds
  readonly #profiles = new Map<string, Profile<P>>()
  /** Pending samples, the one to settle first on top. */
  readonly #heap = new Heap<Pending<P>>(
    (a, b) => a.sample.ts < b.sample.ts || (a.sample.ts === b.sample.ts && a.sample.id < b.sample.id),
  )
  /** When outcomes may be forgotten. */
  readonly #expiries = new Heap<Expiry>((a, b) => a.ts < b.ts)
  #watermark = Number.NEGATIVE_INFINITY

  /** @throws RangeError when the rules contradict each other */
  constructor(rules: JoinRules, bounds: JoinBounds = JOIN_BOUNDS) {
    if (!(rules.windowMs > 0)) throw new RangeError(`a window of ${rules.windowMs} ms`)
    if (!(rules.negatives > 0 && rules.negatives <= 1)) throw new RangeError(`a share of ${rules.negatives} negatives`)
    this.rules = rules
    this.#bounds = bounds
  }

  get pending(): number {
    return this.#heap.size
  }

  /** Takes a sample. @returns its negative copy with `fake-negative`; else nothing yet */
  sample(sample: Sample<P>): Joined<P>[] {
    this.counts.samples++
    if (sample.ts < this.#watermark - this.#kept) {
      this.counts.lateSamples++
      return []
    }
    if (this.#profiles.get(sample.profile)?.pendingIds.has(sample.id)) {
      this.counts.duplicateSamples++
      return []
    }
    if (this.#heap.size >= this.#bounds.samplesMax) {
      this.counts.overflowSamples++
      return []
    }
    const profile = this.#profile(sample.profile)
    const pending: Pending<P> = { sample, copied: false }
    this.#keep(profile, pending)
    if (this.rules.policy === 'wait') return []
    const joined: Joined<P>[] = []
    this.#negative(sample, joined)
    // The outcome may have overtaken the sample: they come from different topics.
    if (this.#matches(profile, sample).some(({ value }) => value > 0)) this.#copy(pending, joined)
    return joined
  }

  /** Takes an outcome. @returns the positive copies that it makes, with `fake-negative`; else nothing yet */
  outcome(outcome: Outcome): Joined<P>[] {
    this.counts.outcomes++
    // Every sample that it could belong to is settled.
    if (outcome.ts <= this.#watermark - this.#kept) {
      this.counts.lateOutcomes++
      return []
    }
    if (this.#profiles.get(outcome.profile)?.outcomes.some((it) => it.id === outcome.id)) {
      this.counts.duplicateOutcomes++
      return []
    }
    if (this.#expiries.size >= this.#bounds.outcomesMax) {
      this.counts.overflowOutcomes++
      return []
    }
    const profile = this.#profile(outcome.profile)
    this.#remember(profile, outcome)
    if (profile.outcomes.length > this.#bounds.outcomesPerProfile) {
      profile.outcomes.shift()
      this.counts.overflowOutcomes++
    }
    if (this.#watermark - this.rules.latenessMs > outcome.ts) this.counts.lateOutcomes++
    if (this.rules.policy === 'wait' || !(outcome.value > 0)) return []
    const joined: Joined<P>[] = []
    for (const it of profile.pending) {
      const { ts, match } = it.sample
      if (ts < outcome.ts && outcome.ts <= ts + this.rules.windowMs && match === outcome.match) this.#copy(it, joined)
    }
    return joined
  }

  /** Nothing older than this time minus the lateness will come. @returns what is settled by that, in time order */
  advance(watermark: number): Joined<P>[] {
    if (!(watermark > this.#watermark)) return []
    this.#watermark = watermark
    const joined: Joined<P>[] = []
    const end = watermark - this.#kept
    while (this.#heap.size > 0 && this.#heap.top.sample.ts < end) this.#settle(this.#heap.pop(), joined)
    this.#forget(end)
    return joined
  }

  /** End of the data: settles what has had its whole window before this time, and drops the rest, whose label nobody knows. */
  finish(end: number): Joined<P>[] {
    const joined: Joined<P>[] = []
    while (this.#heap.size > 0) {
      const pending = this.#heap.pop()
      if (pending.sample.ts + this.rules.windowMs <= end) this.#settle(pending, joined)
    }
    this.#profiles.clear()
    this.#expiries.clear()
    return joined
  }

  #settle({ sample }: Pending<P>, joined: Joined<P>[]): void {
    const profile = this.#profiles.get(sample.profile)!
    const found = this.#matches(profile, sample)
    profile.pendingIds.delete(sample.id)
    const y = found.length > 0 ? combined(found, this.rules.combine) : this.rules.none
    profile.pending.splice(
      profile.pending.findIndex((it) => it.sample === sample),
      1,
    )
    this.#drop(sample.profile)
    if (Number.isNaN(y)) return
    this.counts.settled++
    if (found.length > 0) this.counts.positives++
    joined.push({ kind: 'settled', sample, y })
    if (this.rules.policy === 'fake-negative') return
    if (y === 0 && found.length === 0) this.#negative(sample, joined)
    else joined.push({ kind: 'example', sample, y, weight: 1 })
  }

  #negative(sample: Sample<P>, joined: Joined<P>[]): void {
    const { negatives } = this.rules
    if (!isNegativeLearned(sample.id, negatives)) return
    joined.push({ kind: 'example', sample, y: 0, weight: 1 / negatives })
  }

  #copy(pending: Pending<P>, joined: Joined<P>[]): void {
    if (pending.copied) return
    pending.copied = true
    joined.push({ kind: 'example', sample: pending.sample, y: 1, weight: 1 })
  }

  #matches({ outcomes }: Profile<P>, { ts, match }: Sample<P>): Outcome[] {
    const end = ts + this.rules.windowMs
    return outcomes.filter((it) => it.ts > ts && it.ts <= end && it.match === match)
  }

  /** From the time of a sample to its settling, and from that of an outcome to its end. */
  get #kept(): number {
    return this.rules.windowMs + this.rules.latenessMs
  }

  #keep(profile: Profile<P>, pending: Pending<P>): void {
    insertByTime(profile.pending, pending, (it) => it.sample.ts)
    profile.pendingIds.add(pending.sample.id)
    this.#heap.push(pending)
  }

  #remember(profile: Profile<P>, outcome: Outcome): void {
    insertByTime(profile.outcomes, outcome, (it) => it.ts)
    this.#expiries.push({ ts: outcome.ts, profile: outcome.profile })
  }

  /** Forgets outcomes before this time: every sample that they could label is settled. */
  #forget(before: number): void {
    while (this.#expiries.size > 0 && this.#expiries.top.ts < before) {
      const { profile: name } = this.#expiries.pop()
      const profile = this.#profiles.get(name)
      if (!profile) continue
      while (profile.outcomes.length > 0 && profile.outcomes[0]!.ts < before) profile.outcomes.shift()
      this.#drop(name)
    }
  }

  #profile(name: string): Profile<P> {
    let profile = this.#profiles.get(name)
    if (!profile) {
      profile = { pending: [], pendingIds: new Set(), outcomes: [] }
      this.#profiles.set(name, profile)
    }
    return profile
  }

  #drop(name: string): void {
    const profile = this.#profiles.get(name)
    if (profile && profile.pending.length === 0 && profile.outcomes.length === 0) this.#profiles.delete(name)
  }

  encode(encodePayload: (payload: P) => Uint8Array): Uint8Array {
    const writer = new StateWriter(KIND).text(JSON.stringify(this.rules)).f64(this.#watermark)
    writer.f64s(COUNTS.map((name) => this.counts[name])).u32(this.#profiles.size)
    for (const [name, { pending, outcomes }] of this.#profiles) {
      writer.text(name).u32(pending.length)
      for (const { sample, copied } of pending) {
        writer
          .text(sample.id)
          .f64(sample.ts)
          .text(sample.match)
          .u32(copied ? 1 : 0)
          .bytes(encodePayload(sample.payload))
      }
      writer.u32(outcomes.length)
      for (const { id, ts, match, value } of outcomes) writer.text(id).f64(ts).text(match).f64(value)
    }
    return writer.done()
  }

  /** @throws Error when the bytes are damaged, or belong to other rules */
  static decode<P>(
    bytes: Uint8Array,
    rules: JoinRules,
    decodePayload: (bytes: Uint8Array) => P,
    bounds: JoinBounds = JOIN_BOUNDS,
  ): LabelJoiner<P> {
    const reader = new StateReader(bytes, KIND)
    const joiner = new LabelJoiner<P>(rules, bounds)
    const written = reader.text()
    if (written !== JSON.stringify(rules)) {
      throw new Error(`the pending samples were kept by other rules: ${written}. Start the join anew from the log`)
    }
    joiner.#watermark = reader.f64()
    const counts = reader.f64s(COUNTS.length)
    for (const [index, name] of COUNTS.entries()) joiner.counts[name] = counts[index]!
    for (let profiles = reader.u32(); profiles > 0; profiles--) {
      const name = reader.text()
      const profile = joiner.#profile(name)
      for (let n = reader.u32(); n > 0; n--) {
        const [id, ts, match, copied] = [reader.text(), reader.f64(), reader.text(), reader.u32() === 1]
        const pending = { sample: { id, profile: name, ts, match, payload: decodePayload(reader.bytes()) }, copied }
        joiner.#keep(profile, pending)
      }
      for (let n = reader.u32(); n > 0; n--) {
        const outcome = {
          id: reader.text(),
          profile: name,
          ts: reader.f64(),
          match: reader.text(),
          value: reader.f64(),
        }
        joiner.#remember(profile, outcome)
      }
    }
    reader.end()
    return joiner
  }
}

/** Which negatives are learned depends on their id only, so a replay learns the same ones. @param share 0 < share ≤ 1 */
export const isNegativeLearned = (id: string, share: number): boolean => share === 1 || unitHash(id, 1) < share

/** @param outcomes in order of time, at least one */
export function combined(outcomes: readonly Pick<Outcome, 'value'>[], combine: JoinRules['combine']): number {
  switch (combine) {
    case 'first':
      return outcomes[0]!.value
    case 'last':
      return outcomes.at(-1)!.value
    case 'sum':
      return outcomes.reduce((sum, { value }) => sum + value, 0)
    case 'count':
      return outcomes.length
  }
}

/** Nearly always at the end: events come in order. */
export function insertByTime<T>(list: T[], item: T, timeOf: (item: T) => number): void {
  let at = list.length
  while (at > 0 && timeOf(list[at - 1]!) > timeOf(item)) at--
  list.splice(at, 0, item)
}
