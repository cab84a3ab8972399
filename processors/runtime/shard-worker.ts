import { RtmlError } from '../app/errors.ts'
import { type EpochMs, ms, type Offset, offset } from '../app/units.ts'
import type { RecordRun, Shard, Subscription } from '../engine/ports.ts'
import type { ShardContext } from './context.ts'
import { retry, Stopped } from './retry.ts'
import type { Stage } from './stage.ts'
import { StateCache } from './state-cache.ts'
import { takeOver } from './take-over.ts'
import { alignedAs, NO_ISOLATION, type Rest, Tenure } from './tenure.ts'

export type ShardState = 'taking-over' | 'running' | 'fenced' | 'failed' | 'stopped'

/** What health and the console show of a shard. */
export interface ShardStatus {
  readonly state: ShardState
  readonly position: Offset | undefined
  /** Since when the shard is in this state. */
  readonly since: EpochMs
  /** Last time that a batch was taken in or applied. */
  readonly progressAt: EpochMs
  readonly error: string | undefined
}

/** Decoded states that survive a hand-over to ourselves: valid only at exactly this position. */
export interface WarmCache<State> {
  readonly position: Offset
  readonly cache: StateCache<State>
}

/**
 * One assigned partition: takes its shard over, runs a tenure, and takes over anew when the tenure ends for a reason
 * that can be mended. Stops at `drain` (planned) or `stop` (lost), and when something can't be mended (`onFatal`).
 */
export class ShardWorker<Prepared, State, Work> {
  readonly shard: Shard
  readonly #context: ShardContext
  readonly #stage: Stage<Prepared, State, Work>
  readonly #subscription: () => Promise<Subscription>
  readonly #onFatal: (error: unknown) => void
  readonly #stop = new AbortController()
  #warm: WarmCache<State> | undefined
  #tenure: Tenure<Prepared, State, Work> | undefined
  #state: ShardState = 'taking-over'
  #since: EpochMs
  #progressAt: EpochMs
  #error: string | undefined
  #life: Promise<void>

  constructor(options: {
    context: ShardContext
    stage: Stage<Prepared, State, Work>
    shard: Shard
    /** The subscription that delivers; known only after the group was joined. */
    subscription: () => Promise<Subscription>
    warm: WarmCache<State> | undefined
    onFatal: (error: unknown) => void
  }) {
    this.#context = options.context
    this.#stage = options.stage
    this.shard = options.shard
    this.#subscription = options.subscription
    this.#warm = options.warm
    this.#onFatal = options.onFatal
    this.#since = this.#progressAt = options.context.clock.now()
    this.#life = this.#live()
  }

  get status(): ShardStatus {
    return {
      state: this.#state,
      position: this.#tenure?.position,
      since: this.#since,
      progressAt: this.#progressAt,
      error: this.#error,
    }
  }

  async deliver(run: RecordRun): Promise<void> {
    await this.#tenure?.accept(run)
    this.#progressAt = this.#context.clock.now()
  }

  /**
   * Runs `work` between two batches of a running tenure: see `Tenure.atRest`.
   * @throws Stopped when there is none
   */
  async atRest(work: (rest: Rest) => Promise<void>): Promise<void> {
    if (this.#state !== 'running' || !this.#tenure) throw new Stopped()
    await this.#tenure.atRest(work)
  }

  /** Finishes what was taken in, publishes it and lets go. @returns what a later take-over by this process can start from */
  async drain(): Promise<WarmCache<State> | undefined> {
    const tenure = this.#tenure
    if (tenure && this.#state === 'running') await tenure.drain().catch(() => {})
    return this.stop()
  }

  /** Lets go at once: nothing more is written after the step that is under way. */
  async stop(): Promise<WarmCache<State> | undefined> {
    this.#stop.abort()
    this.#stage.aligned?.alignment.leave(alignedAs(this.shard))
    const tenure = this.#tenure
    await tenure?.close()
    await this.#life
    this.#enter('stopped')
    return tenure?.isSettled ? { position: tenure.position, cache: tenure.cache } : undefined
  }

  async #live(): Promise<void> {
    // The constructor returns before anything happens, so that the owner has us in its table.
    await Promise.resolve()
    let isolateUntil = NO_ISOLATION
    while (!this.#stop.signal.aborted) {
      try {
        isolateUntil = await this.#tenureOnce(isolateUntil)
      } catch (error) {
        if (error instanceof Stopped || this.#stop.signal.aborted) return
        if (error instanceof RtmlError && error.code === 'FENCED') {
          await this.#pauseFenced()
          continue
        }
        return this.#fail(error)
      }
    }
  }

  /** @returns up to where the next tenure must go record by record */
  async #tenureOnce(isolateUntil: Offset): Promise<Offset> {
    this.#enter('taking-over')
    const alignment = this.#stage.aligned?.alignment
    alignment?.arrive(alignedAs(this.shard))
    const signal = this.#stop.signal
    const context = this.#context
    const taken = await retry(context, signal, () => takeOver(context, this.#stage, this.shard, signal))
    // Told to stop meanwhile: `stop` could not see this tenure, so nobody would ever end it.
    if (signal.aborted) {
      await taken.publisher.close().catch(() => {})
      throw new Stopped()
    }
    const warm = this.#warm
    this.#warm = undefined
    const tenure = new Tenure<Prepared, State, Work>({
      context,
      stage: this.#stage,
      shard: this.shard,
      ...taken,
      isolateUntil,
      cache: warm?.position === taken.position ? warm.cache : new StateCache<State>(context.options.maxCachedStates),
    })
    this.#tenure = tenure
    alignment?.begin(alignedAs(this.shard), taken.hasBacklog)
    try {
      await retry(context, signal, async () => (await this.#subscription()).start(this.shard, taken.position))
      tenure.deliveryBegan()
      this.#enter('running')
      const end = await Promise.race([tenure.ended, aborted(signal)])
      if (end === undefined) throw new Stopped()
      context.logger.info(
        { stage: this.#stage.name, partition: this.shard.partition, ...describe(end) },
        'tenure ended',
      )
      if (end.kind === 'fatal') throw end.error
      if (end.kind === 'fenced')
        throw new RtmlError('FENCED', 'a newer owner exists', { place: `shard ${this.shard.partition}` })
      return end.kind === 'isolate' ? offset(Math.max(end.until, isolateUntil)) : isolateUntil
    } finally {
      if (!signal.aborted) await tenure.close()
    }
  }

  /** Fenced while still assigned: either the group is about to take the partition away, or the other owner was a zombie. */
  async #pauseFenced(): Promise<void> {
    this.#enter('fenced')
    const { clock, random, options } = this.#context
    await clock.sleep(ms(Math.ceil(options.fencedPauseMs * (1 + random()))), this.#stop.signal)
  }

  #enter(state: ShardState): void {
    if (this.#state === 'failed') return
    this.#state = state
    this.#since = this.#context.clock.now()
  }

  #fail(error: unknown): void {
    this.#error = error instanceof Error ? error.message : String(error)
    this.#enter('failed')
    this.#context.logger.error(
      { stage: this.#stage.name, partition: this.shard.partition, error: this.#error },
      'shard failed',
    )
    this.#onFatal(error)
  }
}

function aborted(signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return Promise.resolve(undefined)
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined), { once: true }))
}

function describe(end: { kind: string; reason?: string; error?: unknown }): object {
  return {
    end: end.kind,
    ...(end.reason ? { reason: end.reason } : {}),
    ...(end.error ? { error: String(end.error) } : {}),
  }
}
