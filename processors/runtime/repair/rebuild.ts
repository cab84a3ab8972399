import { RtmlError } from '../../app/errors.ts'
import type { Clock, Epoch, Offset } from '../../app/units.ts'
import { type FeatureStore, type Log, type NewRecord, PEEK_KEYS_MAX, type Shard } from '../../engine/ports.ts'
import type { FeatureSet } from '../../features/types.ts'
import { findSnapshot, forgottenMark, readSnapshot } from '../snapshots.ts'
import { publisherId } from '../take-over.ts'
import { PROGRESS_KEY } from './backfill.ts'
import { type Base, baseStates, boundsOf, findBase } from './base.ts'
import { type Difference, StateComparer } from './compare.ts'
import { type KeyedStage, originNote, placeOf } from './keyed-stage.ts'
import { Replay } from './replay.ts'
import { StoredTable } from './state-table.ts'
import { compareKeys } from './verify.ts'

export interface RebuildOptions {
  readonly log: Log
  readonly store: FeatureStore
  /** An empty store of the caller's own, for the states while they are computed: they need not fit into memory. */
  readonly scratch: FeatureStore
  readonly featureSet: FeatureSet
  readonly keyed: KeyedStage
  readonly shard: Shard
  readonly snapshotTopic: string | undefined
  readonly clock: Clock
  readonly signal: AbortSignal
}

export interface Rebuilt {
  readonly stage: string
  readonly partition: number
  /** What the states were computed from, and its position. */
  readonly base: Base['kind']
  readonly from: Offset
  /** Position that the computed states reflect at last. */
  readonly position: Offset
  readonly records: number
  readonly states: number
  /** False: the store stood elsewhere, so there was nothing to compare with. */
  readonly isCompared: boolean
  readonly expired: number
  /** Keys that differ, and the first differences. */
  readonly differing: number
  readonly differences: readonly Difference[]
  readonly isReplaced: boolean
}

const DIFFERENCES_MAX = 100

/**
 * Computes all states of a shard from the log and compares them with the live ones, each piece of the keys at one position:
 * a worker may go on. Writes nothing but the scratch store.
 * @throws Stopped; RtmlError LOG_TRUNCATED; CONFIG when the shard doesn't exist; STORE_DOWN while the store is being rebuilt
 */
export async function compareShard(options: RebuildOptions): Promise<Rebuilt> {
  const { store, shard } = options
  await boundsOf(options.log, shard)
  const { position } = await store.peek(shard, [])
  if (position === undefined)
    throw new RtmlError('CONFIG', 'the store knows nothing of this shard: there is nothing to compare with', {
      place: placeOf(shard),
    })
  const computed = await compute(options, position)
  return { ...(await compareAll(options, computed)), isReplaced: false }
}

/**
 * Computes all states of a shard from the log and puts them into the store's place. The shard is owned for that: a worker
 * that still runs is fenced, and one that takes it back meanwhile makes this fail without harm. States are those of the
 * position that the group has committed: what was applied beyond it wasn't published, and the next owner does both again.
 * @throws Stopped; RtmlError LOG_TRUNCATED, CONFIG; FENCED when a worker took the shard back
 */
export async function rebuildShard(options: RebuildOptions): Promise<Rebuilt> {
  const { log, store, shard } = options
  const bounds = await boundsOf(log, shard)
  const { epoch, position } = await store.own(shard)
  const publisher = await log.publisher(publisherId(shard))
  try {
    const committed = await log.committed(shard.group, shard)
    const target = committed ?? bounds.start
    const computed = await compute(options, target)
    const result =
      position === target ? await compareAll(options, computed) : { ...summary(options, computed), ...NOT_COMPARED }
    // A snapshot may hold what was just found wrong: without its mark, the next owner writes all states anew.
    if (options.snapshotTopic !== undefined && computed.base.kind === 'log')
      await publisher.publish([forgottenMark(options.snapshotTopic, shard)], { ...shard, position: target })
    if (!(await store.restore(shard, epoch, target, computed.table.scan()))) throw takenBack(shard)
    return { ...result, states: await count(computed.table), isReplaced: true }
  } finally {
    await publisher.close().catch(() => {})
  }
}

interface ComputedShard {
  readonly base: Base
  readonly table: StoredTable
  readonly replay: Replay
}

async function compute(options: RebuildOptions, until: Offset): Promise<ComputedShard> {
  const { log, store, keyed, shard, snapshotTopic, signal } = options
  const { stage } = keyed
  const base = await findBase({ log, store, shard, snapshotTopic, until, signal })
  const table = await StoredTable.open(options.scratch, shard)
  for await (const states of baseStates(base, stage, log, shard, signal)) await table.save(states)
  const replay = new Replay({ log, stage, shard, table, from: base.position })
  await replay.advance(until, signal)
  return { base, table, replay }
}

const NOT_COMPARED = { states: 0, isCompared: false, expired: 0, differing: 0, differences: [] }

function summary({ keyed, shard }: RebuildOptions, { base, replay }: ComputedShard) {
  return {
    stage: keyed.stage.name,
    partition: shard.partition,
    base: base.kind,
    from: base.position,
    position: replay.position,
    records: replay.records,
  }
}

async function compareAll(options: RebuildOptions, computed: ComputedShard): Promise<Omit<Rebuilt, 'isReplaced'>> {
  const { store, shard, signal } = options
  const { table, replay } = computed
  const comparer = new StateComparer(options.keyed, options.featureSet, options.clock.now())
  const common = { store, shard, table, replay, comparer, signal }
  const differences: Difference[] = []
  const differing = new Set<string>()
  let states = 0
  let expired = 0
  const compareSome = async (keys: readonly string[]) => {
    const found = await compareKeys({ ...common, keys })
    const suspects = [...new Set(found.differences.map(({ key }) => key))]
    const confirmed = suspects.length > 0 ? await compareKeys({ ...common, keys: suspects }) : found
    expired += found.expired
    for (const difference of confirmed.differences) {
      differing.add(difference.key)
      if (differences.length < DIFFERENCES_MAX) differences.push(difference)
    }
  }
  for await (const some of table.scan()) {
    states += some.size
    await compareSome([...some.keys()])
  }
  // What only the store has.
  for await (const some of store.scan(shard)) {
    const keys = [...some.keys()].filter((key) => key !== PROGRESS_KEY)
    const known = await table.load(keys)
    for (let at = 0; at < keys.length; at += PEEK_KEYS_MAX) {
      const surplus = keys.slice(at, at + PEEK_KEYS_MAX).filter((_, index) => known[at + index] === undefined)
      if (surplus.length > 0) await compareSome(surplus)
    }
  }
  return {
    ...summary(options, computed),
    states,
    isCompared: true,
    expired,
    differing: differing.size,
    differences,
  }
}

async function count(table: StoredTable): Promise<number> {
  let states = 0
  for await (const some of table.scan()) states += some.size
  return states
}

const takenBack = (shard: Shard) =>
  new RtmlError('FENCED', 'a worker took the shard back. Nothing is lost: stop the workers, then run this again.', {
    place: placeOf(shard),
  })

export interface AcceptLossOptions
  extends Pick<RebuildOptions, 'log' | 'store' | 'scratch' | 'shard' | 'snapshotTopic' | 'signal'> {
  /** Undefined: the stage keeps no state. */
  readonly keyed: KeyedStage | undefined
}

export interface LossAccepted {
  readonly partition: number
  /** Where the shard stood, and where it goes on. */
  readonly from: Offset | undefined
  readonly position: Offset
  /** Records that were never read and never will be; undefined: nobody can tell (the topic was re-created). */
  readonly lost: number | undefined
  /** What the states are now. */
  readonly states: 'kept' | 'snapshot' | 'empty' | 'none'
}

/**
 * Lets a shard go on whose next records the log no longer has: states stay as they are (or become those of the newest
 * snapshot when the store has none), outputs that wait are published, and the position moves to the log's first record.
 * @returns undefined when nothing is missing
 * @throws RtmlError CONFIG; FENCED when a worker took the shard back
 */
export async function acceptLoss(options: AcceptLossOptions): Promise<LossAccepted | undefined> {
  const { log, store, shard, keyed } = options
  const { start, end, partition } = await boundsOf(log, shard)
  const owned = keyed ? await store.own(shard) : undefined
  const publisher = await log.publisher(publisherId(shard))
  try {
    const committed = await log.committed(shard.group, shard)
    const at = owned ? owned.position : committed
    const isMissing =
      (at !== undefined && (at < start || at > end)) ||
      (committed !== undefined && (committed < start || committed > end)) ||
      (owned !== undefined && at === undefined && committed !== undefined && start > 0)
    if (!isMissing) return undefined
    const outbox = owned && at !== undefined ? await store.outbox(shard) : []
    const pending: readonly NewRecord[] = outbox
      .filter(({ to }) => committed === undefined || to > committed)
      .flatMap(({ records }) => records)
    const position = at !== undefined && at >= start && at <= end ? at : start
    const states = owned ? await moveTo(options, owned, position, end) : 'none'
    await publisher.publish(pending, { ...shard, position })
    if (owned) {
      await store.trim(shard, owned.epoch, position)
      await store.setNote(originNote(shard), Buffer.from(String(position)))
    }
    const isGone = at === undefined || at > end
    return { partition, from: at, position, lost: isGone ? undefined : Math.max(0, start - at), states }
  } finally {
    await publisher.close().catch(() => {})
  }
}

/** Brings the shard's position to `position` without touching what its states say. */
async function moveTo(
  options: AcceptLossOptions,
  { epoch, position: at }: { epoch: Epoch; position: Offset | undefined },
  position: Offset,
  end: Offset,
): Promise<LossAccepted['states']> {
  const { log, store, scratch, shard, snapshotTopic, signal } = options
  if (at === position) return 'kept'
  if (at !== undefined && at < position) {
    const moved = await store.apply(shard, epoch, { from: at, to: position, states: new Map(), outputs: [] })
    if (moved.kind !== 'applied') throw takenBack(shard)
    return 'kept'
  }
  const table = await StoredTable.open(scratch, shard)
  let states: LossAccepted['states'] = 'empty'
  if (at !== undefined && at > end) {
    // Backwards only by a restore, which begins by dropping what is there: a copy first.
    for await (const some of store.scan(shard)) await table.save(some)
    states = 'kept'
  } else if (snapshotTopic !== undefined) {
    const mark = await findSnapshot(log, snapshotTopic, shard, signal)
    if (mark) {
      for await (const some of readSnapshot(log, snapshotTopic, shard, mark, signal)) await table.save(some)
      states = 'snapshot'
    }
  }
  if (!(await store.restore(shard, epoch, position, table.scan()))) throw takenBack(shard)
  return states
}
