/** Routing, batching, deadlines, fallbacks, explanations and hot swap over a model pool. */
import { RtmlError } from '../app/errors.ts'
import { didYouMean } from '../app/suggest.ts'
import { type Clock, ms } from '../app/units.ts'
import type { Expression } from '../expressions/types.ts'
import type { FeatureSet, Vector } from '../features/types.ts'
import { type Binding, bindModel } from './bind.ts'
import { attributions, baselineOf, type FeatureGroup, groupsOf, type Perturbation, perturb } from './explain.ts'
import { unitHash } from './hash.ts'
import { poolKey, type ScorerModel, type ScorerPlan } from './plan.ts'
import { PreviousScores } from './previous-scores.ts'
import { proveBundle } from './replay-bundle.ts'
import { armFor, type Service, servicesOf } from './route.ts'
import { MISSES, type Miss, type Outcome, runModel } from './run-model.ts'
import type { Attribution, LoadedModel, ModelPool, Score, ScoreOutput, Scorer, ScoringRow } from './types.ts'

export interface ScorerOptions {
  readonly plan: ScorerPlan
  readonly featureSet: FeatureSet
  readonly pool: ModelPool
  readonly clock: Clock
  /** `off`: every row waits for its model. For replays and tests, where a slow moment must not change a score. Default `on`. */
  readonly deadlines?: 'on' | 'off'
  /** Profiles whose last score is remembered, for each output of a model with fallback `previous`. Default 200,000. */
  readonly maxPreviousProfiles?: number
  readonly log?: (msg: string, fields: Readonly<Record<string, unknown>>) => void
}

export interface ScorerCounters {
  readonly rows: number
  /** Batches given to the pool, explanations included. */
  readonly runs: number
  /** Scores by why the model's own was missing. */
  readonly fallbacks: Readonly<Record<Miss, number>>
  /** Of these, the ones for which no fallback had a number: the score is absent. */
  readonly absent: number
  readonly explained: number
  /** Wanted by sampling or on request, but out of time or above the bound of a call. */
  readonly unexplained: number
  readonly swaps: number
}

/** What serves now, for health, metrics and `rtml check`. */
export interface ServingModel {
  readonly model: string
  readonly version: string
  readonly service: string
  readonly role: ScorerModel['role']
  /** All that is known of it, its bytes included. */
  readonly definition: ScorerModel
  readonly key: string
  readonly binding: Binding
  readonly loaded: LoadedModel
}

/** A plan that doesn't serve, because of one of its models. The cause says why. */
export class ModelRefused extends Error {
  readonly model: ScorerModel
  constructor(model: ScorerModel, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.model = model
  }
}

export interface ModelScorer extends Scorer, AsyncDisposable {
  /**
   * Loads and checks a new plan, then serves it from the next call on. Calls under way end with the plan they began with;
   * their sessions are unloaded after the last of them. A plan that is refused changes nothing.
   * @throws ModelRefused with the cause MODEL_LOAD or MODEL_INPUT; RtmlError CONFIG
   */
  swap(plan: ScorerPlan): Promise<void>
  /**
   * Loads a model and holds it against the feature set, beside what serves; replays the tests of a bundle.
   * @throws RtmlError MODEL_LOAD, MODEL_INPUT; BUNDLE naming the first row and node that differ
   */
  check(model: ScorerModel): Promise<Binding>
  serving(): readonly ServingModel[]
  outputs(): readonly ScoreOutput[]
  counters(): ScorerCounters
  /** Profiles whose previous scores are remembered. */
  remembered(): Iterable<string>
  forget(profile: string): void
}

/** Perturbed vectors that one call may run for a model's explanations. */
const MAX_EXPLAIN_ROWS = 8_192
const MAX_WARM_ROWS = 512
/** The pool's queue was full: how often it is asked again. */
const INSIST_TRIES = 100
const INSIST_EVERY_MS = ms(20)

interface Prepared {
  readonly model: ScorerModel
  readonly key: string
  readonly loaded: LoadedModel
  readonly binding: Binding
  readonly groups: readonly FeatureGroup[]
  /** The vector of a profile that nothing is known of. */
  readonly baseline: Vector
  /** 0, or for a graph that reads scores of other models of the same event one more than theirs. */
  readonly wave: number
  /** By output; empty unless the fallback is `previous`. */
  readonly previous: readonly PreviousScores[]
  /** Where samples keep its scores; absent: under the model's name. */
  readonly column: string | undefined
}

interface LivePlan {
  readonly models: readonly Prepared[]
  readonly services: readonly Service[]
  /** Indexes of shadows. */
  readonly shadows: readonly number[]
  /** Columns of samples. */
  readonly outputs: readonly ScoreOutput[]
  calls: number
  isRetired: boolean
}

/**
 * Loads every model of the plan and checks it against the feature set.
 * @throws RtmlError MODEL_LOAD, MODEL_INPUT, CONFIG
 */
export async function createScorer(options: ScorerOptions): Promise<ModelScorer> {
  const scorer = new PoolScorer(options)
  await scorer.swap(options.plan).catch((error: unknown) => {
    throw error instanceof ModelRefused ? error.cause : error
  })
  return scorer
}

class PoolScorer implements ModelScorer {
  readonly #options: ScorerOptions
  readonly #log: (msg: string, fields: Readonly<Record<string, unknown>>) => void
  readonly #baseline: Vector
  #plan: LivePlan = { models: [], services: [], shadows: [], outputs: [], calls: 0, isRetired: false }
  /** Swaps happen one after the other. */
  #lastSwap: Promise<void> = Promise.resolve()
  /** Live plans that use a session. */
  readonly #uses = new Map<string, number>()
  #previous = new Map<string, PreviousScores>()
  readonly #failures = new Map<string, number>()
  readonly #fallbacks = Object.fromEntries(MISSES.map((it) => [it, 0])) as Record<Miss, number>
  readonly #counts = { rows: 0, runs: 0, absent: 0, explained: 0, unexplained: 0, swaps: 0 }

  constructor(options: ScorerOptions) {
    this.#options = options
    this.#log = options.log ?? (() => undefined)
    this.#baseline = baselineOf(options.featureSet)
  }

  *remembered(): Generator<string> {
    for (const scores of this.#previous.values()) yield* scores.profiles()
  }

  forget(profile: string): void {
    for (const scores of this.#previous.values()) scores.forget(profile)
  }

  counters(): ScorerCounters {
    return { ...this.#counts, fallbacks: { ...this.#fallbacks } }
  }

  serving(): readonly ServingModel[] {
    return this.#plan.models.map(({ model, key, binding, loaded }) => ({
      definition: model,
      model: model.name,
      version: model.version,
      service: model.service,
      role: model.role,
      key,
      binding,
      loaded,
    }))
  }

  outputs(): readonly ScoreOutput[] {
    return this.#plan.outputs
  }

  async score(rows: readonly ScoringRow[]): Promise<Score[][]> {
    const plan = this.#plan
    plan.calls++
    try {
      return await this.#scoreWith(plan, rows)
    } finally {
      plan.calls--
      this.#releaseIfDone(plan)
    }
  }

  async swap(plan: ScorerPlan): Promise<void> {
    const swapped = this.#lastSwap.then(() => this.#swapNow(plan))
    this.#lastSwap = swapped.catch(() => undefined)
    return swapped
  }

  async check(model: ScorerModel): Promise<Binding> {
    const taken: string[] = []
    try {
      const { binding, key } = await this.#prepare({ ...model, fallback: { kind: 'none' } }, undefined, taken)
      if (binding.answers) await proveBundle(model.bytes, key, this.#options.pool)
      return binding
    } finally {
      this.#release(taken)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.swap({ models: [] })
  }

  async #swapNow(plan: ScorerPlan): Promise<void> {
    const services = servicesOf(plan.models)
    const taken: string[] = []
    try {
      const models: Prepared[] = []
      const columns = columnsOf(plan.models)
      for (const [index, model] of plan.models.entries()) {
        models.push(
          await this.#prepare(model, columns[index], taken).catch((error: unknown) => {
            throw new ModelRefused(model, error)
          }),
        )
      }
      const waves = wavesOf(models)
      for (const [index, wave] of waves.entries()) models[index] = { ...(models[index] as Prepared), wave }
      const shadows = models.flatMap((it, index) => (it.model.role === 'shadow' ? [index] : []))
      const old = this.#plan
      this.#plan = { models, services, shadows, outputs: this.#outputsOf(models), calls: 0, isRetired: false }
      old.isRetired = true
      this.#counts.swaps++
      this.#previous = new Map(models.flatMap((it) => it.previous.map((scores, o) => [outputKey(it, o), scores])))
      this.#releaseIfDone(old)
    } catch (error) {
      this.#release(taken)
      throw error
    }
  }

  async #prepare(model: ScorerModel, column: string | undefined, taken: string[]): Promise<Prepared> {
    const key = poolKey(model)
    this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1)
    taken.push(key)
    const loaded = await this.#options.pool.load(key, model.bytes, {
      warmRows: Math.min(model.maxBatchRows, MAX_WARM_ROWS),
    })
    const binding = bindModel(model, loaded, this.#options.featureSet)
    for (const note of binding.notes) this.#log('model binding', { model: model.name, version: model.version, note })
    const remembers = model.fallback.kind === 'previous'
    const previous = remembers ? binding.outputs.map((_, output) => this.#previousOf({ model, column }, output)) : []
    const baseline = binding.extension?.baseline(this.#baseline) ?? this.#baseline
    return { model, key, loaded, binding, groups: groupsOf(binding), baseline, wave: 0, previous, column }
  }

  /** A new version goes on from what the old one last said. */
  #previousOf(prepared: Pick<Prepared, 'model' | 'column'>, output: number): PreviousScores {
    const key = outputKey(prepared, output)
    const known = this.#previous.get(key) ?? new PreviousScores(this.#options.maxPreviousProfiles ?? 200_000)
    // Two versions of one model in a plan, champion and arm, share what the model last said.
    this.#previous.set(key, known)
    return known
  }

  /** The array of the plan before where it says the same: whoever laid out columns for it need not do so again. */
  #outputsOf(models: readonly Prepared[]): readonly ScoreOutput[] {
    const outputs = new Map<string, ScoreOutput>()
    for (const { model, binding, column = model.name } of models) {
      if (model.deploy === 'edge') continue
      for (const { name } of binding.outputs) outputs.set(`${column}\0${name}`, { model: column, output: name })
    }
    const before = this.#plan.outputs
    const now = [...outputs.values()]
    const isSame =
      now.length === before.length &&
      before.every((it, i) => now[i]!.model === it.model && now[i]!.output === it.output)
    return isSame ? before : now
  }

  #releaseIfDone(plan: LivePlan): void {
    if (plan.isRetired && plan.calls === 0) this.#release(plan.models.map((it) => it.key))
  }

  #release(keys: readonly string[]): void {
    for (const key of keys) {
      const uses = (this.#uses.get(key) ?? 1) - 1
      if (uses > 0) {
        this.#uses.set(key, uses)
        continue
      }
      this.#uses.delete(key)
      this.#failures.delete(key)
      this.#options.pool
        .unload(key)
        .catch((error: Error) => this.#log('model was not unloaded', { key, cause: error.message }))
    }
  }

  async #scoreWith(plan: LivePlan, rows: readonly ScoringRow[]): Promise<Score[][]> {
    const startedAt = this.#options.clock.now()
    this.#counts.rows += rows.length
    const assigned = assign(plan, rows)
    const scores: Score[][] = rows.map(() => [])
    const outcomes: Outcome[] = []
    const wantsAnswers = rows.some((it) => it.answers)
    for (let wave = 0; outcomes.length < plan.models.length && wave <= plan.models.length; wave++) {
      // Nearly always one wave. A graph that reads another model's score of the event runs after that model.
      const members = plan.models.flatMap((it, index) => (it.wave === wave ? [index] : []))
      const done = await Promise.all(
        members.map(async (index) => {
          const prepared = plan.models[index] as Prepared
          const vectors = vectorsOf(prepared, rows, assigned[index] as number[], scores)
          const outcome = await this.#run(prepared, vectors, prepared.model.deadlineMs, wantsAnswers)
          await this.#insist(prepared, assigned[index] as number[], rows, vectors, outcome)
          return outcome
        }),
      )
      for (const [at, index] of members.entries()) {
        outcomes[index] = done[at] as Outcome
        this.#collect(plan, index, assigned[index] as number[], rows, done[at] as Outcome, scores)
      }
      if (members.length === 0) break
    }
    const spentMs = this.#options.clock.now() - startedAt
    for (const [index, prepared] of plan.models.entries()) {
      await this.#explain(prepared, assigned[index] as number[], rows, outcomes[index] as Outcome, scores, spentMs)
    }
    return scores
  }

  /**
   * In the stream, an event whose model is late and whose fallback knows nothing waits for the model: a score that comes late
   * is worth more than none at all. Nobody waits at the other end, as somebody does at the edge.
   */
  async #insist(
    prepared: Prepared,
    assigned: readonly number[],
    rows: readonly ScoringRow[],
    vectors: readonly Vector[],
    outcome: Outcome,
  ): Promise<void> {
    if (prepared.model.fallback.kind === 'none') return
    const isWanted = (i: number) => {
      const miss = outcome.misses[i]
      if (miss !== 'deadline' && miss !== 'busy') return false
      const row = rows[assigned[i] as number] as ScoringRow
      return row.at === 'hub' && this.#fallbackValue(prepared, row, 0) === undefined
    }
    let wanted = assigned.flatMap((_, i) => (isWanted(i) ? [i] : []))
    for (let tries = 0; wanted.length > 0 && tries < INSIST_TRIES; tries++) {
      if (tries > 0) await this.#options.clock.sleep(INSIST_EVERY_MS)
      const again = await this.#run(
        prepared,
        wanted.map((i) => vectors[i] as Vector),
        undefined,
        outcome.answers !== undefined,
      )
      const width = prepared.binding.outputs.length
      for (const [at, i] of wanted.entries()) {
        outcome.values.set(again.values.subarray(at * width, (at + 1) * width), i * width)
        outcome.misses[i] = again.misses[at]
        if (outcome.answers) outcome.answers[i] = again.answers?.[at]
      }
      wanted = wanted.filter((i) => outcome.misses[i] === 'busy')
    }
  }

  /** @param budgetMs undefined: as long as it takes */
  async #run(
    prepared: Prepared,
    vectors: readonly Vector[],
    budgetMs: number | undefined,
    wantsAnswers = false,
  ): Promise<Outcome> {
    if (vectors.length === 0) return NOTHING
    const { pool, clock, deadlines } = this.#options
    const target = {
      pool,
      clock,
      key: prepared.key,
      binding: prepared.binding,
      maxBatchRows: prepared.model.maxBatchRows,
      wantsAnswers,
    }
    const outcome = await runModel(target, vectors, deadlines === 'off' ? undefined : budgetMs)
    this.#counts.runs += outcome.runs
    for (const error of outcome.errors) this.#logFailure(prepared, error)
    return outcome
  }

  /** The 1st, 2nd, 4th, 8th… failure of a model: enough to see it, never a flood. */
  #logFailure({ key, model }: Prepared, error: Error): void {
    const count = (this.#failures.get(key) ?? 0) + 1
    this.#failures.set(key, count)
    if (Number.isInteger(Math.log2(count))) {
      this.#log('model run failed', {
        model: model.name,
        version: model.version,
        failures: count,
        cause: error.message,
      })
    }
  }

  #collect(
    plan: LivePlan,
    index: number,
    assigned: readonly number[],
    rows: readonly ScoringRow[],
    outcome: Outcome,
    scores: Score[][],
  ): void {
    const prepared = plan.models[index] as Prepared
    const { model, binding, previous, column } = prepared
    const { name, version, service } = model
    const rivals = plan.services.find(({ watchers }) => watchers.includes(index))
    const inColumn = column === undefined ? {} : { column }
    const outputs = binding.outputs
    for (let i = 0; i < assigned.length; i++) {
      const at = assigned[i] as number
      const row = rows[at] as ScoringRow
      const miss = outcome.misses[i]
      const isWatching = rivals !== undefined && armFor(rivals, row.event.key) !== index
      const role = isWatching ? 'shadow' : model.role
      for (let o = 0; o < outputs.length; o++) {
        const output = (outputs[o] as (typeof outputs)[number]).name
        if (miss === undefined) {
          const value = outcome.values[i * outputs.length + o] as number
          // What a graph gives beside its score may be missing for a row.
          if (!Number.isFinite(value)) continue
          if (!row.hypothetical) previous[o]?.set(row.event.key, value)
          const score = { model: name, version, service, role, output, value, fallback: 'none', ...inColumn } as const
          const answer = o === 0 ? outcome.answers?.[i] : undefined
          scores[at]?.push(answer ? { ...score, answer } : score)
          continue
        }
        this.#fallbacks[miss]++
        if (miss === 'filtered') {
          this.#counts.absent++
          continue
        }
        const value = this.#fallbackValue(prepared, row, o)
        if (value === undefined) {
          this.#counts.absent++
          continue
        }
        const fallback = fallbackName(model)
        scores[at]?.push({ model: name, version, service, role, output, value, fallback, ...inColumn })
      }
    }
  }

  #fallbackValue({ model, previous }: Prepared, row: ScoringRow, output: number): number | undefined {
    const { fallback } = model
    switch (fallback.kind) {
      case 'previous':
        return previous[output]?.get(row.event.key)
      case 'prior':
        return fallback.value
      case 'rule':
        return this.#ruleValue(fallback.rule, row)
      case 'none':
        return undefined
    }
  }

  #ruleValue(rule: Expression, row: ScoringRow): number | undefined {
    try {
      const value = rule.evaluate(row.event.xdm, { features: this.#named(row.vector) })
      return typeof value === 'number' && Number.isFinite(value) ? value : undefined
    } catch {
      // A rule that fails is a fallback that has no number: counted as absent, like the others.
      return undefined
    }
  }

  /** Only built where a rule is asked, never on the way of a good score. */
  #named(vector: Vector): Record<string, number | string | null> {
    const features: Record<string, number | string | null> = {}
    for (const { name, type, index } of this.#options.featureSet.columns) {
      const number = vector.floats[index] as number
      features[name] = type === 'string' ? (vector.strings[index] ?? '') : Number.isNaN(number) ? null : number
    }
    return features
  }

  async #explain(
    prepared: Prepared,
    assigned: readonly number[],
    rows: readonly ScoringRow[],
    outcome: Outcome,
    scores: Score[][],
    spentMs: number,
  ): Promise<void> {
    const { model } = prepared
    const wanted = assigned.flatMap((at, i) => {
      if (outcome.misses[i] !== undefined) return []
      const row = rows[at] as ScoringRow
      return row.explain || isSampled(model, row.event.id) ? [{ at, i, row }] : []
    })
    if (wanted.length === 0) return
    // Who asked gets a budget of its own; a sample only what the scores have left over.
    const budgetMs = wanted.some((it) => it.row.explain) ? model.deadlineMs : model.deadlineMs - spentMs
    if (budgetMs <= 0 && this.#options.deadlines !== 'off') {
      this.#counts.unexplained += wanted.length
      return
    }
    const parts: { wanted: (typeof wanted)[number]; perturbation: Perturbation; first: number }[] = []
    const vectors: Vector[] = []
    for (const it of wanted) {
      const [vector] = vectorsOf(prepared, [it.row], [0], [scores[it.at] as Score[]]) as [Vector]
      const perturbation = perturb(vector, prepared.baseline, prepared.groups)
      if (vectors.length > 0 && vectors.length + perturbation.vectors.length > MAX_EXPLAIN_ROWS) break
      parts.push({ wanted: it, perturbation, first: vectors.length })
      vectors.push(...perturbation.vectors)
    }
    const perturbed = await this.#run(prepared, vectors, budgetMs)
    let explained = 0
    for (const { wanted, perturbation, first } of parts) {
      const outputs = prepared.binding.outputs.length
      const lists = prepared.binding.outputs.map((_, o) => {
        const score = outcome.values[wanted.i * outputs + o] as number
        return attributions(score, perturbation, perturbed, first, o, outputs, model.explain.top)
      })
      if (lists.some((it) => it === undefined)) continue
      attach(scores[wanted.at] as Score[], prepared, lists as Attribution[][])
      explained++
    }
    this.#counts.explained += explained
    this.#counts.unexplained += wanted.length - explained
  }
}

const NOTHING: Outcome = { values: new Float64Array(0), misses: [], runs: 0, errors: [] }

const outputKey = ({ model, column = model.name }: Pick<Prepared, 'model' | 'column'>, output: number): string =>
  `${column}/${Object.keys(model.outputs)[output]}`

/** Columns of samples: a shadow gets one of its own when its model serves in another version, or has an earlier shadow. */
function columnsOf(models: readonly ScorerModel[]): (string | undefined)[] {
  const taken = new Set(models.flatMap(({ name, role }) => (role === 'shadow' ? [] : [name])))
  return models.map(({ name, version, role }) => {
    if (role !== 'shadow') return undefined
    if (taken.has(name)) return `${name}@${version}`
    taken.add(name)
    return undefined
  })
}

const fallbackName = ({ fallback }: ScorerModel): 'previous' | 'prior' | 'rule' =>
  fallback.kind === 'prior' || fallback.kind === 'rule' ? fallback.kind : 'previous'

const isSampled = (model: ScorerModel, eventId: string): boolean =>
  model.explain.share > 0 && unitHash(`explain\n${model.name}\n${eventId}`) < model.explain.share

/** Rows of each model of the plan. A model whose condition is false doesn't score; nobody steps in for it. */
function assign(plan: LivePlan, rows: readonly ScoringRow[]): number[][] {
  const assigned: number[][] = plan.models.map(() => [])
  const offer = (index: number, at: number, row: ScoringRow) => {
    const { when, service, deploy } = (plan.models[index] as Prepared).model
    if (row.service !== undefined && row.service !== service) return
    if (row.at !== undefined && deploy !== 'both' && deploy !== row.at) return
    if (when === undefined || when.test(row.event.xdm)) assigned[index]?.push(at)
  }
  for (let at = 0; at < rows.length; at++) {
    const row = rows[at] as ScoringRow
    for (const service of plan.services) {
      const chosen = armFor(service, row.event.key)
      offer(chosen, at, row)
      for (const watcher of service.watchers) if (watcher !== chosen) offer(watcher, at, row)
    }
    for (const shadow of plan.shadows) offer(shadow, at, row)
  }
  return assigned
}

function vectorsOf(
  { binding: { extension } }: Prepared,
  rows: readonly ScoringRow[],
  assigned: readonly number[],
  scores: readonly (readonly Score[])[],
): Vector[] {
  if (!extension) return assigned.map((at) => (rows[at] as ScoringRow).vector)
  return assigned.map((at) => {
    const row = rows[at] as ScoringRow
    return extension.extend(row, row.vector, {
      ...row.profile,
      scores: { ...row.profile?.scores, ...namedScores(scores[at] as readonly Score[]) },
    })
  })
}

/** Scores of an event by model and by model.output; shadows decide nothing, so nothing reads them. */
function namedScores(scores: readonly Score[]): Record<string, number> {
  const named: Record<string, number> = {}
  for (const { model, output, role, value } of scores) {
    if (role === 'shadow') continue
    named[`${model}.${output}`] = value
    if (!Object.hasOwn(named, model)) named[model] = value
  }
  return named
}

/** @throws RtmlError CONFIG when graphs read each other's scores in a circle, or a score that no model gives */
function wavesOf(models: readonly Prepared[]): number[] {
  const waves = new Array<number | undefined>(models.length)
  const open = new Set<number>()
  const waveOf = (index: number): number => {
    const known = waves[index]
    if (known !== undefined) return known
    const { model, binding } = models[index] as Prepared
    const place = model.place === undefined ? {} : { place: model.place }
    if (open.has(index)) throw new RtmlError('CONFIG', `${model.name} reads a score that depends on its own.`, place)
    open.add(index)
    let wave = 0
    for (const score of binding.extension?.scores ?? []) {
      const [name] = score.split('.')
      const givers = models.flatMap(({ model: it }, at) => (it.name === name && it.role !== 'shadow' ? [at] : []))
      if (givers.length === 0) {
        const names = models.map(({ model: it }) => it.name)
        throw new RtmlError(
          'CONFIG',
          `${model.name} reads the score ${JSON.stringify(score)}, which no model gives.${didYouMean(score, names)}`,
          place,
        )
      }
      for (const giver of givers) wave = Math.max(wave, waveOf(giver) + 1)
    }
    open.delete(index)
    waves[index] = wave
    return wave
  }
  return models.map((_, index) => waveOf(index))
}

function attach(scores: Score[], prepared: Prepared, lists: readonly Attribution[][]): void {
  for (const [i, score] of scores.entries()) {
    if (score.model !== prepared.model.name || score.column !== prepared.column) continue
    const o = prepared.binding.outputs.findIndex((it) => it.name === score.output)
    const explanation = lists[o]
    if (explanation) scores[i] = { ...score, explanation }
  }
}
