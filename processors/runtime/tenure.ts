import { RtmlError } from '../app/errors.ts'
import { type Epoch, ms, type Offset, offset, unreachable } from '../app/units.ts'
import type { Applied, LogRecord, NewRecord, OutboxEntry, Publisher, RecordRun, Shard } from '../engine/ports.ts'
import type { ShardContext } from './context.ts'
import { Outbox } from './outbox.ts'
import { isExpected, retry, Stopped } from './retry.ts'
import type { Snapshots } from './snapshots.ts'
import type { Aligned, Stage } from './stage.ts'
import type { StateCache } from './state-cache.ts'
import type { TenureEnd } from './tenure-end.ts'

/** How long the first batch of a bulk of old events waits for other partitions to show theirs. */
const BULK_GRACE_MS = ms(100)

interface Batch {
  readonly from: Offset
  readonly to: Offset
  readonly records: readonly LogRecord[]
}

/** A shard between two batches. */
export interface Rest {
  readonly position: Offset
  rewrite(changed: ReadonlyMap<string, Buffer>): Promise<void>
}

/**
 * One uninterrupted ownership of a shard, from a finished take-over on: batches come in through `accept`, in order, and
 * leave through the store and the log. Steps of one batch:
 *
 *   prepare → load → compute        one batch at a time, in order
 *   outputs (scoring)               up to `pipelineDepth` batches at once
 *   apply                           in order: the store refuses anything else
 *   publish                         many applied batches in one transaction, in order
 *
 * Any doubt ends the tenure; the next one starts from what store and log say, never from memory.
 */
export class Tenure<Prepared, State, Work> {
  readonly #context: ShardContext
  readonly #stage: Stage<Prepared, State, Work>
  readonly #shard: Shard
  readonly #epoch: Epoch
  readonly #cache: StateCache<State>
  readonly #outbox: Outbox
  readonly #snapshots: Snapshots | undefined
  readonly #stop = new AbortController()
  /** Ends the wait for a batch's time: nothing was begun that would have to be finished. */
  readonly #leave = new AbortController()
  readonly #end = Promise.withResolvers<TenureEnd>()
  /** Batches computed and not yet applied, oldest first: their states are newer than the store's. */
  readonly #inFlight: { batch: Batch; changed: ReadonlyMap<string, Buffer | null> }[] = []
  /** Of an aligned stage: what was taken in and isn't in the log yet, oldest first, with its event time. */
  readonly #unpublished: { readonly to: Offset; readonly time: number }[] = []
  #applied: Promise<void> = Promise.resolve()
  /** Position after the last batch taken in. */
  #taken: Offset
  /** Position after the last batch the store has. */
  #position: Offset
  readonly #isolateUntil: Offset
  #accepting: Promise<void> = Promise.resolve()
  readonly #watching: Promise<void>
  #isDraining = false
  #isDelivering = false
  #waiters: (() => void)[] = []

  constructor(options: {
    context: ShardContext
    stage: Stage<Prepared, State, Work>
    shard: Shard
    epoch: Epoch
    publisher: Publisher
    position: Offset
    pending: readonly OutboxEntry[]
    isolateUntil: Offset
    cache: StateCache<State>
    snapshots: Snapshots | undefined
  }) {
    this.#context = options.context
    this.#stage = options.stage
    this.#shard = options.shard
    this.#epoch = options.epoch
    this.#cache = options.cache
    this.#position = options.position
    this.#taken = options.position
    this.#isolateUntil = options.isolateUntil
    this.#snapshots = options.snapshots
    this.#outbox = new Outbox({
      context: options.context,
      shard: options.shard,
      epoch: options.epoch,
      stageName: options.stage.name,
      isStored: options.stage.stateExpireMs !== undefined,
      publisher: options.publisher,
      signal: this.#stop.signal,
      onEnd: (end) => this.finish(end),
      onPublished: (position) => {
        this.#published(position)
        this.#wake()
      },
    })
    for (const entry of options.pending) this.#outbox.add(entry, undefined)
    this.#watching = this.#watch().catch((error: unknown) => this.#failed(error))
  }

  /** Settles when the tenure ended by itself. */
  get ended(): Promise<TenureEnd> {
    return this.#end.promise
  }

  get position(): Offset {
    return this.#position
  }

  get cache(): StateCache<State> {
    return this.#cache
  }

  /** The decoded states stand exactly at `position`: nothing was computed that the store doesn't have. */
  get isSettled(): boolean {
    return this.#inFlight.length === 0
  }

  /** From now on runs come from where this tenure began, without holes. */
  deliveryBegan(): void {
    this.#isDelivering = true
  }

  /**
   * Takes a run in; resolves when there is room for more. Runs of another tenure are ignored. Runs go in one after the
   * other even when delivery was restarted while one was being taken in.
   */
  accept(run: RecordRun): Promise<void> {
    // Until delivery begins anew, what comes is left over from an earlier tenure, and may be from further on.
    const isLeftOver = !this.#isDelivering
    this.#accepting = this.#accepting
      .then(() => this.#accept(run, { isLeftOver }))
      .catch((error: unknown) => this.#failed(error))
    return this.#accepting
  }

  /**
   * Runs `work` between two batches: the store stands at the given position, nothing is in flight, and nothing is taken in
   * until the promise settles. A failure of `work` is the caller's.
   * @throws Stopped when the tenure ended
   */
  atRest(work: (rest: Rest) => Promise<void>): Promise<void> {
    const done = this.#accepting.then(async () => {
      await this.#applied
      if (this.#isOver) throw new Stopped()
      await work({ position: this.#position, rewrite: (changed) => this.#rewrite(changed) })
    })
    this.#accepting = done.catch(() => {})
    return done
  }

  /** Replaces states without moving the position, under this tenure's epoch. @throws Stopped */
  async #rewrite(changed: ReadonlyMap<string, Buffer>): Promise<void> {
    // Before the write: whatever becomes of it, the next batch reads these states anew.
    this.#cache.drop(changed.keys())
    const position = this.#position
    const expireMs = this.#stage.stateExpireMs
    const batch = { from: position, to: position, states: changed, outputs: [], rebuild: true }
    const applied = await this.#retry(() =>
      this.#context.store.apply(this.#shard, this.#epoch, expireMs === undefined ? batch : { ...batch, expireMs }),
    )
    if (this.#judge(applied, position, position) === undefined) throw new Stopped()
    this.#snapshots?.applied(changed)
  }

  /** Finishes the batches that were taken in and publishes them; the rest of a run that is being taken in is left. */
  async drain(): Promise<void> {
    this.#isDraining = true
    this.#leave.abort()
    this.#wake()
    await this.#accepting
    await this.#applied
    if (!this.#stop.signal.aborted) await this.#outbox.drain()
  }

  /** Ends the tenure for `end`; nothing more is written after the step that is under way. */
  finish(end: TenureEnd): void {
    this.#stop.abort()
    this.#leave.abort()
    this.#end.resolve(end)
    this.#wake()
  }

  /** Stops at once and waits for what is under way. */
  async close(): Promise<void> {
    this.#stop.abort()
    this.#leave.abort()
    this.#wake()
    await this.#watching
    // A compute under way still changes decoded states: until it has ended, nobody may look at the cache.
    await this.#accepting
    await this.#applied
    await this.#outbox.close()
  }

  async #accept(run: RecordRun, { isLeftOver }: { isLeftOver: boolean }): Promise<void> {
    if (this.#isOver || run.to <= this.#taken) return
    const from = this.#taken
    if (run.from > from && isLeftOver) return
    if (run.from > from) {
      this.finish({ kind: 'recover', reason: `delivery jumped from ${from} to ${run.from}` })
      return
    }
    const fresh = run.from < from ? run.records.filter((record) => record.offset >= from) : run.records
    for (const batch of cut({ from, to: run.to, records: fresh }, this.#batchSize(from))) {
      await this.#room()
      if (this.#isOver) return
      if (this.#stage.due) await this.#due(batch)
      if (this.#isOver) return
      const { aligned } = this.#stage
      if (aligned && batch.records.length > 0) await this.#takeAligned(batch, aligned)
      else {
        await this.#take(batch)
        this.#taken = batch.to
      }
    }
  }

  /** Takes a batch in as far as other partitions allow it, again and again, until it is all taken or the tenure is over. */
  async #takeAligned(whole: Batch, aligned: Aligned<Prepared>): Promise<void> {
    const name = alignedAs(this.#shard)
    aligned.alignment.begun(name)
    try {
      await this.#takeParts(whole, aligned, name)
    } finally {
      aligned.alignment.ended(name)
    }
  }

  async #takeParts(whole: Batch, aligned: Aligned<Prepared>, name: string): Promise<void> {
    const { alignment } = aligned
    let batch = whole
    let prepared: Prepared
    try {
      prepared = await this.#prepare(batch)
    } catch (error) {
      if (isExpected(error)) throw error
      // Met again below, where defects are dealt with.
      await this.#take(batch)
      this.#taken = batch.to
      return
    }
    let times = aligned.times(prepared)
    if (alignment.mayBegin(name, spanOf(times))) {
      alignment.limit(name, times[0]?.time)
      await this.#context.clock.sleep(BULK_GRACE_MS, this.#leave.signal)
      if (this.#isOver) return
    }
    for (;;) {
      const next = this.#unpublished.length === 0 ? times[0]?.time : undefined
      const limit = times[0] ? alignment.limit(name, next) : Number.POSITIVE_INFINITY
      const beyond = times.findIndex(({ time }) => time > limit)
      if (beyond === 0) {
        await alignment.progress(this.#leave.signal)
        if (this.#isOver) return
        continue
      }
      const end = times[beyond]?.offset
      const [now, later] = end === undefined ? [prepared] : aligned.split(prepared, end)
      const to = end ?? batch.to
      const records = end === undefined ? batch.records : batch.records.filter((record) => record.offset < end)
      await this.#room()
      if (this.#isOver) return
      const last = times.at(beyond < 0 ? -1 : beyond - 1)
      if (last) {
        this.#unpublished.push({ to, time: last.time })
        alignment.begun(name)
      }
      await this.#take({ from: batch.from, to, records }, now)
      this.#taken = to
      if (later === undefined) return
      batch = { from: to, to: batch.to, records: batch.records.slice(records.length) }
      prepared = later
      times = times.slice(beyond)
    }
  }

  get #isOver(): boolean {
    return this.#stop.signal.aborted || this.#isDraining
  }

  #batchSize(from: Offset): number {
    const most = Math.min(this.#context.options.maxBatchEvents, this.#stage.maxBatchRecords ?? Number.POSITIVE_INFINITY)
    return from < this.#isolateUntil ? 1 : most
  }

  /** Waits for the batch's time. A defect met here is met again in `compute`, where the record is told apart. */
  async #due({ records }: Batch): Promise<void> {
    const { signal } = this.#leave
    await retry(this.#context, signal, async () => this.#stage.due?.(records, signal)).catch((error: unknown) => {
      if (isExpected(error) && !(error instanceof Stopped)) throw error
    })
  }

  /** Waits until fewer than `pipelineDepth` batches are in flight and the outbox is below its bound. */
  async #room(): Promise<void> {
    while (!this.#isOver && (this.#inFlight.length >= this.#context.options.pipelineDepth || this.#outbox.isFull)) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake()
  }

  /** @param prepared the batch, decoded already */
  async #take(batch: Batch, prepared?: Prepared): Promise<void> {
    if (this.#stop.signal.aborted) return
    const isAlone = batch.from < this.#isolateUntil && batch.records.length <= 1
    const outcome = await this.#compute(batch, isAlone, prepared)
    // Noted even when the tenure ended meanwhile: it tells that the cache is ahead of the store.
    const entry = { batch, changed: outcome.changed }
    // Awaited in its turn by #apply; until then a failure must not count as unhandled.
    outcome.outputs.catch(() => {})
    this.#inFlight.push(entry)
    this.#applied = this.#applied
      .then(() => this.#apply(entry, outcome.outputs))
      .catch((error: unknown) => this.#failed(error))
      .finally(() => this.#wake())
  }

  async #compute(
    batch: Batch,
    isAlone: boolean,
    decoded: Prepared | undefined,
  ): Promise<{ changed: ReadonlyMap<string, Buffer | null>; outputs: Promise<NewRecord[]> }> {
    const { metrics } = this.#context
    const stage = this.#stage
    if (batch.records.length === 0) return { changed: new Map(), outputs: Promise.resolve([]) }
    metrics.observe('rtml_batch_events', [stage.name], batch.records.length)
    try {
      const prepared = decoded ?? (await this.#prepare(batch))
      const states = await this.#timed('load', () => this.#load(stage.keys(prepared)))
      const started = this.#context.hrtime()
      const { changed, work } = stage.compute(prepared, states, 'live')
      metrics.observe('rtml_stage_seconds', [stage.name, 'compute'], this.#context.hrtime() - started)
      this.#cache.put(states)
      this.#cache.drop(without(states, changed))
      const outputs = this.#timed('outputs', () => this.#retry(() => stage.outputs(work)))
      return {
        changed,
        outputs: isAlone
          ? outputs.catch((error: unknown) => this.#deadLetter(batch, error))
          : outputs.catch((error) => this.#blame(batch, error)),
      }
    } catch (error) {
      if (isExpected(error)) throw error
      // The states may be half-updated: nothing of them may be used again.
      this.#cache.clear()
      if (!isAlone) return this.#blame(batch, error)
      return { changed: new Map(), outputs: this.#deadLetter(batch, error) }
    }
  }

  /** The outputs of the input before `position` are in the log. */
  #published(position: Offset): void {
    while (this.#unpublished[0] && this.#unpublished[0].to <= position) {
      const { time } = this.#unpublished.shift()!
      const name = alignedAs(this.#shard)
      this.#stage.aligned?.alignment.published(name, time)
      this.#stage.aligned?.alignment.ended(name)
    }
  }

  async #prepare({ records }: Batch): Promise<Prepared> {
    // Shards whose batches are ready at the same time would otherwise compute them in one turn of the loop.
    await this.#context.clock.turn()
    return this.#timed('prepare', () => this.#retry(() => this.#stage.prepare(records, 'live')))
  }

  #blame(batch: Batch, error: unknown): never {
    if (!isExpected(error)) this.finish({ kind: 'isolate', until: batch.to, error })
    throw new Stopped()
  }

  async #deadLetter(batch: Batch, error: unknown): Promise<NewRecord[]> {
    if (isExpected(error)) throw error
    const record = batch.records[0]
    if (!record) return []
    this.#context.logger.error(
      {
        stage: this.#stage.name,
        topic: record.topic,
        partition: record.partition,
        offset: record.offset,
        error: String(error),
      },
      'record failed unexpectedly; it goes to the dead letters',
    )
    return [this.#stage.poison(record, error instanceof Error ? error.message : String(error))]
  }

  /** Decoded states of the keys: from the cache, else from batches still in flight, else from the store. */
  async #load(keys: Iterable<string>): Promise<Map<string, State>> {
    const states = new Map<string, State>()
    if (this.#stage.stateExpireMs === undefined) return states
    const missing = this.#cache.take(keys, states)
    this.#context.metrics.count('rtml_state_cache_total', [this.#stage.name, 'hit'], states.size)
    this.#context.metrics.count('rtml_state_cache_total', [this.#stage.name, 'miss'], missing.length)
    const absent = missing.filter((key) => {
      const packed = this.#packedInFlight(key)
      if (packed) states.set(key, this.#stage.decode(key, packed))
      // Deleted in flight: the store may still have what is gone.
      return packed === undefined
    })
    if (absent.length === 0) return states
    const packed = await this.#retry(async () => {
      const stored = await this.#context.store.load(this.#shard, absent)
      await this.#stage.layouts?.learn(stored)
      return stored
    })
    absent.forEach((key, index) => {
      const bytes = packed[index]
      if (bytes) states.set(key, this.#stage.decode(key, bytes))
    })
    return states
  }

  #packedInFlight(key: string): Buffer | null | undefined {
    for (let index = this.#inFlight.length - 1; index >= 0; index--) {
      const packed = this.#inFlight[index]?.changed.get(key)
      if (packed !== undefined) return packed
    }
    return undefined
  }

  async #apply(
    entry: { batch: Batch; changed: ReadonlyMap<string, Buffer | null> },
    pending: Promise<NewRecord[]>,
  ): Promise<void> {
    const { batch, changed } = entry
    const outputs = withTombstones(await pending, this.#snapshots, changed)
    if (this.#stop.signal.aborted) return
    const published = await this.#timed('apply', () => this.#store(batch, changed, outputs))
    if (published === undefined) return
    this.#inFlight.shift()
    this.#position = batch.to
    this.#snapshots?.applied(changed)
    if (published) {
      this.#outbox.published(batch.records[0]?.timestamp)
      this.#published(batch.to)
      return
    }
    this.#outbox.add({ from: batch.from, to: batch.to, records: outputs }, batch.records[0]?.timestamp)
    // The store stands exactly at batch.to until the next apply, which waits for this one.
    const round = await this.#retry(async () => this.#snapshots?.round(batch.to))
    // States that the round read from the store count only if the store hadn't lost them: ask after reading.
    if (round && (await this.#isStoreAt(batch.to)))
      this.#outbox.addSnapshot({ from: batch.to, to: batch.to, records: round })
  }

  /**
   * Asks the store from time to time whether it still stands where we stand: without events, nothing else would notice
   * that a failover or a flush has taken states away, and readers would be served defaults.
   */
  async #watch(): Promise<void> {
    const { clock, isAtomic, options } = this.#context
    if (this.#stage.stateExpireMs === undefined || isAtomic) return
    for (;;) {
      await clock.sleep(options.storeCheckEveryMs, this.#stop.signal)
      if (this.#isOver) return
      this.#outbox.tidy()
      if (this.#inFlight.length > 0) continue
      this.#applied = this.#applied
        .then(async () => {
          if (!this.#isOver) await this.#isStoreAt(this.#position)
        })
        .catch((error: unknown) => this.#failed(error))
      await this.#applied
    }
  }

  /** Whether the store stands at `position` under our epoch; if it doesn't, the tenure has ended. */
  async #isStoreAt(position: Offset): Promise<boolean> {
    const nothing = { from: position, to: position, states: new Map<string, Buffer>(), outputs: [], rebuild: true }
    return (
      this.#judge(
        await this.#retry(() => this.#context.store.apply(this.#shard, this.#epoch, nothing)),
        position,
        position,
      ) !== undefined
    )
  }

  /** @returns whether outputs are already in the log; undefined when the tenure ended instead */
  async #store(
    batch: Batch,
    changed: ReadonlyMap<string, Buffer | null>,
    outputs: readonly NewRecord[],
  ): Promise<boolean | undefined> {
    const expireMs = this.#stage.stateExpireMs
    if (expireMs === undefined) return false
    const applied = await this.#retry(() =>
      this.#context.store.apply(this.#shard, this.#epoch, {
        from: batch.from,
        to: batch.to,
        states: changed,
        outputs,
        expireMs,
      }),
    )
    return this.#judge(applied, batch.from, batch.to)
  }

  /** What the store's answer to the batch [from, to) means. */
  #judge(applied: Applied, from: Offset, to: Offset): boolean | undefined {
    switch (applied.kind) {
      case 'applied':
        return applied.published
      case 'duplicate':
        // Only this tenure writes under this epoch, so an earlier try of this very batch got through and its reply was lost.
        if (applied.position === to) return this.#context.isAtomic
        this.finish({ kind: 'recover', reason: `store is at ${applied.position}, past ${to}` })
        return undefined
      case 'gap':
        this.finish({ kind: 'recover', reason: `store is at ${applied.position ?? 'nothing'}, before ${from}` })
        return undefined
      case 'fenced':
        this.#context.metrics.count('rtml_fenced_total', [this.#stage.name])
        // A lower epoch than ours means that the store lost its tail, not that somebody took over.
        this.finish(
          applied.epoch > this.#epoch ? { kind: 'fenced' } : { kind: 'recover', reason: 'store lost the epoch' },
        )
        return undefined
      default:
        return unreachable(applied)
    }
  }

  #retry<T>(operation: () => Promise<T>): Promise<T> {
    return retry(this.#context, this.#stop.signal, operation)
  }

  async #timed<T>(step: string, work: () => Promise<T>): Promise<T> {
    const started = this.#context.hrtime()
    const result = await work()
    this.#context.metrics.observe('rtml_stage_seconds', [this.#stage.name, step], this.#context.hrtime() - started)
    return result
  }

  #failed(error: unknown): void {
    if (error instanceof Stopped) return
    const isFenced = error instanceof RtmlError && error.code === 'FENCED'
    this.finish(isFenced ? { kind: 'fenced' } : { kind: 'fatal', error })
  }
}

/** Keys that lost their state in a batch. */
function* without(states: ReadonlyMap<string, unknown>, changed: ReadonlyMap<string, Buffer | null>) {
  for (const [key, packed] of changed) if (packed === null && !states.has(key)) yield key
}

/** A deleted state must not come back from a snapshot, nor lie in one until the next round. */
function withTombstones(
  outputs: NewRecord[],
  snapshots: Snapshots | undefined,
  changed: ReadonlyMap<string, Buffer | null>,
): NewRecord[] {
  const tombstones = snapshots?.tombstones(changed) ?? []
  return tombstones.length === 0 ? outputs : [...outputs, ...tombstones]
}

/** Cuts a run into batches of at most `size` records that together cover it without holes. */
function* cut(run: Batch, size: number): Generator<Batch> {
  if (run.records.length <= size) return yield run
  let from = run.from
  for (let index = 0; index < run.records.length; index += size) {
    const records = run.records.slice(index, index + size)
    const next = run.records[index + size]
    const to = next ? next.offset : run.to
    yield { from, to, records }
    from = to
  }
}

function spanOf(times: readonly { readonly time: number }[]): number {
  const [head] = times
  if (!head) return 0
  let [first, last] = [head.time, head.time]
  for (const { time } of times) {
    if (time < first) first = time
    if (time > last) last = time
  }
  return last - first
}

/** Name of a shard among those that are aligned with it. */
export const alignedAs = ({ topic, partition }: Shard): string => `${topic}[${partition}]`

export const NO_ISOLATION = offset(-1)
