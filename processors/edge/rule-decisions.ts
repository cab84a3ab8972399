/** Segments and decisions of the application at the edge: the stream's rules over the profile with the request's own event. */
import type { Application } from '../app/schema.ts'
import { type Chosen, Decider, type Situation } from '../decisions/decide.ts'
import { newRuleState } from '../decisions/rule-state.ts'
import type { CompiledOffer, Rules } from '../decisions/rules.ts'
import { SegmentEvaluator } from '../decisions/segments.ts'
import type { NewRecord } from '../engine/ports.ts'
import { servedScore } from '../runtime/stages/profile-rules.ts'
import type { Plan } from '../topology.ts'
import type { SegmentsQuestion } from './evaluator.ts'
import type { Decided, DecisionRequest, Decisions, Proposition } from './types.ts'

const SCHEMAS = {
  json: 'https://ns.adobe.com/personalization/json-content-item',
  html: 'https://ns.adobe.com/personalization/html-content-item',
  redirect: 'https://ns.adobe.com/personalization/redirect-item',
} as const
const FORMATS = { json: 'application/json', html: 'text/html', redirect: 'text/uri-list' } as const

export class RuleDecisions implements Decisions {
  readonly #decider: Decider
  readonly #evaluator: SegmentEvaluator
  readonly #shown: ReadonlySet<string>
  readonly #topic: string
  readonly #book: { readonly current: Rules }
  readonly #shares: Situation['shares']

  /** @param book the rules that hold now @param shares what was learned of offers; absent: nothing */
  constructor(
    { app, topics, featureSet }: Pick<Plan, 'app' | 'topics' | 'featureSet'>,
    book: { readonly current: Rules },
    shares?: NonNullable<Situation['shares']>,
  ) {
    this.#evaluator = new SegmentEvaluator(featureSet, app.events.ttl)
    this.#decider = new Decider(featureSet, this.#evaluator)
    this.#shown = new Set(app.edge.segments)
    this.#topic = topics.decisions
    this.#book = book
    this.#shares = shares
  }

  decide(request: DecisionRequest): Decided {
    const rules = this.#book.current
    const { schemas, event } = request
    const isShown = (offer: CompiledOffer) => schemas.length === 0 || schemas.includes(SCHEMAS[offer.definition.format])
    const { segments, chosen } = this.#decider.decide(rules, this.#situation(request), request.scopes, isShown)
    return {
      propositions: chosen.map((it) => propositionOf(rules, it, event.id)),
      segments: segments.filter((name) => this.#shown.has(name)),
      record: chosen.length === 0 ? undefined : decisionRecord(this.#topic, rules, request, segments, chosen),
    }
  }

  /** Everything that a decision came from, for whoever asks why. @param rules others than those that hold */
  explain(
    request: DecisionRequest,
    rules: Rules = this.#book.current,
  ): { segments: readonly string[]; chosen: readonly Chosen[] } {
    return this.#decider.decide(rules, this.#situation(request), request.scopes)
  }

  /** What graphs read of segments: as the stream has it with the event, before the event is scored. */
  beforeScores({ state, rules = newRuleState(), at, event }: SegmentsQuestion): Readonly<Record<string, true>> {
    const names = this.#evaluator.memberships(this.#book.current, state, rules, at, event)
    return Object.fromEntries([...names].map((name) => [name, true]))
  }

  /** Segments that the profile is in at this moment. */
  memberships(request: DecisionRequest): ReadonlySet<string> {
    return this.#decider.memberships(this.#book.current, this.#situation(request))
  }

  #situation(request: DecisionRequest): Situation {
    return this.#shares ? { ...situationOf(request), shares: this.#shares } : situationOf(request)
  }
}

function situationOf({ event, vector, scores, state, rules, missing, at }: DecisionRequest): Situation {
  return {
    key: event.key,
    event,
    vector,
    features: state,
    state: rules,
    at,
    score: (name) => servedScore(scores, name, { fallbacks: true }),
    ownScore: (name) => servedScore(scores, name),
    isIncomplete: missing.includes('profile'),
  }
}

/** Ids of offers in events that come back: `scopeDetails.activity.id` / `scopeDetails.experience.id`. */
function propositionOf(rules: Rules, chosen: Chosen, eventId: string): Proposition {
  const { decision, scope, offer, reason, rule } = chosen
  const { definition } = rules.decisions.find(({ name }) => name === decision)!
  const { format, content } = definition.offers[offer] as Application['decisions'][string]['offers'][string]
  return {
    id: `${decision}:${scope}:${eventId}`,
    scope,
    scopeDetails: {
      decisionProvider: 'RTML',
      correlationID: `${decision}:${offer}`,
      activity: { id: decision },
      experience: { id: offer },
      strategies: [
        { algorithmID: reason === 'rule' ? `rule-${rule}` : reason, trafficType: reason === 'holdout' ? '1' : '0' },
      ],
    },
    items: [{ id: offer, schema: SCHEMAS[format], data: { id: offer, format: FORMATS[format], content } }],
  }
}

/**
 * What was decided, once a request, keyed by the profile: with its probability it can be judged later what another rule would
 * have earned. The vector that it was decided on is in the samples, under the event's id.
 */
function decisionRecord(
  topic: string,
  rules: Rules,
  { event, at }: DecisionRequest,
  segments: readonly string[],
  chosen: readonly Chosen[],
): NewRecord {
  const value = {
    eventId: event.id,
    at: new Date(at).toISOString(),
    revision: rules.revision,
    segments,
    decisions: chosen,
  }
  return { topic, key: Buffer.from(event.key), value: Buffer.from(JSON.stringify(value)) }
}
