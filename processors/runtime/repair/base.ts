import { RtmlError } from '../../app/errors.ts'
import type { Offset } from '../../app/units.ts'
import type { FeatureStore, Log, PartitionBounds, Shard } from '../../engine/ports.ts'
import { findSnapshot, readSnapshot, type SnapshotMark } from '../snapshots.ts'
import type { Stage } from '../stage.ts'
import { originNote, placeOf } from './keyed-stage.ts'

/** Where states that are computed from the log begin. */
export type Base =
  /** From nothing at the log's first record. */
  | { readonly kind: 'log'; readonly position: Offset }
  | { readonly kind: 'snapshot'; readonly position: Offset; readonly mark: SnapshotMark; readonly topic: string }

export interface BaseOptions {
  readonly log: Log
  readonly store: Pick<FeatureStore, 'note'>
  readonly shard: Shard
  /** Topic of the snapshots; undefined where the engine writes none. */
  readonly snapshotTopic: string | undefined
  /** Position that must be reachable: no later base is of use. */
  readonly until: Offset
  readonly signal: AbortSignal
}

/**
 * The log's first record when the log has everything that the states were made of, else the newest snapshot.
 * @throws RtmlError LOG_TRUNCATED when neither reaches back far enough
 */
export async function findBase(options: BaseOptions): Promise<Base> {
  const { log, store, shard, snapshotTopic, until, signal } = options
  const { start } = await boundsOf(log, shard)
  const mark = snapshotTopic === undefined ? undefined : await findSnapshot(log, snapshotTopic, shard, signal)
  // The note is lost with the store, the snapshot isn't.
  const origin = (await store.note(originNote(shard)))?.toString() ?? mark?.origin
  if (start === 0 && origin === undefined) return { kind: 'log', position: start }
  if (mark && snapshotTopic !== undefined && mark.position >= start && mark.position <= until)
    return { kind: 'snapshot', position: mark.position, mark, topic: snapshotTopic }
  const why =
    origin === undefined
      ? `the log begins at ${start}: the first ${start} records were deleted by retention`
      : `the states were moved here from other partitions at position ${origin}`
  const snapshot = mark ? `the newest snapshot is of position ${mark.position}` : 'there is no snapshot'
  throw new RtmlError(
    'LOG_TRUNCATED',
    `${why}, and ${snapshot}, so these states can't be computed again. The live states are the only copy: keep them.`,
    { place: placeOf(shard) },
  )
}

/** States of a base, a bounded map at a time; older versions of a key before newer ones. */
export async function* baseStates(
  base: Base,
  stage: Stage,
  log: Log,
  shard: Shard,
  signal: AbortSignal,
): AsyncGenerator<ReadonlyMap<string, Buffer>> {
  if (base.kind === 'log') return
  for (const descriptor of base.mark.layouts) stage.layouts?.add(descriptor)
  yield* readSnapshot(log, base.topic, shard, base.mark, signal)
}

/** @throws RtmlError CONFIG when the shard doesn't exist */
export async function boundsOf(log: Log, shard: Shard): Promise<PartitionBounds> {
  const all = await log.bounds(shard.topic)
  const bounds = all[shard.partition]
  if (bounds) return bounds
  const message = all.length === 0 ? 'the topic does not exist' : `there are shards 0 to ${all.length - 1}`
  throw new RtmlError('CONFIG', message, { place: placeOf(shard) })
}
