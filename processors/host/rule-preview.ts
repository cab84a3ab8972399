import type { EpochMs } from '../app/units.ts'
import { Decider } from '../decisions/decide.ts'
import { nameHash, newRuleState, type RuleState } from '../decisions/rule-state.ts'
import { RuleCompiler, type RuleDefinitions, type Rules } from '../decisions/rules.ts'
import { SegmentEvaluator, type Transition } from '../decisions/segments.ts'
import type { Engine } from '../engine/ports.ts'
import { createFeatureSet } from '../features/index.ts'
import type { KeyState } from '../features/types.ts'
import { scoresReader } from '../outputs/index.ts'
import type { ProfileInput } from '../runtime/stages/profile-stage.ts'
import { type Plan, replayStages } from '../topology.ts'

export interface PreviewOptions {
  readonly plan: Plan
  readonly engine: Engine
  /** The rules that hold, and those that would. */
  readonly before: RuleDefinitions
  readonly after: RuleDefinitions
  /** Of the log's end: what would have happened in this time. */
  readonly lastMs: number
  readonly now: EpochMs
  readonly env: (name: string) => string | undefined
  readonly clock: Parameters<typeof replayStages>[1]['clock']
}

interface Counts {
  entered: number
  exited: number
  /** Profiles that are in at the end. */
  members: number
}

export interface RulePreview {
  readonly from: string
  /** Events of that time, and profiles that were followed. */
  readonly events: number
  readonly profiles: number
  /** More profiles than are followed: figures are of the first ones only. */
  readonly isPartial: boolean
  readonly segments: readonly { readonly name: string; readonly before: Counts; readonly after: Counts }[]
  readonly decisions: readonly {
    readonly name: string
    readonly answers: number
    readonly changed: number
    readonly before: Readonly<Record<string, number>>
    readonly after: Readonly<Record<string, number>>
  }[]
}

const PROFILES_MAX = 20_000
const SCORES_MAX = 200_000
const BATCH_RECORDS = 1_000

interface Followed {
  readonly features: KeyState
  readonly before: RuleState
  readonly after: RuleState
}

/**
 * What would change: replays the log beside the running application, with the rules that hold and with others, both over the
 * same states and the scores that were given. Conditions that nothing keeps yet are computed too. Nothing is written.
 * @throws RtmlError CONFIG when a definition is not possible; LOG_DOWN
 */
export async function previewRules(options: PreviewOptions): Promise<RulePreview> {
  const { plan, engine, before, after, lastMs, now } = options
  const compiler = new RuleCompiler({ ...plan.app, ...before }, plan.schema, plan.expressions, after)
  const featureSet = createFeatureSet(plan.app, plan.expressions, compiler.hidden)
  const rules = { before: compiler.bind((feature) => featureSet.resolve(feature)), after: compiler.compile(after, 1) }
  const kernel = featureSet.entities.get('profile')!
  const evaluator = new SegmentEvaluator(featureSet, plan.app.events.ttl)
  const decider = new Decider(featureSet, evaluator)
  const readsScores = [rules.before, rules.after].some(({ keptScores }) => keptScores.length > 0)
  const scores = readsScores ? await scoresIn(plan, engine) : new Map<string, ReadonlyMap<string, number>>()
  const { env, clock } = options
  const [keyed] = replayStages({ ...plan, rules: undefined }, { engine, clock, env })
  const { stage } = keyed!
  const followed = new Map<string, Followed>()
  const tally = new Tally(rules)
  const since = now - lastMs
  let events = 0
  let isPartial = false

  const advance = (it: Followed, at: number, isCounted: boolean) => {
    for (const side of SIDES) {
      // As a timer would: what was due before comes first.
      while (it[side].timer > 0 && it[side].timer <= at)
        tally.count(side, evaluator.advance(rules[side], it.features, it[side], it[side].timer).transitions, isCounted)
      tally.count(side, evaluator.advance(rules[side], it.features, it[side], at).transitions, isCounted)
    }
  }
  for (const bounds of await engine.log.bounds(stage.topic)) {
    let newest = Number.NEGATIVE_INFINITY
    const here = new Set<Followed>()
    if (bounds.start >= bounds.end) continue
    for await (const run of engine.log.read(bounds, bounds.start, { until: bounds.end })) {
      for (let from = 0; from < run.records.length; from += BATCH_RECORDS) {
        const batch = run.records.slice(from, from + BATCH_RECORDS)
        const input = (await stage.prepare(batch, 'rebuild')) as ProfileInput
        for (const { event, record } of input.events) {
          const isCounted = record.timestamp >= since
          let it = followed.get(event.key)
          if (!it) {
            isPartial ||= followed.size >= PROFILES_MAX
            if (followed.size >= PROFILES_MAX) continue
            it = { features: kernel.empty(), before: newRuleState(), after: newRuleState() }
            followed.set(event.key, it)
          }
          here.add(it)
          advance(it, Math.min(event.ts, it.features.time), isCounted)
          if (kernel.update(it.features, event) !== 'applied') continue
          if (event.ts > newest) newest = event.ts
          advance(it, event.ts, isCounted)
          const own = scores.get(event.id)
          for (const [name, value] of own ?? []) for (const side of SIDES) it[side].scores.set(nameHash(name), value)
          if (own) advance(it, event.ts, isCounted)
          if (!isCounted) continue
          events++
          if (event.xdm.eventType?.startsWith('decisioning.')) continue
          const vector = featureSet.newVector()
          const states = new Map([['profile', it.features]])
          featureSet.vector({ event, states, lookups: { get: () => undefined }, at: event.ts }, vector)
          const score = (name: string) => own?.get(name)
          const situation = {
            key: event.key,
            event,
            vector,
            features: it.features,
            at: event.ts,
            score,
            ownScore: score,
          }
          for (const side of SIDES) {
            const scopes = [...new Set(rules[side].decisions.flatMap((decision) => decision.scopes))]
            const whole = { ...situation, state: it[side], isIncomplete: false }
            tally.answer(side, decider.decide(rules[side], whole, scopes).chosen)
          }
          tally.compare()
        }
      }
    }
    for (const it of here) advance(it, newest, true)
  }
  for (const it of followed.values()) for (const side of SIDES) tally.members(side, it[side])
  return { from: new Date(since).toISOString(), events, profiles: followed.size, isPartial, ...tally.result() }
}

const SIDES = ['before', 'after'] as const
type Side = (typeof SIDES)[number]

/** Scores that were given, by event; what fell back is not among them. @throws RtmlError LOG_DOWN */
async function scoresIn({ topics }: Plan, engine: Engine): Promise<Map<string, ReadonlyMap<string, number>>> {
  const read = scoresReader((id) => engine.registry.schema(id))
  const found = new Map<string, ReadonlyMap<string, number>>()
  for (const bounds of await engine.log.bounds(topics.scores)) {
    if (bounds.start >= bounds.end) continue
    for await (const run of engine.log.read(bounds, bounds.start, { until: bounds.end })) {
      for (const { value } of run.records) {
        if (value === null || found.size >= SCORES_MAX) continue
        const { eventId, scores } = await read(value)
        const own = scores.filter(({ role, fallback }) => role !== 'shadow' && fallback === 'none')
        found.set(
          eventId,
          new Map([
            ...own.map(({ service, score }): [string, number] => [service, score]).reverse(),
            ...own.map(({ service, output, score }): [string, number] => [`${service}.${output}`, score]),
          ]),
        )
      }
    }
  }
  return found
}

class Tally {
  readonly #rules: Readonly<Record<Side, Rules>>
  readonly #segments = new Map<string, Record<Side, Counts>>()
  readonly #decisions = new Map<
    string,
    { answers: number; changed: number; before: Record<string, number>; after: Record<string, number> }
  >()
  readonly #last: Record<Side, Map<string, string>> = { before: new Map(), after: new Map() }

  constructor(rules: Readonly<Record<Side, Rules>>) {
    this.#rules = rules
    for (const side of SIDES) {
      for (const { name } of rules[side].segments) this.#segment(name)
      for (const { name } of rules[side].decisions)
        this.#decisions.set(name, { answers: 0, changed: 0, before: {}, after: {} })
    }
  }

  #segment(name: string): Record<Side, Counts> {
    const none = () => ({ entered: 0, exited: 0, members: 0 })
    const known = this.#segments.get(name) ?? { before: none(), after: none() }
    this.#segments.set(name, known)
    return known
  }

  count(side: Side, transitions: readonly Transition[], isCounted: boolean): void {
    if (!isCounted) return
    for (const { segment, status } of transitions)
      this.#segment(segment)[side][status === 'realized' ? 'entered' : 'exited']++
  }

  members(side: Side, { memberships }: RuleState): void {
    for (const { name, hash } of this.#rules[side].segments)
      if (memberships.get(hash)?.isIn) this.#segment(name)[side].members++
  }

  answer(side: Side, chosen: readonly { decision: string; scope: string; offer: string }[]): void {
    this.#last[side] = new Map(chosen.map(({ decision, offer }) => [decision, offer]))
  }

  compare(): void {
    for (const [name, counts] of this.#decisions) {
      const [ours, theirs] = SIDES.map((side) => this.#last[side].get(name))
      if (ours === undefined && theirs === undefined) continue
      counts.answers++
      if (ours !== theirs) counts.changed++
      if (ours !== undefined) counts.before[ours] = (counts.before[ours] ?? 0) + 1
      if (theirs !== undefined) counts.after[theirs] = (counts.after[theirs] ?? 0) + 1
    }
  }

  result(): Pick<RulePreview, 'segments' | 'decisions'> {
    return {
      segments: [...this.#segments].map(([name, counts]) => ({ name, ...counts })),
      decisions: [...this.#decisions].map(([name, counts]) => ({ name, ...counts })),
    }
  }
}
