import type { EpochMs } from '../app/units.ts'
import type { ShardContext } from './context.ts'
import { GroupWorker } from './group-worker.ts'
import { retry } from './retry.ts'
import type { ShardStatus, ShardWorker } from './shard-worker.ts'
import type { Stage } from './stage.ts'

export interface StageStatus {
  readonly stage: string
  readonly topic: string
  readonly shards: ReadonlyMap<number, ShardStatus>
}

/** Stages of one process, joined to their groups. Ends by itself only when something can't be mended. */
export class Service implements AsyncDisposable {
  readonly #context: ShardContext
  readonly #groups: readonly GroupWorker[]
  readonly #stop = new AbortController()
  readonly #fatal = Promise.withResolvers<unknown>()
  #error: unknown

  constructor(context: ShardContext, stages: readonly Stage[]) {
    this.#context = context
    this.#groups = stages.map((stage) => new GroupWorker({ context, stage, onFatal: (error) => this.#fail(error) }))
  }

  /** Joins the groups, waiting for a log that is away. @throws Stopped */
  async open(): Promise<void> {
    for (const group of this.#groups) {
      await retry(this.#context, this.#stop.signal, () => group.open(this.#context.log))
    }
  }

  /** Settles with the error when the service can't go on. */
  get failed(): Promise<unknown> {
    return this.#fatal.promise
  }

  get error(): unknown {
    return this.#error
  }

  status(): readonly StageStatus[] {
    return this.#groups.map((group) => ({ stage: group.stage.name, topic: group.stage.topic, shards: group.status() }))
  }

  /** Shards of a stage that run in this process now. */
  running(stage: string): ShardWorker<unknown, unknown, unknown>[] {
    return this.#groups.filter((group) => group.stage.name === stage).flatMap((group) => group.running())
  }

  /** Drains, publishes, commits, leaves. Bounded: what can't be finished in time is left to the next owner. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#groups.map((group) => group[Symbol.asyncDispose]()))
  }

  #fail(error: unknown): void {
    if (this.#error !== undefined) return
    this.#error = error
    this.#fatal.resolve(error)
  }
}

export interface Health {
  /** The process works or waits for something that it names. False: restart it. */
  readonly isLive: boolean
  /** All owned shards run and every dependency answers. */
  readonly isReady: boolean
  readonly reasons: readonly string[]
}

/** A shard that neither runs nor waits for a dependency for so long is wedged. */
const WEDGED_MS = 60_000

/** Judges a service. `down`: dependencies that don't answer, with the time since when. */
export function healthOf(
  service: Pick<Service, 'error' | 'status'>,
  down: ReadonlyMap<string, EpochMs>,
  now: EpochMs,
): Health {
  const reasons: string[] = []
  if (service.error !== undefined) {
    const text = service.error instanceof Error ? service.error.message : String(service.error)
    return { isLive: false, isReady: false, reasons: [text] }
  }
  for (const [dependency, since] of down)
    reasons.push(`${dependency} has not answered for ${Math.round((now - since) / 1_000)} s`)
  let isWedged = false
  for (const { stage, shards } of service.status()) {
    for (const [partition, { state, since }] of shards) {
      if (state === 'running') continue
      const seconds = Math.round((now - since) / 1_000)
      reasons.push(`${stage}[${partition}] is ${state} for ${seconds} s`)
      if (state === 'taking-over' && now - since > WEDGED_MS && down.size === 0) isWedged = true
    }
  }
  return { isLive: !isWedged, isReady: reasons.length === 0, reasons }
}
