import type { XdmEvent } from '../app/event.ts'
import { type EpochMs, epochMs } from '../app/units.ts'
import type { FeatureSet, KeyState, VectorInputs } from '../features/types.ts'
import { type Condition, hiddenName, scoreName, segmentName } from './conditions.ts'
import { isEmptyRuleState, nameHash, type RuleState } from './rule-state.ts'
import type { Rules } from './rules.ts'

/** A profile enters or leaves a segment. */
export interface Transition {
  readonly segment: string
  readonly status: 'realized' | 'exited'
  /** Event time. */
  readonly at: EpochMs
}

export interface Evaluated {
  readonly transitions: readonly Transition[]
  /** When the profile must be looked at again although nothing happened; 0: never; undefined: as before. */
  readonly timer: number | undefined
}

const NOTHING: Evaluated = { transitions: [], timer: undefined }
/** Instants that are tried for the next transition; after that the profile is looked at again. */
const LOOKAHEAD_MAX = 64
/** A gradual value is looked for up to this near. */
const RESOLUTION_MS = 1_000
/** Exited memberships are forgotten after this: their record says enough. */
const FORGET_MS = 30 * 86_400_000

/**
 * Evaluates segments over one profile's state. A function of state, rules and instant: the stream, the edge and a timer get
 * the same answer. Not for use by two callers at once: variables and values are used again.
 */
export class SegmentEvaluator {
  readonly #featureSet: FeatureSet
  readonly #ttlMs: number
  readonly #states = new Map<string, KeyState>()
  readonly #inputs: { -readonly [K in keyof VectorInputs]: VectorInputs[K] }
  readonly #variables: Record<string, unknown> = {}
  #truths: boolean[] = []

  /** @param ttlMs silence after which a profile's features are forgotten */
  constructor(featureSet: FeatureSet, ttlMs: number) {
    this.#featureSet = featureSet
    this.#ttlMs = ttlMs
    this.#inputs = { event: NO_EVENT, states: this.#states, lookups: { get: () => undefined }, at: epochMs(0) }
  }

  /**
   * Evaluates all segments at `at`, or at the latest instant that the profile was evaluated at when that is later, and
   * brings the state up to date.
   * @param event what the features were updated with last; undefined: only time has passed
   */
  advance(rules: Rules, features: KeyState, state: RuleState, at: number, event?: XdmEvent): Evaluated {
    if (rules.segments.length === 0 && isEmptyRuleState(state)) return NOTHING
    const time = Math.max(at, state.time, features.time)
    if (!Number.isFinite(time)) return NOTHING
    state.time = time
    // One event for all that is evaluated here: the feature set keeps what it has found out about it.
    this.#inputs.event = event ?? NO_EVENT
    if (state.timer !== 0 && state.timer <= time) state.timer = -1
    this.#evaluate(rules, features, state, time)
    const transitions = this.#apply(rules, state, time)
    const timer = this.#timer(rules, features, state, time)
    if (isEmptyRuleState(state)) state.time = Number.NEGATIVE_INFINITY
    return transitions.length === 0 && timer === undefined ? NOTHING : { transitions, timer }
  }

  /** Names of the segments that the profile is in at `at`, without touching the state. */
  memberships(rules: Rules, features: KeyState, state: RuleState, at: number, event?: XdmEvent): Set<string> {
    this.#inputs.event = event ?? NO_EVENT
    this.#evaluate(rules, features, state, Math.max(at, state.time, features.time))
    return new Set(rules.segments.filter((_, index) => this.#truths[index]).map(({ name }) => name))
  }

  #evaluate(rules: Rules, features: KeyState, state: RuleState, at: number): void {
    const variables = this.#variables
    const { hidden } = this.#featureSet
    if (hidden) {
      this.#point(features, at)
      const values = hidden.read(this.#inputs)
      for (let i = 0; i < values.length; i++) variables[hiddenName(i)] = values[i]
    }
    for (const score of rules.keptScores) variables[scoreName(score)] = state.scores.get(nameHash(score)) ?? null
    this.#truths = rules.segments.map((segment) => {
      const isIn = segment.condition.expression.test(NO_ROOT, variables)
      variables[segmentName(segment.name)] = isIn
      return isIn
    })
  }

  #point(features: KeyState, at: number): void {
    this.#inputs.at = epochMs(at)
    this.#states.set('profile', features)
  }

  #apply(rules: Rules, state: RuleState, at: number): Transition[] {
    const transitions: Transition[] = []
    const known = new Set<number>()
    rules.segments.forEach(({ name, hash }, index) => {
      known.add(hash)
      const isIn = this.#truths[index]!
      const membership = state.memberships.get(hash)
      if (isIn === (membership?.isIn ?? false)) return
      if (membership) Object.assign(membership, { isIn, since: at })
      else state.memberships.set(hash, { isIn, since: at })
      transitions.push({ segment: name, status: isIn ? 'realized' : 'exited', at: epochMs(at) })
    })
    for (const [hash, { isIn, since }] of state.memberships) {
      if (!known.has(hash) || (!isIn && at - since > FORGET_MS)) state.memberships.delete(hash)
    }
    return transitions
  }

  /** Sets the state's timer. @returns what must be told to whoever keeps the timers; undefined: nothing new */
  #timer(rules: Rules, features: KeyState, state: RuleState, at: number): number | undefined {
    const { hidden } = this.#featureSet
    const instants: number[] = []
    this.#point(features, at)
    hidden?.changes(this.#inputs, instants)
    // A silent profile is forgotten, and leaves everything that it was in for what it had done.
    const isInSome = this.#truths.includes(true)
    if (isInSome && Number.isFinite(features.time)) instants.push(features.time + this.#ttlMs + 1)
    const later = instants.filter((it) => it > at)
    const gradual = hidden ? rules.segments.filter(({ condition }) => isGradual(condition, hidden)) : []
    const isSet = state.timer > 0
    if (isSet && gradual.length === 0 && later.every((it) => it >= state.timer)) return undefined
    const truths = this.#truths
    let due = this.#nextStep(rules, features, state, truths, later)
    if (gradual.length > 0) {
      const found = this.#nextGradual(rules, features, state, truths, at, due === 0 ? features.time + this.#ttlMs : due)
      if (found !== 0 && (due === 0 || found < due)) due = found
    }
    this.#truths = truths
    if (due === 0 && state.timer === 0) return undefined
    // A timer that is early costs one look, and moves itself on then.
    if (isSet && due !== 0 && due >= state.timer) return undefined
    if (isSet && due === 0) return undefined
    state.timer = due
    return due
  }

  #differs(rules: Rules, features: KeyState, state: RuleState, truths: readonly boolean[], at: number): boolean {
    this.#evaluate(rules, features, state, at)
    return this.#truths.some((it, index) => it !== truths[index])
  }

  /** The first of the instants at which a segment's answer is another one; 0: none. */
  #nextStep(
    rules: Rules,
    features: KeyState,
    state: RuleState,
    truths: readonly boolean[],
    instants: number[],
  ): number {
    const sorted = [...new Set(instants)].sort((a, b) => a - b)
    for (const instant of sorted.slice(0, LOOKAHEAD_MAX))
      if (this.#differs(rules, features, state, truths, instant)) return instant
    return sorted.length > LOOKAHEAD_MAX ? sorted[LOOKAHEAD_MAX]! : 0
  }

  /** As `#nextStep`, for values that move all the time: by doubling, then by halving. */
  #nextGradual(
    rules: Rules,
    features: KeyState,
    state: RuleState,
    truths: readonly boolean[],
    at: number,
    until: number,
  ): number {
    let low = at
    for (let ahead = RESOLUTION_MS; low < until; ahead *= 2) {
      let high = Math.min(at + ahead, until)
      if (!this.#differs(rules, features, state, truths, high)) {
        low = high
        continue
      }
      while (high - low > RESOLUTION_MS) {
        const middle = Math.floor((low + high) / 2)
        if (this.#differs(rules, features, state, truths, middle)) high = middle
        else low = middle
      }
      return high
    }
    return 0
  }
}

const isGradual = ({ hidden }: Condition, values: { isGradual(place: number): boolean }): boolean =>
  hidden.some((place) => values.isGradual(place))

const NO_ROOT = {}
/** Stands for the event where there is none: hidden features read states only. */
const NO_EVENT: XdmEvent = { id: '', ts: epochMs(0), key: '', xdm: { _id: '', timestamp: '' } }
