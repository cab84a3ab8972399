import { type Clock, type EpochMs, epochMs, ms, type Offset } from '../../app/units.ts'
import { type FeatureStore, type Log, PEEK_KEYS_MAX } from '../../engine/ports.ts'
import type { EntityKernel } from '../../features/types.ts'
import { Stopped } from '../retry.ts'
import type { ShardWorker } from '../shard-worker.ts'
import type { Logger } from '../telemetry.ts'
import type { Rest } from '../tenure.ts'
import { boundsOf } from './base.ts'
import { type KeyedStage, originNote, partsOf } from './keyed-stage.ts'
import { Replay } from './replay.ts'
import { TurnTable, turnOf } from './state-table.ts'

/** What an operator asks of the workers, in a note of the store. */
export interface BackfillRequest {
  readonly id: string
  readonly at: EpochMs
  readonly features: readonly string[]
  /** The log no longer reaches back: fill from what it has. */
  readonly isPartial: boolean
}

/** How far a shard has come; lies among its states, so that whatever takes a filled state back takes this back too. */
export interface BackfillProgress {
  readonly id: string
  /** Keys are filled in the order of a hash of 32 bits: all below this one are. */
  readonly next: number
  readonly isDone: boolean
  readonly filled: number
}

/** Requests are served for so long: one that is forgotten must not be repeated when the log has become shorter. */
export const REQUEST_MS = 24 * 3_600_000
/** No key of an event begins with this character. */
export const PROGRESS_KEY = '\u0000backfill'
/** Side states in memory, about 250 B each. */
const TABLE_KEYS_MAX = 200_000
/** States that are merged while the shard rests: a few milliseconds. */
const CHUNK_KEYS = 256
const CHUNK_PAUSE_MS = ms(5)

export const requestNote = (group: string) => `backfill:${group}`

export function parseRequest(note: Buffer | undefined, now: EpochMs): BackfillRequest | undefined {
  if (!note) return undefined
  const request = JSON.parse(note.toString()) as BackfillRequest
  return now - request.at < REQUEST_MS ? { ...request, at: epochMs(request.at) } : undefined
}

/** Looks like a packed state as far as the layout id, which whoever copies states may read. */
export function packProgress({ kernel, skipBytes }: KeyedStage, progress: BackfillProgress): Buffer {
  const head = Buffer.alloc(skipBytes + LAYOUT_BYTES)
  head.writeUInt32LE(kernel.layout.id, skipBytes)
  return Buffer.concat([head, Buffer.from(JSON.stringify(progress))])
}

export function unpackProgress({ skipBytes }: KeyedStage, packed: Buffer | undefined): BackfillProgress | undefined {
  if (!packed) return undefined
  return JSON.parse(packed.subarray(skipBytes + LAYOUT_BYTES).toString()) as BackfillProgress
}

const LAYOUT_BYTES = 4

export interface BackfillOptions {
  readonly log: Log
  readonly store: Pick<FeatureStore, 'load' | 'peek' | 'note'>
  readonly clock: Clock
  readonly logger: Logger
  /** The stage that serves, and the same one with the features to fill only. */
  readonly keyed: KeyedStage
  readonly side: KeyedStage
  readonly request: BackfillRequest
  readonly worker: ShardWorker<unknown, unknown, unknown>
  readonly signal: AbortSignal
  readonly tableKeysMax?: number
}

/**
 * Fills features of one shard from its log while the shard serves. A side kernel with these features alone goes over the
 * log; then, some keys at a time, the shard rests between two batches, the side kernel catches up to exactly where the
 * shard stands, and its tracks replace those of the live states, under the shard's own epoch. From that moment a key's
 * state is what it would be had the feature been there from the start.
 *
 * A worker that dies, or a store that loses its tail, takes progress and filled states back together.
 * @throws Stopped when the shard left this worker
 */
export async function backfillShard(options: BackfillOptions): Promise<'done' | 'refused'> {
  const { log, store, keyed, request, worker } = options
  const { shard } = worker
  for (;;) {
    const [packed] = await store.load(shard, [PROGRESS_KEY])
    const found = unpackProgress(keyed, packed)
    const progress = found?.id === request.id ? found : { id: request.id, next: 0, isDone: false, filled: 0 }
    if (progress.isDone) return 'done'
    const { start } = await boundsOf(log, shard)
    const isWhole = start === 0 && (await store.note(originNote(shard))) === undefined
    if (!isWhole && !request.isPartial) {
      options.logger.warn(
        { stage: keyed.stage.name, partition: shard.partition, start },
        'LOG_TRUNCATED: features are not filled, the log no longer reaches back to the first event',
      )
      return 'refused'
    }
    await pass(options, progress, start)
  }
}

/** Fills the keys whose turn it is, as many as fit into memory. */
async function pass(options: BackfillOptions, from: BackfillProgress, start: Offset): Promise<void> {
  const { log, store, clock, side, worker, signal } = options
  const { shard } = worker
  const table = new TurnTable(from.next, options.tableKeysMax ?? TABLE_KEYS_MAX)
  const replay = new Replay({ log, stage: side.stage, shard, table, from: start, only: (key) => table.admit(key) })
  await catchUp(store, replay, worker, signal)
  let progress = from
  for (const chunk of chunksOf(table.inTurn())) {
    // Outside of the rest, so that little is left to do in it.
    await catchUp(store, replay, worker, signal)
    const kept = chunk.filter((key) => table.has(key))
    const last = kept.at(-1)
    if (last === undefined) continue
    const next = { ...progress, next: turnOf(last) + 1 }
    progress = await merge(options, { table, replay, keys: kept, before: progress, after: next })
    await clock.sleep(CHUNK_PAUSE_MS, signal)
    if (signal.aborted) throw new Stopped()
  }
  const end = { ...progress, next: Math.max(progress.next, table.bound), isDone: table.isLast }
  await merge(options, { table, replay, keys: [], before: progress, after: end })
}

async function catchUp(
  store: Pick<FeatureStore, 'peek'>,
  replay: Replay,
  { shard }: ShardWorker<unknown, unknown, unknown>,
  signal: AbortSignal,
): Promise<void> {
  const { position } = await store.peek(shard, [])
  if (position !== undefined && position > replay.position) await replay.advance(position, signal)
}

interface Merge {
  readonly table: TurnTable
  readonly replay: Replay
  readonly keys: readonly string[]
  readonly before: BackfillProgress
  readonly after: BackfillProgress
}

async function merge(
  options: BackfillOptions,
  { table, replay, keys, before, after }: Merge,
): Promise<BackfillProgress> {
  const { store, keyed, side, worker, signal } = options
  let progress = after
  await worker.atRest(async ({ position, rewrite }: Rest) => {
    if (position < replay.position) throw new Stopped()
    await replay.advance(position, signal)
    const [marker, ...packed] = await store.load(worker.shard, [PROGRESS_KEY, ...keys])
    const found = unpackProgress(keyed, marker)
    // The store lost the last steps: begin again with what it has.
    if (before.next > 0 && (found?.id !== before.id || found.next !== before.next)) throw new Stopped()
    await keyed.stage.layouts?.learn(packed)
    const sides = await table.load(keys)
    const changed = new Map<string, Buffer>()
    keys.forEach((key, index) => {
      const [live, filled] = [packed[index], sides[index]]
      const merged = live && filled && mergeState(keyed, side, live, filled)
      if (merged) changed.set(key, merged)
    })
    progress = { ...after, filled: before.filled + changed.size }
    changed.set(PROGRESS_KEY, packProgress(keyed, progress))
    await rewrite(changed)
  })
  return progress
}

/** @returns undefined when the states have not seen the same events: the log is shorter than the key's history */
function mergeState(keyed: KeyedStage, side: KeyedStage, live: Buffer, filled: Buffer): Buffer | undefined {
  const { head, state: into, tail } = partsOf(keyed, live)
  const { state: from } = partsOf(side, filled)
  if (into.time !== from.time) return undefined
  keyed.kernel.merge(into, from, side.kernel)
  return Buffer.concat([head, keyed.kernel.encode(into), tail])
}

/** Pieces of the keys; those of one hash stay together, because progress is a hash. */
function* chunksOf(keys: readonly string[]): Generator<string[]> {
  const most = Math.min(CHUNK_KEYS, PEEK_KEYS_MAX)
  let chunk: string[] = []
  for (const key of keys) {
    if (chunk.length >= most && turnOf(chunk.at(-1)!) !== turnOf(key)) {
      yield chunk
      chunk = []
    }
    chunk.push(key)
  }
  if (chunk.length > 0) yield chunk
}

/** Kernels of entities that keep something. */
export const keepsTracks = ({ layout }: EntityKernel): boolean => (layout.tracks as readonly unknown[]).length > 0
