import { RtmlError } from '../../app/errors.ts'
import type { Clock, Offset } from '../../app/units.ts'
import { partitionOf } from '../../engine/murmur2.ts'
import { type FeatureStore, type Log, PEEK_KEYS_MAX, type Shard } from '../../engine/ports.ts'
import type { FeatureSet } from '../../features/types.ts'
import { baseStates, findBase } from './base.ts'
import { type Difference, StateComparer } from './compare.ts'
import { type KeyedStage, placeOf } from './keyed-stage.ts'
import { Replay, type StateTable } from './replay.ts'
import { SampleTable } from './state-table.ts'

export interface VerifyOptions {
  readonly log: Log
  readonly store: FeatureStore
  readonly featureSet: FeatureSet
  readonly keyed: KeyedStage
  readonly shard: Shard
  readonly snapshotTopic: string | undefined
  readonly clock: Clock
  /** Keys to check. */
  readonly sample: number
  readonly seed: number
  readonly pace?: (records: number) => Promise<void>
  readonly signal: AbortSignal
}

export interface VerifiedShard {
  readonly stage: string
  readonly partition: number
  /** Where the compared states stood at last; undefined: nothing was ever applied. */
  readonly position: Offset | undefined
  readonly base: 'log' | 'snapshot' | undefined
  /** Records that were read to compute the states again. */
  readonly records: number
  /** Keys whose states were compared. */
  readonly checked: number
  /** Keys that the store has forgotten by age, as it should. */
  readonly expired: number
  readonly differences: readonly Difference[]
}

/**
 * Computes the states of a sample of keys from the log and compares them with the live ones, beside a running worker:
 * it only reads. States and position are read as of one instant, and the recomputed states are brought to exactly that
 * position; a difference counts only when a second look, at a later position, finds the key different again.
 * @throws Stopped; RtmlError LOG_TRUNCATED when neither log nor snapshot reaches back far enough
 */
export async function verifyShard(options: VerifyOptions): Promise<VerifiedShard> {
  const { log, store, keyed, shard, signal } = options
  const { stage } = keyed
  const place = { stage: stage.name, partition: shard.partition }
  const { position } = await store.peek(shard, [])
  if (position === undefined)
    return { ...place, position, base: undefined, records: 0, checked: 0, expired: 0, differences: [] }
  const { snapshotTopic } = options
  const base = await findBase({ log, store, shard, snapshotTopic, until: position, signal })
  const partitions = (await log.bounds(shard.topic)).length
  const isHere = (key: string) => partitionOf(Buffer.from(key), partitions) === shard.partition
  const table = new SampleTable(options.sample, options.seed)
  for await (const states of baseStates(base, stage, log, shard, signal))
    await table.save(new Map([...states].filter(([key]) => isHere(key) && table.admit(key))))
  const only = (key: string) => isHere(key) && table.admit(key)
  const { pace } = options
  const replay = new Replay({ log, stage, shard, table, from: base.position, only, ...(pace ? { pace } : {}) })
  await replay.advance(position, signal)

  const comparer = new StateComparer(keyed, options.featureSet, options.clock.now())
  const { keys } = table
  const first = await compareKeys({ store, shard, table, replay, comparer, keys, signal })
  const suspects = [...new Set(first.differences.map(({ key }) => key))]
  const second = await compareKeys({ store, shard, table, replay, comparer, keys: suspects, signal })
  return {
    ...place,
    position: replay.position,
    base: base.kind,
    records: replay.records,
    checked: first.checked,
    expired: first.expired,
    differences: second.differences,
  }
}

export interface CompareOptions {
  readonly store: FeatureStore
  readonly shard: Shard
  readonly table: StateTable
  readonly replay: Replay
  readonly comparer: StateComparer
  readonly keys: readonly string[]
  readonly signal: AbortSignal
}

/** Compares live and recomputed states of the keys, each piece of them at one position. */
export async function compareKeys(
  options: CompareOptions,
): Promise<{ checked: number; expired: number; differences: Difference[] }> {
  const { store, shard, table, replay, comparer, keys, signal } = options
  const differences: Difference[] = []
  let checked = 0
  let expired = 0
  for (let at = 0; at < keys.length; at += PEEK_KEYS_MAX) {
    const piece = keys.slice(at, at + PEEK_KEYS_MAX)
    const live = await store.peek(shard, piece)
    await replay.advance(requirePosition(live.position, replay.position, shard), signal)
    const recomputed = await table.load(piece)
    for (const [index, key] of piece.entries()) {
      const [ours, theirs] = [live.states[index], recomputed[index]]
      if (!ours && !theirs) continue
      const result = await comparer.compare(key, ours, theirs)
      if (result === 'expired') expired++
      else {
        checked++
        differences.push(...result)
      }
    }
  }
  return { checked, expired, differences }
}

/** A replay can't go back: a store that did has lost its tail and is being repaired. */
function requirePosition(position: Offset | undefined, reached: Offset, shard: Shard): Offset {
  if (position !== undefined && position >= reached) return position
  throw new RtmlError(
    'STORE_DOWN',
    `the store went back to position ${position ?? 'nothing'} from ${reached}: it lost its tail and is being rebuilt. Run this again when the shard runs.`,
    { place: placeOf(shard) },
  )
}
