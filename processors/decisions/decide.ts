import type { XdmEvent } from '../app/event.ts'
import { murmur3 } from '../features/hash.ts'
import type { FeatureSet, KeyState, Vector } from '../features/types.ts'
import { type Condition, columnName, hiddenName, scoreName, segmentName } from './conditions.ts'
import { nameHash, newRuleState, type RuleState } from './rule-state.ts'
import type { CompiledDecision, CompiledOffer, Rules } from './rules.ts'
import type { SegmentEvaluator } from './segments.ts'

/** A profile as it is with the event at hand. */
export interface Situation {
  readonly key: string
  readonly event: XdmEvent
  /** What the models saw. */
  readonly vector: Vector
  readonly features: KeyState
  readonly state: RuleState | undefined
  /** Instant of evaluation. */
  readonly at: number
  /** Score of a `service` or `service.output` now; undefined: none. */
  score(name: string): number | undefined
  /** Scores that segments may read: the model's own word. */
  ownScore(name: string): number | undefined
  /** How likely each of some offers of a decision is the best one, summing to 1. Absent: nothing was learned. */
  shares?(decision: string, offers: readonly string[]): readonly number[]
  /** Something of the profile could not be read in time: everybody gets the default. */
  readonly isIncomplete: boolean
}

/** Why an offer was given. */
export type Reason = 'rule' | 'default' | 'holdout' | 'consent' | 'incomplete'

/** One decision for one scope. */
export interface Chosen {
  readonly decision: string
  readonly scope: string
  readonly offer: string
  readonly reason: Reason
  /** Number of the rule; undefined for other reasons. */
  readonly rule: number | undefined
  /** Offers that could have been given by this rule: what was capped or not eligible is not among them. */
  readonly candidates: readonly string[]
  /** Probability with which this offer was chosen among them. */
  readonly propensity: number
}

export interface Outcome {
  readonly segments: readonly string[]
  readonly chosen: readonly Chosen[]
}

/** The page itself: what is asked for when no scope is named. */
export const PAGE_SCOPE = '__view__'

/** Decides for one profile. A function of its arguments; also of chance, which is a hash of profile and event. */
export class Decider {
  readonly #featureSet: FeatureSet
  readonly #segments: SegmentEvaluator

  constructor(featureSet: FeatureSet, segments: SegmentEvaluator) {
    this.#featureSet = featureSet
    this.#segments = segments
  }

  /** @param isShown whether the client can show an offer's form */
  decide(
    rules: Rules,
    situation: Situation,
    scopes: readonly string[],
    isShown: (offer: CompiledOffer) => boolean = () => true,
  ): Outcome {
    const segments = this.memberships(rules, situation)
    const variables = this.#variables(rules, situation, segments)
    const asked = scopes.length > 0 ? [...new Set(scopes)] : [PAGE_SCOPE]
    const chosen = asked.flatMap((scope) =>
      rules.decisions.flatMap((decision) => {
        if (!decision.scopes.includes(scope)) return []
        const one = choose(decision, scope, situation, variables, isShown)
        return one ? [one] : []
      }),
    )
    return { segments: [...segments].sort(), chosen }
  }

  memberships(rules: Rules, situation: Situation): Set<string> {
    const { features, event, at } = situation
    const state = { ...(situation.state ?? newRuleState()) }
    state.scores = new Map(state.scores)
    for (const name of rules.keptScores) {
      const score = situation.ownScore(name)
      if (score !== undefined) state.scores.set(nameHash(name), score)
    }
    return this.#segments.memberships(rules, features, state, at, event)
  }

  #variables(rules: Rules, situation: Situation, segments: ReadonlySet<string>): Record<string, unknown> {
    const { event, vector, features, at } = situation
    const variables: Record<string, unknown> = {}
    const { hidden } = this.#featureSet
    const values = hidden?.read({
      event,
      states: new Map([['profile', features]]),
      lookups: { get: () => undefined },
      at: at as never,
    })
    values?.forEach((value, place) => {
      variables[hiddenName(place)] = value
    })
    for (const { name } of rules.segments) variables[segmentName(name)] = segments.has(name)
    for (const condition of conditionsOf(rules)) {
      for (const name of condition.scores) variables[scoreName(name)] = situation.score(name) ?? null
      for (const column of condition.columns) {
        const value = column.type === 'float' ? vector.floats[column.index]! : vector.strings[column.index]!
        variables[columnName(column)] = Number.isNaN(value) || value === '' ? null : value
      }
    }
    return variables
  }
}

function* conditionsOf({ decisions }: Rules): Generator<Condition> {
  for (const { rules, offers } of decisions) {
    for (const { condition } of rules) if (condition) yield condition
    for (const { condition } of offers.values()) if (condition) yield condition
  }
}

function choose(
  decision: CompiledDecision,
  scope: string,
  situation: Situation,
  variables: Record<string, unknown>,
  isShown: (offer: CompiledOffer) => boolean,
): Chosen | undefined {
  const { name, definition, offers } = decision
  const { key, event } = situation
  const fallback = (reason: Reason): Chosen | undefined => {
    const offer = definition.default === undefined ? undefined : offers.get(definition.default)
    if (!offer || !isShown(offer)) return undefined
    const candidates = [offer.id]
    return { decision: name, scope, offer: offer.id, reason, rule: undefined, candidates, propensity: 1 }
  }
  if (!mayPersonalize(event, definition.consent)) return fallback('consent')
  // Salted by purpose and decision: who is held out here is independent of arms and of other decisions.
  if (unit(`holdout\n${name}\n${key}`) < definition.holdout) return fallback('holdout')
  if (situation.isIncomplete) return fallback('incomplete')
  for (const [index, rule] of decision.rules.entries()) {
    if (rule.condition && !rule.condition.expression.test(event.xdm, variables)) continue
    const candidates = rule.offers.filter((id) => {
      const offer = offers.get(id)!
      return isShown(offer) && isEligible(offer, situation, variables)
    })
    if (candidates.length === 0) continue
    const random = unit(`explore\n${name}\n${key}\n${event.id}`)
    const { at, propensity } = rule.learns
      ? drawLearned(situation.shares?.(name, candidates) ?? evenly(candidates.length), rule.explore, random)
      : draw(candidates.length, rule.explore, random)
    const offer = candidates[at]!
    return { decision: name, scope, offer, reason: 'rule', rule: index, candidates, propensity }
  }
  return fallback('default')
}

/** ε-greedy over the candidates, the first being the best: μ = ε/K, and 1 − ε more for the first. */
function draw(count: number, epsilon: number, random: number): { at: number; propensity: number } {
  const share = count > 1 ? epsilon : 0
  const at = random < share ? Math.min(count - 1, Math.floor((random / share) * count)) : 0
  return { at, propensity: share / count + (at === 0 ? 1 - share : 0) }
}

const evenly = (count: number): number[] => new Array<number>(count).fill(1 / count)

/** By what was learned: μ = ε/K + (1 − ε)·share. */
function drawLearned(shares: readonly number[], epsilon: number, random: number): { at: number; propensity: number } {
  const propensityOf = (share: number) => epsilon / shares.length + (1 - epsilon) * share
  let left = random
  let at = 0
  for (; at < shares.length - 1; at++) {
    left -= propensityOf(shares[at]!)
    if (left < 0) break
  }
  // Rounding may leave the last one without any probability of its own.
  while (at > 0 && propensityOf(shares[at]!) === 0) at--
  return { at, propensity: propensityOf(shares[at]!) }
}

function isEligible(offer: CompiledOffer, { at, event }: Situation, variables: Record<string, unknown>): boolean {
  if (at < offer.startMs || at >= offer.endMs) return false
  if (offer.caps.some(({ place, max }) => Number(variables[hiddenName(place)] ?? 0) >= max)) return false
  return offer.condition === undefined || offer.condition.expression.test(event.xdm, variables)
}

const ALLOWED = new Set(['y', 'dy', 'LI', 'CT', 'CP', 'VI', 'PI'])
const REFUSED = new Set(['n', 'dn'])

function mayPersonalize({ xdm }: XdmEvent, consent: 'required' | 'unless-refused' | 'ignored'): boolean {
  if (consent === 'ignored') return true
  const consents = xdm.consents as { personalize?: { content?: { val?: unknown } } } | undefined
  const value = String(consents?.personalize?.content?.val ?? 'u')
  return consent === 'required' ? ALLOWED.has(value) : !REFUSED.has(value)
}

/** A uniform number in [0, 1) that depends on the text alone. */
const unit = (text: string): number => murmur3(text) / 2 ** 32
