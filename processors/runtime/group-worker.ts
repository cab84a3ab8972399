import { type Clock, type Ms, ms } from '../app/units.ts'
import type { Log, RecordRun, Subscriber, Subscription, TopicPartition } from '../engine/ports.ts'
import type { ShardContext } from './context.ts'
import { type ShardStatus, ShardWorker, type WarmCache } from './shard-worker.ts'
import type { Stage } from './stage.ts'

/** Planned hand-over: what is in flight has this long to be applied and published before fencing takes its place. */
const DRAIN_MS = ms(3_000)
/** At the end of the process, letting go may take this long. */
const STOP_MS = ms(5_000)

/** A stage's membership in its consumer group: one shard worker an assigned partition. */
export class GroupWorker implements Subscriber, AsyncDisposable {
  readonly stage: Stage
  readonly #context: ShardContext
  readonly #onFatal: (error: unknown) => void
  readonly #workers = new Map<number, ShardWorker<unknown, unknown, unknown>>()
  readonly #warm = new Map<number, WarmCache<unknown>>()
  /** Revocations under way: a new assignment of the same partition waits for them. */
  readonly #leaving = new Map<number, Promise<void>>()
  /** Partitions may be assigned before `subscribe` has returned. */
  readonly #joined = Promise.withResolvers<Subscription>()
  #hasJoined = false
  #isClosed = false

  constructor(options: { context: ShardContext; stage: Stage; onFatal: (error: unknown) => void }) {
    this.#context = options.context
    this.stage = options.stage
    this.#onFatal = options.onFatal
  }

  async open(log: Log): Promise<void> {
    this.#joined.resolve(await log.subscribe(this.stage.group, [this.stage.topic], this))
    this.#hasJoined = true
  }

  /** By partition, ascending. */
  status(): ReadonlyMap<number, ShardStatus> {
    return new Map(
      [...this.#workers].sort(([a], [b]) => a - b).map(([partition, worker]) => [partition, worker.status]),
    )
  }

  /** Shards that run now. */
  running(): ShardWorker<unknown, unknown, unknown>[] {
    return [...this.#workers.values()].filter(({ status }) => status.state === 'running')
  }

  assigned(partitions: readonly TopicPartition[]): void {
    for (const { topic, partition } of partitions) {
      if (this.#workers.has(partition) || this.#isClosed) continue
      const leaving = this.#leaving.get(partition)
      if (leaving) void leaving.then(() => this.assigned([{ topic, partition }]))
      else this.#start(topic, partition)
    }
    this.#gauge()
  }

  async revoked(partitions: readonly TopicPartition[], { lost }: { lost: boolean }): Promise<void> {
    await Promise.all(partitions.map(({ partition }) => this.#leave(partition, { lost })))
    this.#gauge()
  }

  async deliver(run: RecordRun): Promise<void> {
    await this.#workers.get(run.partition)?.deliver(run)
  }

  failed(error: Error): void {
    this.#onFatal(error)
  }

  /** Drains, leaves the group and lets go of all shards. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    if (this.#hasJoined) await (await this.#joined.promise).close()
    for (const partition of [...this.#workers.keys()]) this.#leave(partition, { lost: false }).catch(() => {})
    // Among them those that a rebalance took away just before. What waits for a service that is away is left behind: it
    // fails when the engine closes.
    const left = Promise.all(this.#leaving.values()).then(() => {})
    await bounded(this.#context.clock, STOP_MS, left, async () => {})
  }

  #start(topic: string, partition: number): void {
    const warm = this.#warm.get(partition)
    this.#warm.delete(partition)
    const worker = new ShardWorker({
      context: this.#context,
      stage: this.stage,
      shard: { group: this.stage.group, topic, partition },
      subscription: () => this.#joined.promise,
      warm,
      onFatal: this.#onFatal,
    })
    this.#workers.set(partition, worker)
  }

  async #leave(partition: number, { lost }: { lost: boolean }): Promise<void> {
    const worker = this.#workers.get(partition)
    if (!worker) return this.#leaving.get(partition)
    this.#workers.delete(partition)
    const left = (async () => {
      const drained = lost
        ? await worker.stop()
        : await bounded(this.#context.clock, DRAIN_MS, worker.drain(), () => worker.stop())
      if (drained) this.#warm.set(partition, drained)
    })().finally(() => this.#leaving.delete(partition))
    this.#leaving.set(partition, left)
    await left
  }

  #gauge(): void {
    this.#context.metrics.gauge('rtml_shards_owned', [this.stage.name], this.#workers.size)
  }
}

async function bounded<T>(clock: Clock, limitMs: Ms, work: Promise<T>, giveUp: () => Promise<T>): Promise<T> {
  const timer = new AbortController()
  const late = clock.sleep(limitMs, timer.signal).then(() => 'late' as const)
  const first = await Promise.race([work.then((value) => ({ value })), late])
  timer.abort()
  return first === 'late' ? giveUp() : first.value
}
