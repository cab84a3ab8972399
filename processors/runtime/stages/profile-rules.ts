import type { XdmEvent } from '../../app/event.ts'
import type { TopicNames } from '../../app/topics.ts'
import { nameHash, newRuleState, type RuleState } from '../../decisions/rule-state.ts'
import type { RuleCompiler, Rules } from '../../decisions/rules.ts'
import { SegmentEvaluator, type Transition } from '../../decisions/segments.ts'
import type { LogRecord, NewRecord } from '../../engine/ports.ts'
import type { FeatureSet } from '../../features/types.ts'
import { encodeSegment, SEGMENT_NAMESPACE, type SegmentRecord, segmentKey } from '../../outputs/index.ts'
import type { Score } from '../../scorer/types.ts'
import { addExposures, type Exposures, exposureRecord } from '../rules/exposures.ts'
import {
  CompiledRules,
  INITIAL,
  packShardRules,
  parseShardRules,
  RULES_KEY,
  type ShardRules,
} from '../rules/shard-rules.ts'
import type { TimerClock } from '../timers/timer-clock.ts'
import { timerRecord } from '../timers/timer-record.ts'
import { type Control, controlRecord } from './control-records.ts'
import { type ProfileState, PSEUDONYM_BYTES } from './profile-state.ts'

/** What a batch did to memberships, in log order. */
export interface RuleWork {
  readonly changes: RuleChange[]
  /** Profiles whose timer moved: when it is due, 0 = none; and when in event time that was found. */
  readonly timers: Map<string, { readonly due: number; readonly at: number }>
  /** Displays and interactions of offers that are learned about. */
  readonly exposures: Exposures
  /** The rules that hold at this position. */
  rules: Rules
}

type RuleChange =
  | {
      readonly kind: 'transition'
      readonly key: string
      readonly transition: Transition
      readonly cause: SegmentRecord['cause']
      readonly eventId: string | null
      readonly revision: number
    }
  | { readonly kind: 'forgotten'; readonly key: string; readonly segments: readonly string[] }

/** What was known of a profile's scores when an event came: tells whether the new ones must come back. */
export interface KnownScores {
  readonly isSettled: boolean
  /** By what segments read. */
  readonly values: ReadonlyMap<string, number | undefined>
}

export interface ProfileRulesOptions {
  readonly compiler: RuleCompiler
  /** The application file's. */
  readonly rules: Rules
  readonly featureSet: FeatureSet
  readonly ttlMs: number
  readonly topics: TopicNames
  /** Input of the profile stage. */
  readonly topic: string
  readonly schemaId: number
  /** Namespace of the application's own fields. */
  readonly tenant: string
  readonly clock: TimerClock
}

/**
 * Segments in the profile stage. A membership is a function of the log: of the profile's events, of the scores that came
 * back into the log, of timers that were due, of changed rules, each at its position. So any replay finds the same.
 */
export class ProfileRules {
  readonly #options: ProfileRulesOptions
  readonly #evaluator: SegmentEvaluator
  readonly #compiled: CompiledRules

  constructor(options: ProfileRulesOptions) {
    this.#options = options
    this.#compiled = new CompiledRules(options.compiler, options.rules)
    this.#evaluator = new SegmentEvaluator(options.featureSet, options.ttlMs)
  }

  /** @param states have the shard's own under `RULES_KEY` */
  begin(states: Map<string, ProfileState>): RuleWork {
    const own = shardRules(states)
    if (own === undefined) states.set(RULES_KEY, INITIAL as unknown as ProfileState)
    return { changes: [], timers: new Map(), exposures: new Map(), rules: this.#compiled.of(own ?? INITIAL) }
  }

  /** @returns the packed state of the shard's own rules, when the record changes them */
  activate(work: RuleWork, { kind, data }: Control, states: Map<string, ProfileState>): Buffer | undefined {
    const next = kind === 'rules' ? parseShardRules(data) : undefined
    // It may come twice.
    if (!next || next.revision <= (shardRules(states) ?? INITIAL).revision) return undefined
    states.set(RULES_KEY, next as unknown as ProfileState)
    work.rules = this.#compiled.of(next)
    const { featureSet } = this.#options
    return packShardRules(next, featureSet.entities.get('profile')!.layout.id, PSEUDONYM_BYTES)
  }

  /** After the features were updated with the event. @returns what was known of its scores before */
  applied(work: RuleWork, state: ProfileState, event: XdmEvent, record: LogRecord): KnownScores | undefined {
    const { clock } = this.#options
    const { rules } = work
    clock.observe(record.partition, event.ts, record.timestamp)
    const own = rulesOf(state)
    let known: KnownScores | undefined
    if (rules.keptScores.length > 0) {
      known = {
        isSettled: own.isSettled,
        values: new Map(rules.keptScores.map((it) => [it, own.scores.get(nameHash(it))])),
      }
      own.scored = record.offset + 1
      own.isSettled = false
    }
    this.#advance(work, event.key, state, event.ts, 'event', event)
    return known
  }

  /** @returns whether the profile's state changed */
  control(work: RuleWork, { kind, key, data }: Control, states: ReadonlyMap<string, ProfileState>): boolean {
    if (key === undefined || (kind !== 'tick' && kind !== 'scores')) return false
    const state = states.get(key)
    if (kind === 'tick') {
      const at = (data as { at?: unknown } | null)?.at
      if (typeof at !== 'number' || !Number.isFinite(at)) return false
      // The store has forgotten the profile: so does the timer.
      if (!state?.rules) work.timers.set(key, { due: 0, at })
      // A timer that has moved since: another tick will come.
      else if (at >= state.rules.timer && state.rules.timer !== 0) this.#advance(work, key, state, at, 'time')
      return state !== undefined
    }
    const scores = parseScores(data)
    if (!state || !scores) return false
    const own = rulesOf(state)
    for (const [name, value] of Object.entries(scores.values)) {
      if (work.rules.keptScores.includes(name)) own.scores.set(nameHash(name), value)
    }
    if (own.scored === scores.of + 1) own.isSettled = true
    this.#advance(work, key, state, Number.NEGATIVE_INFINITY, 'score')
    return true
  }

  /** The profile is erased: nothing that was said of it stays. */
  forget(work: RuleWork, key: string): void {
    const segments = work.rules.segments.map(({ name }) => name)
    work.changes.push({ kind: 'forgotten', key, segments })
    work.timers.set(key, { due: 0, at: 0 })
  }

  #advance(
    work: RuleWork,
    key: string,
    state: ProfileState,
    at: number,
    cause: SegmentRecord['cause'],
    event?: XdmEvent,
  ): void {
    const { rules } = work
    const own = state.rules!
    const { transitions, timer } = this.#evaluator.advance(rules, state.features, own, at, event)
    for (const transition of transitions) {
      work.changes.push({
        kind: 'transition',
        key,
        transition,
        cause,
        eventId: event?.id ?? null,
        revision: rules.revision,
      })
    }
    if (timer !== undefined) work.timers.set(key, { due: timer, at: own.time })
  }

  /** Counts what an event, the first time that it comes, says of offers that the file's bandits choose among. */
  exposed({ exposures }: RuleWork, event: XdmEvent): void {
    const { rules, tenant } = this.#options
    if (rules.learned.size > 0) addExposures(exposures, event, tenant, rules.learned)
  }

  /** Segments that the profile is in, as its state has it now; undefined: none. */
  memberships({ rules }: RuleWork, { rules: own }: ProfileState): Readonly<Record<string, true>> | undefined {
    if (!own || own.memberships.size === 0) return undefined
    let segments: Record<string, true> | undefined
    for (const { name, hash } of rules.segments) {
      if (!own.memberships.get(hash)?.isIn) continue
      segments ??= {}
      segments[name] = true
    }
    return segments
  }

  records(work: RuleWork): NewRecord[] {
    const { topics, schemaId } = this.#options
    const records: NewRecord[] = []
    for (const change of work.changes) {
      if (change.kind === 'forgotten') {
        for (const segment of change.segments)
          records.push({ topic: topics.segments, key: Buffer.from(segmentKey(change.key, segment)), value: null })
        continue
      }
      const { key, transition, cause, eventId, revision } = change
      records.push({
        topic: topics.segments,
        key: Buffer.from(segmentKey(key, transition.segment)),
        value: encodeSegment(
          {
            profile: profileOf(key),
            namespace: SEGMENT_NAMESPACE,
            segmentId: transition.segment,
            status: transition.status,
            lastQualificationTime: transition.at,
            version: String(revision),
            cause,
            eventId,
          },
          schemaId,
        ),
      })
    }
    if (work.exposures.size > 0) records.push(exposureRecord(topics.exposures, work.exposures))
    for (const [key, { due, at }] of work.timers) records.push(timerRecord({ topic: topics.timers, key, due, at }))
    return records
  }

  /**
   * Scores that segments read, as a record of the stage's own input: only what is in the log may move a membership.
   * @returns undefined when they are known already
   */
  scoresBack(event: XdmEvent, record: LogRecord, scores: readonly Score[], known: KnownScores): NewRecord | undefined {
    const { topic } = this.#options
    const values: Record<string, number> = {}
    let isNew = !known.isSettled
    for (const [name, before] of known.values) {
      const value = servedScore(scores, name)
      // A fallback is not what the model said.
      if (value === undefined) continue
      values[name] = value
      if (value !== before) isNew = true
    }
    if (!isNew || Object.keys(values).length === 0) return undefined
    const data = { of: record.offset, scores: values }
    return controlRecord({ topic, kind: 'scores', key: event.key, data })
  }
}

/** The shard's own state lies among the profiles', under a key that none of them has. */
const shardRules = (states: ReadonlyMap<string, ProfileState>): ShardRules | undefined =>
  states.get(RULES_KEY) as unknown as ShardRules | undefined

function rulesOf(state: ProfileState): RuleState {
  state.rules ??= newRuleState()
  return state.rules
}

/** The score of the model that serves a profile: `service`, or `service.output`. Without `fallbacks` only what a model said. */
export function servedScore(
  scores: readonly Score[],
  name: string,
  { fallbacks = false }: { readonly fallbacks?: boolean } = {},
): number | undefined {
  const [service, output] = name.split('.', 2)
  const own = scores.filter((it) => it.service === service && it.role !== 'shadow')
  const found =
    output === undefined ? (own.find((it) => it.output === 'score') ?? own[0]) : own.find((it) => it.output === output)
  if (found === undefined || !Number.isFinite(found.value)) return undefined
  return fallbacks || found.fallback === 'none' ? found.value : undefined
}

function parseScores(data: unknown): { of: number; values: Record<string, number> } | undefined {
  const { of, scores } = (data ?? {}) as { of?: unknown; scores?: unknown }
  if (typeof of !== 'number' || typeof scores !== 'object' || scores === null) return undefined
  const values = scores as Record<string, number>
  return Object.values(values).every((it) => typeof it === 'number' && Number.isFinite(it)) ? { of, values } : undefined
}

function profileOf(key: string): SegmentRecord['profile'] {
  const colon = key.indexOf(':')
  return { namespace: key.slice(0, colon), id: key.slice(colon + 1) }
}
