/**
 * The learners of an application in one process. All processes join one group on `training.examples`; whoever is given its
 * first partition runs the learners, and reads all partitions by itself. So each learner has one owner at a time, and its
 * shard's epoch fences an owner that doesn't know yet that it is none.
 */
import type { Application, ModelManifest } from '../../app/schema.ts'
import { groupOf, type TopicNames } from '../../app/topics.ts'
import type { RecordRun, Registry, Shard, Subscriber, Subscription, TopicPartition } from '../../engine/ports.ts'
import type { FeatureSet } from '../../features/types.ts'
import { learnerColumns, taskOf } from '../../learner/columns.ts'
import type { ShardContext } from '../context.ts'
import type { ModelRegistry } from '../gallery/model-registry.ts'
import { retry, Stopped } from '../retry.ts'
import type { LearnerSetup } from './learner-core.ts'
import { type LearnerHost, learnerThread } from './learner-host.ts'
import { LearnerTask, type LearnerTuning } from './learner-task.ts'

export interface LearningOptions {
  readonly app: Application
  readonly topics: TopicNames
  readonly featureSet: FeatureSet
  readonly context: ShardContext
  readonly registry: Registry
  readonly models: ModelRegistry
  readonly createHost?: (name: string) => LearnerHost
  readonly tuning?: Partial<LearnerTuning>
}

/** Where a learner's checkpoint and status are. */
export const learnerShard = (app: Application, topics: Pick<TopicNames, 'examples'>, name: string): Shard => ({
  group: groupOf(app, `learner.${name}`),
  topic: topics.examples,
  partition: 0,
})

/** What a learner learns from, and as what. @throws RtmlError CONFIG */
export function learnerSetup(
  { app, featureSet }: Pick<LearningOptions, 'app' | 'featureSet'>,
  name: string,
): LearnerSetup {
  const definition = app.learners[name]!
  const label = app.labels[definition.label]!
  const { inputs } = learnerColumns(definition, app.features, featureSet, `learners.${name}`)
  return { name, definition, label, labelName: definition.label, inputs, task: taskOf(label) }
}

/** How its versions are fed and read. They go where the models of their service go. */
export function learnerManifest(app: Application, setup: LearnerSetup): ModelManifest {
  const service = setup.definition.service ?? setup.name
  const sibling = Object.entries(app.models).find(([name, model]) => (model.service ?? name) === service)?.[1]
  const { task } = setup
  const inputs = setup.inputs.map(({ name }) => name)
  const last = task.kind === 'classes' ? task.classes - 1 : 0
  const output = task.kind === 'classes' ? { tensor: 'probabilities', class: last } : { tensor: 'score' }
  return { inputs, output, ...(sibling ? { deadline: `${sibling.deadline}ms`, deploy: sibling.deploy } : {}) }
}

/** One task a learner of the application. @throws RtmlError CONFIG when a learner can't be made of its definition */
export function learnerTasks(options: LearningOptions): LearnerTask[] {
  const { app, topics, context, registry, models, tuning } = options
  return Object.keys(app.learners).map((name) => {
    const setup = learnerSetup(options, name)
    return new LearnerTask({
      app: app.name,
      setup,
      context,
      registry: models,
      schemaById: (id) => registry.schema(id),
      shard: learnerShard(app, topics, name),
      alertsTopic: topics.alerts,
      service: setup.definition.service ?? name,
      manifest: learnerManifest(app, setup),
      createHost: () => (options.createHost ?? learnerThread)(name),
      ...(tuning ? { tuning } : {}),
    })
  })
}

/** Starts with `open`; ends when it is disposed of. */
export class LearningService implements Subscriber, AsyncDisposable {
  readonly #options: LearningOptions
  readonly #tasks: readonly LearnerTask[]
  #joined: Promise<Subscription> | undefined
  readonly #stop = new AbortController()
  #running: { readonly stop: AbortController; readonly done: Promise<unknown> } | undefined
  #last: Promise<unknown> = Promise.resolve()
  #error: Error | undefined

  /** @throws RtmlError CONFIG when a learner can't be made of its definition */
  constructor(options: LearningOptions) {
    this.#options = options
    this.#tasks = learnerTasks(options)
  }

  /** Joins the group, waiting for a log that is away. @throws Stopped */
  async open(): Promise<void> {
    const { app, topics, context } = this.#options
    if (this.#tasks.length === 0) return
    this.#joined = retry(context, this.#stop.signal, () =>
      context.log.subscribe(groupOf(app, 'learners'), [topics.examples], this),
    )
    await this.#joined
  }

  get isOwner(): boolean {
    return this.#running !== undefined
  }

  /** Membership is gone for good: another process has to learn. */
  get error(): Error | undefined {
    return this.#error
  }

  assigned(partitions: readonly TopicPartition[]): void {
    if (this.#running || this.#stop.signal.aborted || !partitions.some(({ partition }) => partition === 0)) return
    const stop = new AbortController()
    const done = this.#last.then(() => Promise.all(this.#tasks.map((task) => task.run(stop.signal))))
    this.#running = { stop, done }
    this.#gauge()
  }

  async revoked(partitions: readonly TopicPartition[]): Promise<void> {
    if (partitions.some(({ partition }) => partition === 0)) await this.#leave()
  }

  /** Nothing is delivered: the learners read by themselves. */
  async deliver(_run: RecordRun): Promise<void> {}

  failed(error: Error): void {
    this.#error = error
    this.#options.context.logger.error({ error: error.message }, 'learners are no longer run by this process')
    void this.#leave()
  }

  async #leave(): Promise<void> {
    const running = this.#running
    if (!running) return
    this.#running = undefined
    running.stop.abort()
    this.#last = running.done.catch((error: unknown) => {
      if (!(error instanceof Stopped)) {
        this.#options.context.logger.error({ error: String(error) }, 'learners ended')
      }
    })
    await this.#last
    this.#gauge()
  }

  #gauge(): void {
    const { metrics } = this.#options.context
    metrics.gauge('rtml_shards_owned', ['learners'], this.#running ? this.#tasks.length : 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    const subscription = await this.#joined?.catch(() => undefined)
    await subscription?.close()
    await this.#leave()
  }
}
