import { RtmlError } from '../app/errors.ts'
import { type Epoch, type EpochMs, ms, type Offset } from '../app/units.ts'
import type { NewRecord, OutboxEntry, Publisher, Shard } from '../engine/ports.ts'
import type { ShardContext } from './context.ts'
import { retry, Stopped } from './retry.ts'
import type { TenureEnd } from './tenure-end.ts'

interface Pending {
  readonly entry: OutboxEntry
  readonly bytes: number
  /** Append time of the entry's first input, for the latency figure. */
  readonly since: EpochMs | undefined
  /** Must be in a transaction whatever the delivery mode: half a snapshot is worse than none. */
  readonly isSnapshot: boolean
}

const RECORD_OVERHEAD_BYTES = 64
const COMMIT_EVERY_MS = 1_000

/**
 * Outputs that the store has accepted and the log doesn't show yet, in order. One transaction takes all that waits
 * and commits the input position with it, then the store's copy is trimmed. The queue is bounded in bytes: when it is
 * full, the tenure takes nothing more in.
 */
export class Outbox {
  readonly #context: ShardContext
  readonly #shard: Shard
  readonly #epoch: Epoch
  readonly #stageName: string
  readonly #isStored: boolean
  readonly #publisher: Publisher
  readonly #signal: AbortSignal
  readonly #onEnd: (end: TenureEnd) => void
  readonly #onPublished: (position: Offset) => void
  #queue: Pending[] = []
  #bytes = 0
  #pump: Promise<void> | undefined
  #trim: Promise<void> = Promise.resolve()
  #isDraining = false
  #lastPublishAt = Number.NEGATIVE_INFINITY
  #lastCommitAt = Number.NEGATIVE_INFINITY
  #uncommitted: Offset | undefined
  #lateCommit: Promise<void> | undefined
  #toTrim: Offset | undefined

  constructor(options: {
    context: ShardContext
    shard: Shard
    epoch: Epoch
    stageName: string
    /** The store keeps a copy of what waits (a stage with state). */
    isStored: boolean
    publisher: Publisher
    signal: AbortSignal
    onEnd: (end: TenureEnd) => void
    /** Everything before the position is in the log, and there is room again. */
    onPublished: (position: Offset) => void
  }) {
    this.#context = options.context
    this.#shard = options.shard
    this.#epoch = options.epoch
    this.#stageName = options.stageName
    this.#isStored = options.isStored
    this.#publisher = options.publisher
    this.#signal = options.signal
    this.#onEnd = options.onEnd
    this.#onPublished = options.onPublished
  }

  get isFull(): boolean {
    return this.#bytes >= this.#context.options.maxOutboxBytes
  }

  add(entry: OutboxEntry, since: EpochMs | undefined): void {
    this.#push({ entry, bytes: sizeOf(entry.records), since, isSnapshot: false })
  }

  addSnapshot(entry: OutboxEntry): void {
    this.#push({ entry, bytes: sizeOf(entry.records), since: undefined, isSnapshot: true })
  }

  /** Repeats a trim that failed when nothing was published since. */
  tidy(): void {
    if (this.#toTrim !== undefined) this.#trimUpTo(this.#toTrim)
  }

  /** The engine has published a batch itself. */
  published(since: EpochMs | undefined): void {
    this.#observeLatency(since)
  }

  /** Publishes everything that waits, without the usual rhythm. */
  async drain(): Promise<void> {
    this.#isDraining = true
    this.#start()
    while (this.#pump) await this.#pump
    await this.#trim
  }

  /** Waits for what is under way and closes the publisher. The signal was aborted before. */
  async close(): Promise<void> {
    // First, since it cuts off a publish that a broker which is away would hold up.
    const closed = this.#publisher.close().catch(() => {})
    await this.#pump
    await this.#lateCommit
    await this.#trim
    await closed
  }

  #push(pending: Pending): void {
    this.#queue.push(pending)
    this.#setBytes(this.#bytes + pending.bytes)
    this.#start()
  }

  #start(): void {
    this.#pump ??= this.#run().finally(() => {
      this.#pump = undefined
      // Something was added between the loop's last look and now.
      if (this.#queue.length > 0 && !this.#signal.aborted) this.#start()
    })
  }

  #setBytes(bytes: number): void {
    this.#bytes = bytes
    this.#context.metrics.gauge('rtml_outbox_bytes', [this.#stageName, String(this.#shard.partition)], bytes)
  }

  async #run(): Promise<void> {
    try {
      while (this.#queue.length > 0 && !this.#signal.aborted) {
        await this.#pace()
        if (this.#signal.aborted) return
        await this.#publish(this.#queue)
      }
      await this.#commitIfDue()
      if (this.#uncommitted !== undefined) this.#commitLater()
    } catch (error) {
      this.#failed(error)
    }
  }

  /** One transaction every `publishEveryMs`, no sooner. */
  async #pace(): Promise<void> {
    const { clock, options } = this.#context
    const wait = this.#lastPublishAt + options.publishEveryMs - clock.now()
    if (wait > 0 && !this.#isDraining) await clock.sleep(ms(wait), this.#signal)
    this.#lastPublishAt = clock.now()
  }

  async #publish(batch: Pending[]): Promise<void> {
    this.#queue = []
    const started = this.#context.hrtime()
    const last = batch.at(-1)
    if (!last) return
    const position = last.entry.to
    const records = batch.flatMap(({ entry }) => entry.records)
    if (this.#context.options.delivery === 'exactly-once' || batch.some(({ isSnapshot }) => isSnapshot)) {
      await this.#transaction(records, position)
    } else {
      await retry(this.#context, this.#signal, () => this.#context.log.append(records))
      this.#uncommitted = position
      await this.#commitIfDue()
    }
    this.#context.metrics.observe('rtml_stage_seconds', [this.#stageName, 'publish'], this.#context.hrtime() - started)
    for (const { since } of batch) this.#observeLatency(since)
    this.#trimUpTo(position)
    this.#setBytes(this.#bytes - batch.reduce((sum, { bytes }) => sum + bytes, 0))
    this.#onPublished(position)
  }

  async #commitIfDue(): Promise<void> {
    if (this.#uncommitted === undefined || this.#signal.aborted) return
    const isDue = this.#context.clock.now() - this.#lastCommitAt >= COMMIT_EVERY_MS
    if (isDue || this.#isDraining) await this.#transaction([], this.#uncommitted)
  }

  /** When the stream goes idle its last position must be committed too: retention would overtake it in the end. */
  #commitLater(): void {
    const { clock } = this.#context
    this.#lateCommit ??= clock.sleep(ms(COMMIT_EVERY_MS), this.#signal).then(() => {
      this.#lateCommit = undefined
      this.#start()
    })
  }

  /** Not repeated when it fails: what happened is unknown, and only a new take-over may find out. */
  async #transaction(records: readonly NewRecord[], position: Offset): Promise<void> {
    const { group, topic, partition } = this.#shard
    await this.#publisher.publish(records, { group, topic, partition, position })
    this.#lastCommitAt = this.#context.clock.now()
    this.#uncommitted = undefined
  }

  /** Drops the store's copy of what the log shows. A failure costs nothing: the copy is never published again, and a later trim covers it. */
  #trimUpTo(position: Offset): void {
    if (!this.#isStored || this.#context.isAtomic) return
    this.#toTrim = position
    this.#trim = this.#trim.then(async () => {
      try {
        await this.#context.store.trim(this.#shard, this.#epoch, position)
        if (this.#toTrim === position) this.#toTrim = undefined
      } catch (error) {
        this.#context.logger.debug({ stage: this.#stageName, reason: String(error) }, 'trim of the outbox failed')
      }
    })
  }

  #observeLatency(since: EpochMs | undefined): void {
    if (since === undefined) return
    const seconds = Math.max(0, this.#context.clock.now() - since) / 1_000
    this.#context.metrics.observe('rtml_event_latency_seconds', [this.#stageName], seconds)
  }

  #failed(error: unknown): void {
    if (error instanceof Stopped) return
    this.#onEnd(endOf(error))
  }
}

function endOf(error: unknown): TenureEnd {
  if (!(error instanceof RtmlError)) return { kind: 'fatal', error }
  if (error.code === 'FENCED') return { kind: 'fenced' }
  return error.isTransient ? { kind: 'recover', reason: error.message } : { kind: 'fatal', error }
}

function sizeOf(records: readonly NewRecord[]): number {
  let bytes = 0
  for (const record of records) bytes += RECORD_OVERHEAD_BYTES + (record.key?.length ?? 0) + (record.value?.length ?? 0)
  return bytes
}
