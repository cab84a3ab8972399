/**
 * The one page that wires processors to topics.
 *
 *   raw.<source> ─► map.<source> ─► xdm.events ─► profile ─┬─► profile.scores
 *   raw.<source> (keyed by identity, alone) ───► profile ──┼─► samples ─► outcomes, labels ─► training.examples
 *                                                          ├─► <app>.entity.<name> ─► entity.<name>
 *                                                          ├─► profile.segments, <app>.links, <app>.exposures
 *                                                          └─► dlq.raw, dlq.xdm
 */

import { randomUUID } from 'node:crypto'
import { RtmlError } from './app/errors.ts'
import { ALL_ROLES, type Role } from './app/roles.ts'
import type { Application } from './app/schema.ts'
import { fusedSource, groupOf, hasRules, type TopicNames, topicNames } from './app/topics.ts'
import { type Clock, ms, type Random } from './app/units.ts'
import { RuleCompiler, type Rules } from './decisions/rules.ts'
import type { Engine, LogRecord, TopicSpec } from './engine/ports.ts'
import { createExpressions, type Expressions } from './expressions/index.ts'
import { createFeatureSet, sideFeatures } from './features/index.ts'
import type { FeatureSet, Lookups } from './features/types.ts'
import { type CompiledLabel, compileLabels } from './learner/labels/definition.ts'
import { createMapper, loadMapping, type Mapper, type ReadFile } from './mapper/index.ts'
import {
  examplesSchema,
  examplesSubject,
  SCORES_SCHEMA,
  SEGMENTS_SCHEMA,
  scoresSubject,
  segmentsSubject,
} from './outputs/index.ts'
import { type Alignment, alignmentOf } from './runtime/alignment.ts'
import type { ShardContext, ShardOptions } from './runtime/context.ts'
import { fileModel } from './runtime/gallery/file-models.ts'
import { lazyPool } from './runtime/gallery/lazy-pool.ts'
import { type DeployTarget, ModelFollower } from './runtime/gallery/model-follower.ts'
import { ModelRegistry } from './runtime/gallery/model-registry.ts'
import { Layouts } from './runtime/layouts.ts'
import type { LearnerTask } from './runtime/learning/learner-task.ts'
import { type LearningOptions, LearningService, learnerTasks } from './runtime/learning/learning-service.ts'
import { LookupTables } from './runtime/lookup-tables.ts'
import { serveBackfills } from './runtime/repair/backfill-service.ts'
import type { KeyedStage } from './runtime/repair/keyed-stage.ts'
import { retry } from './runtime/retry.ts'
import { RuleBook } from './runtime/rules/rule-book.ts'
import { Service } from './runtime/service.ts'
import type { Stage } from './runtime/stage.ts'
import { withControls } from './runtime/stages/control-records.ts'
import { EntityReader } from './runtime/stages/entity-reader.ts'
import { entityStage } from './runtime/stages/entity-stage.ts'
import { type EventSource, HISTORY_HEADER, mappedSource, xdmSource } from './runtime/stages/event-source.ts'
import type { ExampleOptions } from './runtime/stages/example-writer.ts'
import { labelStage, waitingLabels } from './runtime/stages/label-stage.ts'
import { mapStage } from './runtime/stages/map-stage.ts'
import { outcomeStage } from './runtime/stages/outcome-stage.ts'
import { ProfileRules } from './runtime/stages/profile-rules.ts'
import { profileStage } from './runtime/stages/profile-stage.ts'
import { PSEUDONYM_BYTES } from './runtime/stages/profile-state.ts'
import { type Logger, type Metrics, silentMetrics } from './runtime/telemetry.ts'
import { TimerClock } from './runtime/timers/timer-clock.ts'
import { serveTimers } from './runtime/timers/timer-service.ts'
import {
  createModelPool,
  createScorer,
  type FetchModelOptions,
  fetchModel,
  type ModelScorer,
  type ModelSource,
  RULE_VARIABLES,
  type ScorerModel,
  scorerModel,
} from './scorer/index.ts'
import type { ModelPool } from './scorer/types.ts'
import { composeSchema, type XdmSchema } from './xdm/index.ts'

/** What an application file becomes before anything runs: compiled, and checked against itself. */
export interface Plan {
  readonly app: Application
  readonly topics: TopicNames
  readonly schema: XdmSchema
  readonly expressions: Expressions
  readonly featureSet: FeatureSet
  readonly mappers: ReadonlyMap<string, Mapper>
  /** How the records of a source are encoded. */
  readonly formats: ReadonlyMap<string, string>
  readonly models: readonly ScorerModel[]
  readonly labels: readonly CompiledLabel[]
  /** Segments and decisions; undefined: there are none. */
  readonly rules: { readonly compiler: RuleCompiler; readonly initial: Rules } | undefined
  /** Gets a model that stands at an address. */
  readonly fetchModel: (source: ModelSource) => Promise<{ readonly bytes: Uint8Array; readonly sha256: string }>
}

export interface PlanOptions {
  readonly app: Application
  readonly readFile: ReadFile
  readonly models: FetchModelOptions
  readonly env: (name: string) => string | undefined
  /** Writer schemas of Avro sources. */
  readonly schemaById?: (id: number) => Promise<object>
}

/** Compiles an application. @throws RtmlError CONFIG, MODEL_LOAD */
export async function planApplication(options: PlanOptions): Promise<Plan> {
  const { app } = options
  const schema = composeSchema(app.schema)
  // Everything here may be replayed, so nothing may depend on when it runs.
  const expressions = createExpressions({ replayable: true })
  const compiler = hasRules(app) ? new RuleCompiler(app, schema, expressions) : undefined
  const featureSet = createFeatureSet(app, expressions, compiler?.hidden)
  const rules = compiler && { compiler, initial: compiler.bind((feature) => featureSet.resolve(feature)) }
  const mappers = new Map<string, Mapper>()
  const formats = new Map<string, string>()
  for (const [name, source] of Object.entries(app.sources)) {
    const mapping = await loadMapping(source.mapping, options.readFile)
    const { schemaById } = options
    formats.set(name, source.format ?? mapping.format)
    mappers.set(
      name,
      createMapper({
        name,
        source,
        mapping,
        app,
        schema,
        expressions,
        secrets: options.env,
        ...(schemaById ? { schemaById } : {}),
      }),
    )
  }
  const models: ScorerModel[] = []
  for (const [name, definition] of Object.entries(app.models)) {
    const { bytes, sha256 } = await fetchModel(definition, options.models)
    const rule =
      typeof definition.fallback === 'object' && 'rule' in definition.fallback ? definition.fallback.rule : undefined
    models.push(
      scorerModel(name, definition, {
        bytes,
        sha256,
        when: definition.when === undefined ? undefined : expressions.compile(definition.when),
        rule: rule === undefined ? undefined : expressions.compile(rule, { variables: [...RULE_VARIABLES] }),
        place: `models.${name}`,
      }),
    )
  }
  const labels = compileLabels(app.labels, (text) => expressions.compile(text))
  const fetch = (source: ModelSource) => fetchModel(source, options.models)
  return {
    app,
    topics: topicNames(app),
    schema,
    expressions,
    featureSet,
    mappers,
    formats,
    models,
    fetchModel: fetch,
    labels,
    rules,
  }
}

/** Topics that an application reads and writes. */
export function topicSpecs(app: Application): TopicSpec[] {
  const topics = topicNames(app)
  const { partitions, outputs } = app
  const fused = fusedSource(app)
  const kept = (topic: string, retention: number, count = partitions): TopicSpec => ({
    topic,
    partitions: count,
    cleanup: 'delete',
    retentionMs: ms(retention),
  })
  const DAY = 86_400_000
  return [
    ...Object.keys(app.sources).map((source) => kept(topics.raw(source), 7 * DAY)),
    ...(fused === undefined || app.events.publish ? [kept(topics.events, 30 * DAY)] : []),
    ...Object.entries(app.entities).map(([name, entity]) =>
      kept(topics.entity(name), 30 * DAY, entity.partitions ?? partitions),
    ),
    ...Object.keys(app.lookups).map(
      (name): TopicSpec => ({ topic: topics.lookup(name), partitions: 1, cleanup: 'compact' }),
    ),
    { topic: topics.scores, partitions, cleanup: 'compact+delete', retentionMs: ms(90 * DAY) },
    kept(topics.samples, outputs.samples.retention),
    ...(Object.keys(app.labels).length > 0
      ? [
          kept(topics.examples, Math.max(outputs.examples.retention, 2 * longestWindow(app))),
          // Keyed by alert, so that what is still open can always be read.
          { topic: topics.alerts, partitions: 1, cleanup: 'compact+delete', retentionMs: ms(30 * DAY) } as const,
        ]
      : []),
    ...(app.identity.link ? [{ topic: topics.links, partitions, cleanup: 'compact' } as const] : []),
    ...(hasRules(app)
      ? [
          { topic: topics.segments, partitions, cleanup: 'compact' } as const,
          { topic: topics.timers, partitions, cleanup: 'compact' } as const,
          // Kept for ever: it is the history of the rules, too.
          { topic: topics.rules, partitions: 1, cleanup: 'delete' } as const,
          kept(topics.decisions, outputs.decisions.retention),
          kept(topics.exposures, outputs.decisions.retention, 1),
        ]
      : []),
    kept(topics.deadRaw, outputs.deadLetters.retention),
    kept(topics.deadXdm, outputs.deadLetters.retention),
    { topic: topics.audit, partitions: 1, cleanup: 'delete', retentionMs: ms(400 * DAY) },
    {
      topic: topics.control,
      partitions: 1,
      cleanup: 'compact+delete',
      // As long as anything that an order speaks of can lie in the log.
      retentionMs: ms(Math.max(400 * DAY, outputs.deadLetters.retention, outputs.samples.retention)),
    },
    // One partition: whoever changes what serves must agree on an order. Each key is written once, so history stays.
    { topic: topics.models, partitions: 1, cleanup: 'compact' },
    { topic: topics.snapshots, partitions, cleanup: 'compact+delete', retentionMs: ms(app.events.ttl * 2) },
  ]
}

/** Longest attribution window of the application's labels, milliseconds; 0 when outcomes aren't waited for. */
const longestWindow = ({ labels }: Application): number =>
  Math.max(0, ...Object.values(labels).map(({ window = 0 }) => window))

/** What a plan runs on. */
export interface RunPlanOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly random: Random
  readonly hrtime: () => number
  readonly metrics: Metrics
  readonly logger: Logger
  readonly env: (name: string) => string | undefined
  /** Ends the wait for dependencies that are away. */
  readonly signal: AbortSignal
  /** Where models run; called when the plan has some. Default: worker threads. */
  readonly createPool?: () => Promise<ModelPool>
  /** Who scores in this process: models that are deployed elsewhere only are not loaded. Default: both. */
  readonly targets?: ReadonlySet<DeployTarget>
  /** Stages that this process takes. Default: all. */
  readonly roles?: ReadonlySet<Role>
  /** `off`: the models of the plan serve, whatever the topic `models` says. Default `on`. */
  readonly followModels?: 'on' | 'off'
  /** Bounds and rhythms other than the usual ones. */
  readonly tuning?: Partial<ShardOptions>
}

export interface RunOptions extends PlanOptions, Omit<RunPlanOptions, 'env'> {}

/** An application that runs. */
export interface RunningApplication extends AsyncDisposable {
  readonly plan: Plan
  readonly engine: Engine
  readonly service: Service
  readonly scorer: ModelScorer
  /** Keeps the scorer at what the topic `models` says. Undefined: the application file's models serve, whatever comes. */
  readonly models: ModelFollower | undefined
  readonly registry: ModelRegistry | undefined
  readonly context: ShardContext
  /** What the profile stage reads besides the profile's own state: the edge reads the same. */
  readonly entities: EntityReader
  readonly lookups: LookupTables
  /** Segments and decisions that hold; undefined: there are none. */
  readonly rules: RuleBook | undefined
}

/**
 * Plans the application, prepares topics and schemas, and joins the groups. Waits for dependencies that are away.
 * @throws RtmlError CONFIG, MODEL_LOAD, MODEL_INPUT, TOPIC_SETTING, PARTITIONS_CHANGED; Stopped when `signal` aborts
 */
export async function runApplication(options: RunOptions): Promise<RunningApplication> {
  const plan = await planApplication({ ...options, schemaById: (id) => options.engine.registry.schema(id) })
  return runPlan(plan, options)
}

/**
 * Prepares topics and schemas of a plan, and joins the groups. Waits for dependencies that are away.
 * @throws RtmlError MODEL_LOAD, MODEL_INPUT, TOPIC_SETTING, PARTITIONS_CHANGED; Stopped when `signal` aborts
 */
export async function runPlan(plan: Plan, options: RunPlanOptions): Promise<RunningApplication> {
  const { engine, clock, metrics, logger, signal, roles = ALL_ROLES } = options
  await using cleanUp = new AsyncDisposableStack()
  const { app, topics, schema, featureSet } = plan
  const context = shardContext(app, options)
  const wait = <T>(operation: () => Promise<T>) => retry(context, signal, operation)

  await wait(() => prepareTopics(engine, app, logger))
  const schemaIds = {
    events: await wait(() => engine.registry.register(`${topics.events}-value`, schema.avroSchema)),
    scores: await wait(() => engine.registry.register(scoresSubject(topics.scores), SCORES_SCHEMA)),
    segments: plan.rules
      ? await wait(() => engine.registry.register(segmentsSubject(topics.segments), SEGMENTS_SCHEMA))
      : NO_SCHEMAS.segments,
  }
  const timerClock = new TimerClock()
  const layouts = layoutsOf(app, featureSet, engine)
  for (const it of layouts.values()) await wait(() => it.announce())

  const { scorer, models, registry } = await scoring(plan, context, options, cleanUp)
  const lookups = await wait(() =>
    LookupTables.open(app.lookups, engine.log, (topic) => `${app.topicPrefix}${topic}`, context),
  )
  cleanUp.use(lookups)

  const partitionsOf = new Map<string, number>()
  for (const name of Object.keys(app.entities)) {
    partitionsOf.set(name, (await wait(() => engine.log.bounds(topics.entity(name)))).length)
  }
  const entities = new EntityReader({
    app,
    topics,
    featureSet,
    store: engine.store,
    clock,
    layouts,
    partitions: (entity) => partitionsOf.get(entity) ?? app.partitions,
  })
  const xdmEvents = xdmSource(schema, schemaIds.events, (id) => engine.registry.schema(id))
  const ends = await wait(() => historyEnds(engine, plan))
  const isHistory = (record: LogRecord) =>
    record.headers[HISTORY_HEADER] !== undefined || record.offset < (ends.get(record.topic)?.[record.partition] ?? 0)
  const fused = fusedSource(app)
  const mapped = (source: string) => mappedSource(plan.mappers.get(source)!, metrics)
  const alignment = alignmentOf(app, options)
  const stages: Stage[] = []
  if (fused === undefined && roles.has('mapper')) {
    for (const source of Object.keys(app.sources)) {
      stages.push(
        erase(
          mapStage({
            app,
            topics,
            source,
            events: mapped(source),
            schema,
            schemaId: schemaIds.events,
            isHistory,
            alignment,
            metrics,
          }),
        ),
      )
    }
  }
  const keyed = keyedStages(plan, {
    ...options,
    isHistory,
    featureSet,
    schemaIds,
    xdmEvents,
    scorer,
    entities,
    layouts,
    lookups,
    timerClock,
    alignment: alignmentOf(app, options),
  })
  if (roles.has('scorer')) stages.push(...keyed.map(({ stage }) => stage))
  if (roles.has('labels')) stages.push(...labelStages(plan, options))

  await wait(() => checkPartitions(engine, stages))
  const service = new Service(context, stages)
  cleanUp.use(service)
  await service.open()
  let rules: RuleBook | undefined
  if (plan.rules) {
    const { compiler, initial } = plan.rules
    rules = await wait(() => RuleBook.open({ compiler, initial, log: engine.log, topic: topics.rules, context }))
    cleanUp.use(rules)
    if (roles.has('scorer'))
      cleanUp.use(serveTimers({ context, service, topic: topics.timers, clock: timerClock, rules }))
  }
  const rest = cleanUp.move()
  return {
    plan,
    engine,
    service,
    scorer,
    models,
    registry,
    context,
    entities,
    lookups,
    rules,
    [Symbol.asyncDispose]: () => rest.disposeAsync(),
  }
}

/** Models of the application file, and those that records of the topic `models` put in their place. */
async function scoring(
  plan: Plan,
  context: ShardContext,
  options: RunPlanOptions,
  cleanUp: AsyncDisposableStack,
): Promise<Pick<RunningApplication, 'scorer' | 'models' | 'registry'>> {
  const { featureSet, expressions } = plan
  const { clock, metrics, signal, followModels = 'on', targets = BOTH_TARGETS } = options
  const pool = lazyPool(options.createPool ?? (() => createModelPool({})))
  cleanUp.use(pool)
  if (followModels === 'off') {
    const scorer = cleanUp.use(await createScorer({ plan: { models: plan.models }, featureSet, pool, clock }))
    for (const { name, version, role } of plan.models) metrics.gauge('rtml_model_info', [name, version, role], 1)
    return { scorer, models: undefined, registry: undefined }
  }
  const scorer = cleanUp.use(await createScorer({ plan: { models: [] }, featureSet, pool, clock }))
  const registry = await retry(context, signal, () => openRegistry(plan, options))
  const models = cleanUp.use(
    await ModelFollower.start({ registry, scorer, expressions, targets, fileModels: plan.models, context }),
  )
  return { scorer, models, registry }
}

const BOTH_TARGETS: ReadonlySet<DeployTarget> = new Set(['hub', 'edge'])

/** The topic `models` on top of the application file's models. @throws RtmlError LOG_DOWN, TOPIC_SETTING */
export function openRegistry(
  { app, topics, models, fetchModel }: Pick<Plan, 'app' | 'topics' | 'models' | 'fetchModel'>,
  { engine, clock, logger }: Pick<RunPlanOptions, 'engine' | 'clock'> & { readonly logger?: Logger },
): Promise<ModelRegistry> {
  const at = new Date(clock.now()).toISOString()
  return ModelRegistry.open({
    log: engine.log,
    topic: topics.models,
    clock,
    initial: models.map((model) => fileModel(model.name, app.models[model.name]!, model, at)),
    fetchUri: async (uri, sha256) => (await fetchModel({ uri, sha256 })).bytes,
    newId: randomUUID,
    onRefused: (error, at) =>
      logger?.warn({ topic: topics.models, offset: at, reason: error.message }, 'record ignored'),
  })
}

/** The stages that join samples with their outcomes; none when the application has no labels. */
function labelStages({ app, topics, labels }: Plan, { engine, clock, metrics }: RunPlanOptions): Stage[] {
  if (labels.length === 0) return []
  const { log, store, registry } = engine
  // Samples from before a change of the features have columns of their own.
  const ids = new Map<string, Promise<number>>()
  const examples: ExampleOptions = {
    topic: topics.examples,
    clock,
    schemaId({ columns }) {
      const { featureSetVersion: version } = columns
      const known = ids.get(version)
      if (known) return known
      const id = registry.register(examplesSubject(topics.examples), examplesSchema(columns))
      ids.set(version, id)
      id.catch(() => ids.delete(version))
      return id
    },
  }
  const shared = { app, topics, labels, examples, metrics }
  const stages = [erase(outcomeStage({ ...shared, log }))]
  if (waitingLabels(labels).length > 0) stages.push(erase(labelStage({ ...shared, store, clock })))
  return stages
}

/** Key of pseudonyms, and of what stands for a person in `control`: the same for every process of an application. */
export const pseudonymKey = (app: Application, env: (name: string) => string | undefined): string =>
  env('RTML_PSEUDONYM_KEY') ?? app.name

/** Note with the positions up to which a topic's records are history: see `rtml bootstrap`. */
export const historyNote = (topic: string) => `history:${topic}`

async function historyEnds(engine: Engine, { app, topics }: Plan): Promise<Map<string, readonly number[]>> {
  const ends = new Map<string, readonly number[]>()
  for (const topic of Object.keys(app.sources).map(topics.raw)) {
    const note = await engine.store.note(historyNote(topic))
    if (note) ends.set(topic, JSON.parse(note.toString()) as number[])
  }
  return ends
}

/** What keyed stages are made of, besides the plan. */
interface StageParts {
  /** The plan's, or one that keeps only some features. */
  readonly featureSet: FeatureSet
  readonly schemaIds: { readonly events: number; readonly scores: number; readonly segments: number }
  readonly timerClock: TimerClock
  readonly xdmEvents: EventSource
  readonly isHistory: (record: LogRecord) => boolean
  readonly scorer: ModelScorer | undefined
  readonly entities: EntityReader
  readonly layouts: ReadonlyMap<string, Layouts>
  readonly lookups: Lookups
  readonly alignment?: Alignment
  readonly clock: Clock
  readonly metrics: Metrics
  readonly env: (name: string) => string | undefined
}

/** The stages that keep states: profile first, then the other entities. */
function keyedStages(plan: Plan, parts: StageParts): KeyedStage[] {
  const { app, topics, schema } = plan
  const { featureSet, metrics, layouts, xdmEvents } = parts
  const fused = fusedSource(app)
  return [...featureSet.entities.values()].map((kernel): KeyedStage => {
    if (kernel.entity !== 'profile') {
      const stage = entityStage({
        app,
        topics,
        kernel,
        events: withControls(xdmEvents),
        layouts: layouts.get(kernel.entity)!,
        metrics,
      })
      return { stage: erase(stage), kernel, skipBytes: 0 }
    }
    const topic = fused === undefined ? topics.events : topics.raw(fused)
    const stage = profileStage({
      app,
      topics,
      topic,
      fused,
      events: withControls(fused === undefined ? xdmEvents : mappedSource(plan.mappers.get(fused)!, metrics)),
      schema,
      schemaIds: parts.schemaIds,
      isHistory: parts.isHistory,
      featureSet,
      scorer: parts.scorer,
      labels: plan.labels,
      entities: parts.entities,
      layouts: layouts.get('profile')!,
      alignment: parts.alignment,
      lookups: parts.lookups,
      rules: profileRules(plan, parts, topic),
      clock: parts.clock,
      metrics,
      pseudonymKey: pseudonymKey(app, parts.env),
    })
    return { stage: erase(stage), kernel, skipBytes: PSEUDONYM_BYTES }
  })
}

/** @param topic input of the profile stage */
function profileRules(plan: Plan, parts: StageParts, topic: string): ProfileRules | undefined {
  const { app, topics, rules, schema } = plan
  const { featureSet, schemaIds, timerClock } = parts
  // A set with some features only is for filling these: memberships are the whole set's.
  if (!rules) return undefined
  if (featureSet !== plan.featureSet && featureSet.hidden?.count !== rules.compiler.hidden.length) return undefined
  return new ProfileRules({
    compiler: rules.compiler,
    rules: rules.initial,
    featureSet,
    ttlMs: app.events.ttl,
    topics,
    topic,
    schemaId: schemaIds.segments,
    tenant: schema.tenant,
    clock: timerClock,
  })
}

/** Fills features from the log when an operator asks for it, beside a running application, until `signal` aborts. */
export function fillFeatures(
  { plan, engine, service, context }: RunningApplication,
  options: {
    readonly env: (name: string) => string | undefined
    readonly signal: AbortSignal
    readonly pollMs?: number
  },
): Promise<void> {
  const parts = { engine, clock: context.clock, env: options.env }
  return serveBackfills({
    ...options,
    context,
    service,
    stages: replayStages(plan, parts),
    sideStages: (features) =>
      replayStages(plan, { ...parts, featureSet: sideFeatures(plan.app, plan.expressions, features).featureSet }),
  })
}

/**
 * Learns beside a running application, when it names learners and this process is the one that is given them. Dispose it to
 * stop with everything that was learned made durable.
 * @throws RtmlError CONFIG when a learner can't be made of its definition; LOG_DOWN
 */
export async function runLearners(
  running: Pick<RunningApplication, 'plan' | 'engine' | 'context'>,
  options: Pick<LearningOptions, 'createHost' | 'tuning'> = {},
): Promise<LearningService> {
  const service = new LearningService({ ...(await learningOptions(running)), ...options })
  await service.open()
  return service
}

/** One learner, for a command that works on what it knows. @throws RtmlError CONFIG, LOG_DOWN */
export async function learnerTask(
  plan: Plan,
  options: RunPlanOptions & Pick<LearningOptions, 'createHost'>,
  name: string,
): Promise<LearnerTask> {
  const running = { plan, engine: options.engine, context: shardContext(plan.app, options) }
  const { createHost } = options
  const tasks = learnerTasks({ ...(await learningOptions(running)), ...(createHost ? { createHost } : {}) })
  return tasks.find((task) => task.name === name)!
}

async function learningOptions({
  plan,
  engine,
  context,
}: Pick<RunningApplication, 'plan' | 'engine' | 'context'>): Promise<LearningOptions> {
  const { app, topics, featureSet } = plan
  const models = await openRegistry(plan, { engine, clock: context.clock, logger: context.logger })
  return { app, topics, featureSet, context, registry: engine.registry, models }
}

/** Schema ids of stages that write nothing: no record has them, so every record's own schema is asked for. */
const NO_SCHEMAS = { events: -1, scores: -1, segments: -1 }

/**
 * The stages that keep states, for computing states again from the log: the same code, without anything to score with.
 * They write nothing, so they may be made beside a running application.
 * @param options `featureSet`: one that keeps only some features of the plan's
 */
export function replayStages(
  plan: Plan,
  options: {
    readonly engine: Engine
    readonly clock: Clock
    readonly env: (name: string) => string | undefined
    readonly featureSet?: FeatureSet
    /** For a caller that asks the stages for outputs all the same. */
    readonly schemaIds?: StageParts['schemaIds']
  },
): KeyedStage[] {
  const { engine, clock, schemaIds = NO_SCHEMAS } = options
  const { app, topics } = plan
  const featureSet = options.featureSet ?? plan.featureSet
  const layouts = layoutsOf(app, featureSet, engine)
  const schemaById = (id: number) => engine.registry.schema(id)
  return keyedStages(plan, {
    featureSet,
    schemaIds,
    timerClock: new TimerClock(),
    xdmEvents: xdmSource(plan.schema, schemaIds.events, schemaById),
    isHistory: () => false,
    scorer: undefined,
    // Other entities are read for vectors only, and a replay computes none.
    entities: new EntityReader({ app, topics, featureSet, store: engine.store, clock, layouts, partitions: () => 1 }),
    layouts,
    lookups: { get: () => undefined },
    clock,
    metrics: silentMetrics,
    env: options.env,
  })
}

/** Stages of different state types stand in one list; each is only ever used with what it made itself. */
const erase = <P, S, W>(stage: Stage<P, S, W>): Stage => stage as unknown as Stage

function shardContext(app: Application, options: RunPlanOptions): ShardContext {
  const { engine, clock, random, hrtime, metrics, logger } = options
  const isAtomic = engine.name === 'embedded'
  return {
    clock,
    random,
    hrtime,
    metrics,
    logger,
    log: engine.log,
    store: engine.store,
    isAtomic,
    options: {
      delivery: app.delivery,
      maxBatchEvents: app.batch.maxEvents,
      // One batch is computed while the one before is scored and applied; more only grow old in memory, and GC copies them.
      pipelineDepth: 2,
      publishEveryMs: app.batch.publishEvery,
      maxOutboxBytes: app.batch.maxOutboxBytes,
      // A decoded state takes about 3 KB: more of them cost more in memory and GC than their look-ups save (docs/performance.md).
      maxCachedStates: 2_000,
      snapshot: isAtomic
        ? undefined
        : { topic: topicNames(app).snapshots, everyMs: ms(60_000), maxBytes: 64 * 1024 * 1024 },
      storeCheckEveryMs: ms(1_000),
      fencedPauseMs: ms(5_000),
      ...options.tuning,
    },
  }
}

/** @throws RtmlError TOPIC_SETTING */
async function prepareTopics(engine: Engine, app: Application, logger: Logger): Promise<void> {
  const raw = new Set(Object.keys(app.sources).map(topicNames(app).raw))
  const { timers } = topicNames(app)
  const problems = await engine.log.ensureTopics(topicSpecs(app).filter(({ topic }) => topic !== timers))
  for (const { topic, setting, wanted, found, fatal } of problems) {
    const text = `${topic}: ${setting} is ${found}, wanted ${wanted}`
    // Producers decide how many partitions a raw topic has; what matters is that it stays so (PARTITIONS_CHANGED).
    if (fatal && !(raw.has(topic) && setting === 'partitions')) {
      throw new RtmlError('TOPIC_SETTING', `${text}. Change the topic, or the application file.`, { place: topic })
    }
    logger.warn({ topic, setting, wanted, found }, 'topic setting differs')
  }
  if (hasRules(app)) await prepareTimers(engine, app)
}

/** Timers lie beside the profiles that they are about: the topic has as many partitions as the profile stage's input. */
async function prepareTimers(engine: Engine, app: Application): Promise<void> {
  const { timers, events, raw } = topicNames(app)
  const fused = fusedSource(app)
  const partitions = (await engine.log.bounds(fused === undefined ? events : raw(fused))).length
  const problems = await engine.log.ensureTopics([{ topic: timers, partitions, cleanup: 'compact' }])
  const count = problems.find(({ setting }) => setting === 'partitions')
  if (count === undefined) return
  if (Number(count.found) < partitions && engine.log.grow) await engine.log.grow(timers, partitions)
  else {
    throw new RtmlError('TOPIC_SETTING', `${timers}: partitions is ${count.found}, wanted ${partitions}.`, {
      place: timers,
    })
  }
}

/** A keyed stage's states are cut by partition: a changed count would put keys on other shards. @throws RtmlError PARTITIONS_CHANGED */
async function checkPartitions(engine: Engine, stages: readonly Stage[]): Promise<void> {
  for (const stage of stages) {
    if (stage.stateExpireMs === undefined) continue
    const count = (await engine.log.bounds(stage.topic)).length
    const name = `partitions:${stage.group}`
    const known = (await engine.store.note(name))?.toString()
    if (known === undefined) await engine.store.setNote(name, Buffer.from(String(count)))
    else if (Number(known) !== count) {
      throw new RtmlError(
        'PARTITIONS_CHANGED',
        `the topic has ${count} partitions, its states are cut for ${known}: keys would look for their state on other shards. ` +
          `Go back to ${known} partitions, or stop all workers and move the states: rtml reshard --partitions ${count} (docs/repair.md).`,
        { place: stage.topic },
      )
    }
  }
}

/** Layouts of each entity's states. */
export function layoutsOf(
  app: Application,
  featureSet: FeatureSet,
  engine: Pick<Engine, 'store'>,
): Map<string, Layouts> {
  return new Map(
    [...featureSet.entities.values()].map((kernel) => {
      const isProfile = kernel.entity === 'profile'
      const group = groupOf(app, isProfile ? 'profile' : `entity.${kernel.entity}`)
      const skipBytes = isProfile ? PSEUDONYM_BYTES : 0
      return [kernel.entity, new Layouts({ kernel, store: engine.store, group, skipBytes })]
    }),
  )
}
