import { RtmlError } from '../app/errors.ts'
import { type Epoch, type Offset, offset } from '../app/units.ts'
import type { LogRecord, OutboxEntry, PartitionBounds, Publisher, Shard } from '../engine/ports.ts'
import type { ShardContext } from './context.ts'
import { readRange } from './read-range.ts'
import { isExpected } from './retry.ts'
import { findSnapshot, readSnapshot, Snapshots } from './snapshots.ts'
import type { Stage } from './stage.ts'

/** A shard that is owned, whole, and ready for the batch at `position`. */
export interface TakenOver {
  readonly epoch: Epoch
  readonly publisher: Publisher
  readonly position: Offset
  /** Records wait to be read. */
  readonly hasBacklog: boolean
  /** Applied by an earlier owner and not yet in the log. */
  readonly pending: readonly OutboxEntry[]
  readonly snapshots: Snapshots | undefined
}

const NO_STORE_EPOCH = 0 as Epoch

/**
 * Takes a shard over. The order matters: raise the epoch in the store, then open the publisher (each fences the old
 * owner where it writes), and only then read position, outbox and committed offset, which can't move any more. Then the
 * three cases: store ahead of the log (publish its outbox), store behind (rebuild from the log, publishing nothing
 * again), store empty (load the snapshot, then rebuild). docs/decisions/001 has the argument.
 *
 * @throws RtmlError LOG_TRUNCATED when retention has deleted what is needed; transient errors of log and store
 */
export async function takeOver<Prepared, State, Work>(
  context: ShardContext,
  stage: Stage<Prepared, State, Work>,
  shard: Shard,
  signal: AbortSignal,
): Promise<TakenOver> {
  if (stage.stateExpireMs === undefined) return takeOverStateless(context, shard)
  // Before the epoch is raised: a store that has this epoch then also has the layouts that its owner writes.
  await stage.layouts?.announce()
  const { epoch, position: found } = await context.store.own(shard)
  const publisher = await context.log.publisher(publisherId(shard))
  try {
    const committed = await context.log.committed(shard.group, shard)
    const bounds = await boundsOf(context, shard)
    const mark = await snapshotMark(context, shard, signal)
    const outbox = found === undefined ? [] : await context.store.outbox(shard)
    // What was read counts only if the store hadn't lost it by then: a lost outbox must not pass for an empty one.
    if (found !== undefined && !context.isAtomic) await confirm(context, shard, epoch, found)
    const pending = outbox.filter(({ to }) => committed === undefined || to > committed)
    const isExact = context.options.delivery === 'exactly-once'
    const mustFill = found === undefined || !isWorthKeeping(found, committed, isExact ? pending : undefined, mark)
    const filled = mustFill ? await fill(context, stage, shard, epoch, bounds, committed, mark, signal) : found
    if (filled > bounds.end) throw beyondEnd(shard, filled, bounds)
    const start = stage.mayLoseInput ? await skipLost(context, stage, shard, epoch, filled, bounds) : filled
    // Published by an earlier owner that ended before it could trim.
    if (!mustFill && committed !== undefined && outbox.length > pending.length)
      await context.store.trim(shard, epoch, committed)
    const position =
      committed !== undefined && start < committed
        ? await rebuild(context, stage, shard, epoch, start, committed, signal)
        : start
    if (position < bounds.start) throw truncated(shard, position, bounds)
    context.metrics.count('rtml_recoveries_total', [
      stage.name,
      kindOf(found, committed, pending.length, mark !== undefined),
    ])
    const dirty = await dirtyKeys(context, stage, shard, mark, bounds, position, signal)
    const settings = context.options.snapshot
    const snapshots =
      settings && !context.isAtomic
        ? new Snapshots({ context, shard, settings, dirty, layouts: stage.layouts })
        : undefined
    const waiting = mustFill ? [] : pending
    if (waiting.length === 0) await commitStart(publisher, shard, position, committed)
    return { epoch, publisher, position, hasBacklog: position < bounds.end, pending: waiting, snapshots }
  } catch (error) {
    await publisher.close().catch(() => {})
    throw error
  }
}

/**
 * Whether the store's own state is the best to start from. It isn't when a snapshot is nearer to the committed position,
 * nor when the outbox doesn't hold exactly the outputs between the log and the store: then states may be right, but some
 * outputs would be lost or published twice.
 */
function isWorthKeeping(
  found: Offset,
  committed: Offset | undefined,
  /** Undefined: outputs may repeat, so the committed position lags behind what was published. */
  pending: readonly OutboxEntry[] | undefined,
  mark: { position: Offset } | undefined,
): boolean {
  if (committed === undefined) return true
  if (found < committed) return mark === undefined || mark.position <= found
  if (!pending) return true
  let covered = committed
  for (const { from, to } of pending) {
    if (from !== covered) return false
    covered = to
  }
  return covered === found
}

/**
 * Asks the store whether it stands at `from` under our epoch, and moves it to `to` without changing a state.
 * @throws RtmlError STORE_DOWN when it stands elsewhere, FENCED when somebody took over
 */
async function confirm(context: ShardContext, shard: Shard, epoch: Epoch, from: Offset, to = from): Promise<void> {
  const nothing = { from, to, states: new Map<string, Buffer>(), outputs: [], rebuild: true }
  const applied = await context.store.apply(shard, epoch, nothing)
  if (applied.kind === 'fenced' && applied.epoch > epoch)
    throw new RtmlError('FENCED', `shard ${publisherId(shard)} was taken over while it was being read`)
  if (applied.kind !== 'applied')
    throw new RtmlError('STORE_DOWN', `the store moved during a take-over (${applied.kind})`)
}

/** The transactional id: one owner an input partition, as kafkajs's protocol generation demands. */
export const publisherId = (shard: Shard) => `${shard.group}.${shard.topic}.${shard.partition}`

async function takeOverStateless(context: ShardContext, shard: Shard): Promise<TakenOver> {
  const publisher = await context.log.publisher(publisherId(shard))
  try {
    const committed = await context.log.committed(shard.group, shard)
    const bounds = await boundsOf(context, shard)
    if (committed !== undefined && committed < bounds.start) throw truncated(shard, committed, bounds)
    if (committed !== undefined && committed > bounds.end) throw beyondEnd(shard, committed, bounds)
    const position = committed ?? bounds.start
    await commitStart(publisher, shard, position, committed)
    const hasBacklog = position < bounds.end
    return { epoch: NO_STORE_EPOCH, publisher, position, hasBacklog, pending: [], snapshots: undefined }
  } catch (error) {
    await publisher.close().catch(() => {})
    throw error
  }
}

/**
 * Commits where the tenure starts when the group doesn't show it. The very first position must be there before the store is
 * given anything: only against a commit can a lost outbox, or retention that took unread events, be told. And an owner that
 * publishes at least once may have ended before it could commit.
 */
async function commitStart(
  publisher: Publisher,
  { group, topic, partition }: Shard,
  position: Offset,
  committed: Offset | undefined,
): Promise<void> {
  if (committed !== undefined && committed >= position) return
  await publisher.publish([], { group, topic, partition, position })
}

async function boundsOf(context: ShardContext, shard: Shard): Promise<PartitionBounds> {
  const bounds = (await context.log.bounds(shard.topic))[shard.partition]
  if (bounds) return bounds
  throw new RtmlError('LOG_DOWN', `topic ${shard.topic} has no partition ${shard.partition} yet`)
}

async function snapshotMark(context: ShardContext, shard: Shard, signal: AbortSignal) {
  const settings = context.options.snapshot
  return settings && !context.isAtomic ? findSnapshot(context.log, settings.topic, shard, signal) : undefined
}

/** Store empty: the newest snapshot, or the log's start. @returns the position that the store now stands at */
async function fill<Prepared, State, Work>(
  context: ShardContext,
  stage: Stage<Prepared, State, Work>,
  shard: Shard,
  epoch: Epoch,
  bounds: PartitionBounds,
  committed: Offset | undefined,
  mark: Awaited<ReturnType<typeof snapshotMark>>,
  signal: AbortSignal,
): Promise<Offset> {
  const settings = context.options.snapshot
  const position = mark?.position ?? bounds.start
  if (position < bounds.start && !stage.mayLoseInput) throw truncated(shard, position, bounds)
  // Events were counted before, nothing tells their states, and the log no longer has them all.
  if (!mark && !stage.mayLoseInput && committed !== undefined && bounds.start > 0)
    throw truncated(shard, offset(0), bounds)
  // The store may have lost its notes with its states: whoever reads a state must find its layout.
  for (const descriptor of mark?.layouts ?? []) stage.layouts?.add(descriptor)
  await stage.layouts?.announce()
  const states = mark && settings ? readSnapshot(context.log, settings.topic, shard, mark, signal) : nothing()
  if (await context.store.restore(shard, epoch, position, states)) return position
  throw new RtmlError('FENCED', `shard ${publisherId(shard)} was taken over while it was being filled`)
}

async function* nothing(): AsyncGenerator<ReadonlyMap<string, Buffer>> {}

/** Moves the store to the log's start when it stands before that: the records between are gone, and the stage can do without. */
async function skipLost<Prepared, State, Work>(
  context: ShardContext,
  stage: Stage<Prepared, State, Work>,
  shard: Shard,
  epoch: Epoch,
  position: Offset,
  bounds: PartitionBounds,
): Promise<Offset> {
  if (position >= bounds.start) return position
  const lost = { stage: stage.name, partition: shard.partition, from: position, to: bounds.start }
  context.logger.warn(lost, 'records were deleted by retention before they were read; going on behind them')
  await confirm(context, shard, epoch, position, bounds.start)
  return bounds.start
}

/** Store behind: applies [from, to) again; its outputs are in the log already. */
async function rebuild<Prepared, State, Work>(
  context: ShardContext,
  stage: Stage<Prepared, State, Work>,
  shard: Shard,
  epoch: Epoch,
  from: Offset,
  to: Offset,
  signal: AbortSignal,
): Promise<Offset> {
  context.logger.warn(
    { stage: stage.name, partition: shard.partition, from, to },
    'STORE_BEHIND: rebuilding states from the log',
  )
  const expireMs = stage.stateExpireMs
  let position = from
  for await (const run of readRange(context.log, shard, from, to, signal)) {
    const changed = new Map<string, Buffer | null>()
    await leavingOutDefects(context, stage, run.records, (records) =>
      recompute(context, stage, shard, records, changed),
    )
    const applied = await context.store.apply(shard, epoch, {
      from: position,
      to: run.to,
      states: changed,
      outputs: [],
      rebuild: true,
      ...(expireMs === undefined ? {} : { expireMs }),
    })
    // A lower epoch than ours: the store lost its tail, and nobody took over.
    if (applied.kind === 'fenced' && applied.epoch > epoch)
      throw new RtmlError('FENCED', `shard ${publisherId(shard)} was taken over during a rebuild`)
    // A lost reply of a transient failure: the next take-over starts from what the store says.
    if (applied.kind !== 'applied')
      throw new RtmlError('STORE_DOWN', `the store moved during a rebuild (${applied.kind})`)
    context.metrics.count('rtml_events_total', [stage.name, 'rebuilt'], run.records.length)
    position = run.to
  }
  return position
}

/** Adds the states after `records` to `changed`, which goes before what the store has. A failure adds nothing. */
async function recompute<Prepared, State, Work>(
  context: ShardContext,
  stage: Stage<Prepared, State, Work>,
  shard: Shard,
  records: readonly LogRecord[],
  changed: Map<string, Buffer | null>,
): Promise<void> {
  const prepared = await stage.prepare(records, 'rebuild')
  const keys = [...stage.keys(prepared)]
  const stored = await context.store.load(shard, keys)
  await stage.layouts?.learn(stored)
  const states = new Map<string, State>()
  keys.forEach((key, index) => {
    const own = changed.get(key)
    const packed = own === undefined ? stored[index] : own
    if (packed) states.set(key, stage.decode(key, packed))
  })
  for (const [key, packed] of stage.compute(prepared, states, 'rebuild').changed) changed.set(key, packed)
}

/**
 * Works on all records at once, or on each alone when one of them meets a defect; those that fail alone as well are left
 * out, as they were when they became dead letters. Without this, one such record would stop every recovery for good.
 */
async function leavingOutDefects<Prepared, State, Work>(
  context: ShardContext,
  stage: Stage<Prepared, State, Work>,
  records: readonly LogRecord[],
  work: (records: readonly LogRecord[]) => Promise<void>,
): Promise<void> {
  try {
    return await work(records)
  } catch (error) {
    if (isExpected(error)) throw error
    const [record] = records
    if (record && records.length === 1) {
      const { topic, partition, offset: position } = record
      context.logger.warn(
        { stage: stage.name, topic, partition, offset: position, error: String(error) },
        'record fails again; it is left out of the rebuild',
      )
      return
    }
  }
  for (const record of records) await leavingOutDefects(context, stage, [record], work)
}

/** Keys that changed after the newest mark: the next snapshot round must have them although this process didn't change them. */
async function dirtyKeys<Prepared, State, Work>(
  context: ShardContext,
  stage: Stage<Prepared, State, Work>,
  shard: Shard,
  mark: { position: Offset } | undefined,
  bounds: PartitionBounds,
  position: Offset,
  signal: AbortSignal,
): Promise<Set<string>> {
  const dirty = new Set<string>()
  if (!context.options.snapshot || context.isAtomic) return dirty
  const from = mark?.position ?? bounds.start
  if (from < bounds.start || !mark) {
    // No usable mark: every state of the shard belongs into the first round.
    for await (const states of context.store.scan(shard)) for (const key of states.keys()) dirty.add(key)
    return dirty
  }
  for await (const run of readRange(context.log, shard, from, position, signal)) {
    await leavingOutDefects(context, stage, run.records, async (records) => {
      for (const key of stage.keys(await stage.prepare(records, 'rebuild'))) dirty.add(key)
    })
  }
  return dirty
}

function kindOf(found: Offset | undefined, committed: Offset | undefined, pending: number, hasMark: boolean): string {
  if (found === undefined) return hasMark ? 'snapshot' : 'empty'
  if (committed !== undefined && found < committed) return 'behind'
  return pending > 0 ? 'ahead' : 'clean'
}

const truncated = (shard: Shard, position: Offset, bounds: PartitionBounds) =>
  new RtmlError(
    'LOG_TRUNCATED',
    `position ${position} is below the log's start ${bounds.start}; ${bounds.start - position} events were deleted by retention before they were read. ` +
      `Restore the topic, or go on without them: rtml rebuild --stage ${stageOf(shard)} --shard ${shard.partition} --accept-loss`,
    { place: `${shard.topic}[${shard.partition}]` },
  )

const beyondEnd = (shard: Shard, position: Offset, bounds: PartitionBounds) =>
  new RtmlError(
    'LOG_TRUNCATED',
    `position ${position} is past the log's end ${bounds.end}: the topic was re-created or lost its tail. ` +
      'Restore the topic, or give the application a new name: it then starts from the first event that the log has.',
    { place: `${shard.topic}[${shard.partition}]` },
  )

/** A group is `<prefix><app>.<stage>`. */
const stageOf = ({ group }: Shard) => /(?:map\.[^.]+|entity\.[^.]+|[^.]+)$/.exec(group)?.[0] ?? group
