/** Learners on the embedded engine: examples in the log, a task that learns them, and what it tells. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../processors/app/system-clock.ts'
import { epochMs, ms } from '../../processors/app/units.ts'
import { type EmbeddedEngine, openEmbedded } from '../../processors/engine/embedded/engine.ts'
import type { Engine, NewRecord } from '../../processors/engine/ports.ts'
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { prometheusMetrics } from '../../processors/host/prometheus.ts'
import { SeededRandom } from '../../processors/learner/random.ts'
import { LearnerStream } from '../../processors/learner/stream/learner-stream.ts'
import {
  encodeExample,
  exampleColumns,
  examplesSchema,
  examplesSubject,
  type ServedScore,
  type TrainingExample,
} from '../../processors/outputs/index.ts'
import type { ShardContext } from '../../processors/runtime/context.ts'
import { fileModel } from '../../processors/runtime/gallery/file-models.ts'
import { ModelRegistry } from '../../processors/runtime/gallery/model-registry.ts'
import { learnerInline } from '../../processors/runtime/learning/learner-host.ts'
import {
  LearningService,
  learnerSetup,
  learnerShard,
  learnerTasks,
} from '../../processors/runtime/learning/learning-service.ts'
import { retry } from '../../processors/runtime/retry.ts'
import { silentLogger } from '../../processors/runtime/telemetry.ts'
import { type Plan, planApplication, topicSpecs } from '../../processors/topology.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { identityModel } from '../unit/scorer/proto-writer.ts'

export const APP = `
rtml: 1
name: shop
partitions: 3
sources:
  web:
    mapping: { mapping: web, fields: { _id: id, timestamp: time, identityMap.CustomerID: customer } }
identity: { priority: [CustomerID] }
features:
  a: { kind: count, window: 1h }
  b: { kind: count, window: 24h }
models:
  old: { file: same.onnx, version: 1, inputs: [a], service: buy }
labels:
  buy: { outcome: 'commerce.purchases.value > 0', window: 1h }
learners:
  online:
    label: buy
    service: buy
    publish: { every: 20ms }
    promotion: { automatic: true, labels: 300 }
`

export async function shop(yaml = APP): Promise<AsyncDisposable & { dir: string; plan: Plan }> {
  const dir = await mkdtemp(join(tmpdir(), 'rtml-learning-'))
  await writeFile(join(dir, 'rtml.yaml'), yaml)
  await writeFile(join(dir, 'same.onnx'), identityModel())
  const plan = await planApplication(openApplicationFile(join(dir, 'rtml.yaml'), {}).planOptions)
  return { dir, plan, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) }
}

export const openData = (dir: string): Promise<EmbeddedEngine> =>
  openEmbedded({ dir: join(dir, 'data'), clock: systemClock, upkeep: 'off' })

export async function prepare(engine: Engine, { app }: Plan): Promise<void> {
  await engine.log.ensureTopics(topicSpecs(app))
}

const START = Date.parse('2026-01-01T10:00:00Z')
const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z))

export interface ExampleOptions {
  readonly count: number
  readonly seed?: number
  readonly from?: number
  readonly scores?: (x: Float32Array, n: number) => readonly ServedScore[]
  readonly label?: (y: number, n: number) => number
}

/** Labelled samples whose chance rises with `a` and falls with `b`. */
export function examples({
  count,
  seed = 1,
  from = 0,
  scores,
  label,
}: ExampleOptions): Omit<TrainingExample, 'featureSetVersion'>[] {
  const random = new SeededRandom(seed)
  return Array.from({ length: count }, (_, i) => {
    const n = from + i
    const x = Float32Array.of(random.next() * 4 - 2, random.next() * 4 - 2)
    const y = random.next() < sigmoid(1.5 * x[0]! - 2 * x[1]!) ? 1 : 0
    const at = epochMs(START + n * 1_000)
    return {
      label: 'buy',
      kind: 'example',
      eventId: `e${n}`,
      pseudonym: (n % 97).toString(16).padStart(16, '0'),
      eventTime: at,
      outcomeTime: null,
      settledAt: at,
      value: label ? label(y, n) : y,
      weight: 1,
      features: Buffer.from(x.buffer),
      texts: [],
      scores: scores?.(x, n) ?? [served('old', '1', 'champion', sigmoid(0.3 * x[0]!))],
    }
  })
}

export const served = (model: string, version: string, role: string, score: number): ServedScore => ({
  model,
  version,
  role,
  output: 'score',
  score,
  fallback: 'none',
})

export async function append(
  engine: Engine,
  plan: Plan,
  list: readonly Omit<TrainingExample, 'featureSetVersion'>[],
): Promise<void> {
  const topic = plan.topics.examples
  const columns = exampleColumns(plan.featureSet)
  const register = () => engine.registry.register(examplesSubject(topic), examplesSchema(columns))
  const id = await retry(context(engine), new AbortController().signal, register)
  const records = list.map(
    (it): NewRecord => ({
      topic,
      key: Buffer.from(it.pseudonym),
      value: encodeExample({ ...it, featureSetVersion: plan.featureSet.version }, id),
    }),
  )
  for (let at = 0; at < records.length; at += 100) await engine.log.append(records.slice(at, at + 100))
}

export function context(engine: Engine): ShardContext & { metrics: ReturnType<typeof prometheusMetrics> } {
  return {
    clock: systemClock,
    random: Math.random,
    hrtime: () => performance.now() / 1_000,
    metrics: prometheusMetrics(),
    logger: silentLogger,
    log: engine.log,
    store: engine.store,
    isAtomic: true,
    options: { fencedPauseMs: ms(20) } as ShardContext['options'],
  }
}

export function openModels(engine: Engine, { app, topics, models }: Plan): Promise<ModelRegistry> {
  const at = new Date(START).toISOString()
  return ModelRegistry.open({
    log: engine.log,
    topic: topics.models,
    clock: systemClock,
    initial: models.map((model) => fileModel(model.name, app.models[model.name]!, model, at)),
    newId: randomUUID,
  })
}

async function learningOptions(engine: Engine, plan: Plan, options: { batchRecords?: number }) {
  const shared = context(engine)
  const models = await openModels(engine, plan)
  return {
    app: plan.app,
    topics: plan.topics,
    featureSet: plan.featureSet,
    context: shared,
    registry: engine.registry,
    models,
    createHost: learnerInline,
    tuning: { pollMs: ms(5), duty: 1, idleLookMs: ms(100), batchRecords: options.batchRecords ?? 512 },
  }
}

/** Starts the learners of a plan, as a process would. */
export async function learn(engine: Engine, plan: Plan, options: { batchRecords?: number } = {}) {
  const all = await learningOptions(engine, plan, options)
  const service = new LearningService(all)
  await service.open()
  return Object.assign(service, { models: all.models, metrics: all.context.metrics })
}

/** A learner that was given to a process, until the process dies. */
export async function runAlone(engine: Engine, plan: Plan, options: { batchRecords?: number } = {}): Promise<void> {
  const [task] = learnerTasks(await learningOptions(engine, plan, options))
  await task!.run(new AbortController().signal)
}

/** The learner as its last checkpoint has it. */
export async function checkpoint(engine: Engine, plan: Plan, name = 'online'): Promise<LearnerStream | undefined> {
  const [bytes] = await engine.store.load(learnerShard(plan.app, plan.topics, name), ['checkpoint'])
  return bytes && LearnerStream.decode(bytes, learnerSetup(plan, name))
}

/** Waits until the checkpoint has everything that is in the topic. */
export async function learned(engine: Engine, plan: Plan, name = 'online'): Promise<LearnerStream> {
  let stream: LearnerStream | undefined
  await eventually('everything is learned', { deadlineMs: 45_000, testMs: 60_000 }, async () => {
    stream = await checkpoint(engine, plan, name)
    if (!stream) return false
    for (const { topic, partition, end } of await engine.log.bounds(plan.topics.examples)) {
      if ((stream.positions[`${topic}[${partition}]`] ?? 0) < end) return false
    }
    return true
  })
  return stream!
}
