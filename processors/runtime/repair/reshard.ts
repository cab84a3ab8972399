import { RtmlError } from '../../app/errors.ts'
import { type Epoch, type Offset, offset } from '../../app/units.ts'
import { partitionOf } from '../../engine/murmur2.ts'
import type { FeatureStore, Log, NewRecord, Publisher, Shard } from '../../engine/ports.ts'
import { isShardKey } from '../rules/shard-rules.ts'
import { snapshotRecords } from '../snapshots.ts'
import { publisherId } from '../take-over.ts'
import { boundsOf } from './base.ts'
import { type KeyedStage, originNote, partitionsNote, placeOf, shardOf } from './keyed-stage.ts'

export interface ReshardOptions {
  readonly log: Log
  readonly store: FeatureStore
  readonly keyed: KeyedStage
  /** Partitions that the states are to be cut for: those of the topic after it has grown. */
  readonly partitions: number
  /** Topic that the states belong to now; another one than the stage's when the application moves to a new topic. */
  readonly fromTopic: string
  /** Undefined where the engine needs no snapshots. */
  readonly snapshotTopic: string | undefined
  /** Gives the stage's topic its partitions. Called when everything is drained. */
  readonly grow: () => Promise<void>
}

export interface Resharded {
  readonly stage: string
  readonly before: number
  readonly after: number
  readonly states: number
  /** States that went to another shard. */
  readonly moved: number
}

interface Owned {
  readonly shard: Shard
  readonly epoch: Epoch
  readonly publisher: Publisher
  readonly position: Offset
}

/** States of one write. */
const CHUNK_KEYS = 256

/**
 * Moves a stage's states to another number of partitions. Everything must be drained and stopped: producers first, then,
 * when nothing lags, the workers. Steps, each safe to repeat after a crash, because nothing old is deleted before the note
 * of the partition count says that the new cut counts:
 *
 * 1. own every shard and open its publisher (fences whoever is left), and refuse unless the store stands at the log's end,
 *    the group has committed exactly that, and nothing waits in the outbox;
 * 2. grow the topic, and look once more that nothing came: a record that is appended between 1 and 2 was placed by the
 *    old count, but would be read by the new one;
 * 3. copy the states of each key that now belongs elsewhere to the shard of its murmur2 hash; shards of new partitions
 *    begin at the partition's start, the others stay where they stand: no event is skipped and none is counted again;
 * 4. write whole snapshots of the new cut, and where each shard's states come from: its log no longer tells;
 * 5. note the new partition count: from here on workers start;
 * 6. delete what was moved. What a crash leaves over is never asked for and never moved again.
 *
 * @throws RtmlError PARTITIONS_CHANGED when something isn't drained or is still running; FENCED when a worker came back
 */
export async function reshard(options: ReshardOptions): Promise<Resharded> {
  const { log, store, keyed, partitions: after, fromTopic } = options
  const { stage } = keyed
  const note = (await store.note(partitionsNote(stage.group)))?.toString()
  const before = note === undefined ? (await log.bounds(fromTopic)).length : Number(note)
  await using opened = new AsyncDisposableStack()
  const take = async (shard: Shard): Promise<Owned> => {
    const { epoch, position } = await store.own(shard)
    const publisher = opened.adopt(await log.publisher(publisherId(shard)), (it) => it.close().catch(() => {}))
    return { shard, epoch, publisher, position: position ?? offset(0) }
  }
  const sources: Owned[] = []
  for (let partition = 0; partition < before; partition++) {
    const source = await take({ ...shardOf(stage, partition), topic: fromTopic })
    await requireDrained(log, store, source)
    sources.push(source)
  }
  await options.grow()
  for (const { shard, position } of sources) await requireEnd(log, shard, position)

  const targets: Owned[] = []
  for (let partition = 0; partition < after; partition++) {
    const same = sources.find(({ shard }) => shard.topic === stage.topic && shard.partition === partition)
    targets.push(same ?? (await begin(log, store, await take(shardOf(stage, partition)))))
  }
  const { states, moved } = await copyStates(store, sources, targets, before)
  for (const target of targets) await describe(options, target, after)
  await store.setNote(partitionsNote(stage.group), Buffer.from(String(after)))
  for (const source of sources) await forgetMoved(store, source, stage.topic, after)
  return { stage: stage.name, before, after, states, moved }
}

async function requireDrained(log: Log, store: FeatureStore, { shard, position }: Owned): Promise<void> {
  const { end } = await boundsOf(log, shard)
  const committed = await log.committed(shard.group, shard)
  const refuse = (why: string) =>
    new RtmlError(
      'PARTITIONS_CHANGED',
      `${why}. Stop the producers, wait until nothing lags, stop all workers, then run this again.`,
      { place: placeOf(shard) },
    )
  if (position !== end) throw refuse(`the states stand at ${position}, the log ends at ${end}`)
  if ((committed ?? 0) !== end) throw refuse(`${committed ?? 0} is committed, the log ends at ${end}`)
  if ((await store.outbox(shard)).length > 0) throw refuse('outputs wait to be published')
}

async function requireEnd(log: Log, shard: Shard, position: Offset): Promise<void> {
  const { end } = await boundsOf(log, shard)
  if (end === position) return
  throw new RtmlError(
    'PARTITIONS_CHANGED',
    `${end - position} records came while the topic grew: a producer still runs. They were placed by the old number of partitions: ` +
      'stop it, copy them to where their keys belong now, and see docs/repair.md.',
    { place: placeOf(shard, position) },
  )
}

/** The shard of a new partition: empty, at the partition's first record. */
async function begin(log: Log, store: FeatureStore, owned: Owned): Promise<Owned> {
  const { shard, epoch } = owned
  const { start, end } = await boundsOf(log, shard)
  if (end > start)
    throw new RtmlError(
      'PARTITIONS_CHANGED',
      'the new partition has records already. Producers must wait until the states are moved.',
      { place: placeOf(shard) },
    )
  if (!(await store.restore(shard, epoch, start, nothing()))) throw cameBack(shard)
  return { ...owned, position: start }
}

async function* nothing(): AsyncGenerator<ReadonlyMap<string, Buffer>> {}

async function copyStates(
  store: FeatureStore,
  sources: readonly Owned[],
  targets: readonly Owned[],
  before: number,
): Promise<{ states: number; moved: number }> {
  let states = 0
  let moved = 0
  for (const { shard } of sources) {
    for await (const some of store.scan(shard)) {
      const batches = new Map<Owned, Map<string, Buffer>>()
      for (const [key, packed] of some) {
        // What an earlier move left over isn't this shard's; how far a backfill came is true of the old cut only,
        // and which rules hold is told to every shard anew.
        if (isShardKey(key) || partitionOf(Buffer.from(key), before) !== shard.partition) continue
        states++
        const target = targets[partitionOf(Buffer.from(key), targets.length)]!
        if (target.shard.topic === shard.topic && target.shard.partition === shard.partition) continue
        moved++
        const batch = batches.get(target)
        if (batch) batch.set(key, packed)
        else batches.set(target, new Map([[key, packed]]))
      }
      for (const [target, batch] of batches) await write(store, target, batch)
    }
  }
  return { states, moved }
}

/** Writes states without moving the position, in pieces. */
async function write(
  store: FeatureStore,
  { shard, epoch, position }: Owned,
  states: ReadonlyMap<string, Buffer | null>,
): Promise<void> {
  const entries = [...states]
  for (let at = 0; at < entries.length; at += CHUNK_KEYS) {
    const piece = new Map(entries.slice(at, at + CHUNK_KEYS))
    const batch = { from: position, to: position, states: piece, outputs: [], rebuild: true }
    const applied = await store.apply(shard, epoch, batch)
    if (applied.kind !== 'applied') throw cameBack(shard)
  }
}

/** Writes down where the shard's states come from, and all of them as a snapshot: its own log can't make them again. */
async function describe(options: ReshardOptions, target: Owned, after: number): Promise<void> {
  const { store, keyed, snapshotTopic } = options
  const { shard, publisher, position } = target
  await store.setNote(originNote(shard), Buffer.from(String(position)))
  if (snapshotTopic === undefined) return
  const states = new Map<string, Buffer | null>()
  for await (const some of store.scan(shard)) {
    await keyed.stage.layouts?.learn(some.values())
    for (const [key, packed] of some)
      states.set(key, partitionOf(Buffer.from(key), after) === shard.partition ? packed : null)
  }
  const records: NewRecord[] = snapshotRecords(snapshotTopic, shard, position, states, keyed.stage.layouts?.known ?? [])
  await publisher.publish(records, { ...shard, position })
}

async function forgetMoved(store: FeatureStore, source: Owned, topic: string, after: number): Promise<void> {
  const { shard } = source
  for await (const some of store.scan(shard)) {
    const gone = [...some.keys()].filter(
      (key) => shard.topic !== topic || partitionOf(Buffer.from(key), after) !== shard.partition,
    )
    await write(store, source, new Map(gone.map((key) => [key, null])))
  }
}

const cameBack = (shard: Shard) =>
  new RtmlError('FENCED', 'a worker took the shard back. Nothing is lost: stop all workers, then run this again.', {
    place: placeOf(shard),
  })
