import { type Offset, offset } from '../app/units.ts'
import type { Log, LogRecord, NewRecord, Shard } from '../engine/ports.ts'
import type { LayoutDescriptor } from '../features/types.ts'
import type { ShardContext } from './context.ts'
import type { Layouts } from './layouts.ts'
import { readRange } from './read-range.ts'

/** Where the newest complete snapshot of a shard ends, in the log and in the input. */
export interface SnapshotMark {
  /** Input position that the snapshot reflects. */
  readonly position: Offset
  /** End of the snapshot topic's partition when the mark was read: the load stops there. */
  readonly until: Offset
  /** Layouts that the states may have. */
  readonly layouts: readonly LayoutDescriptor[]
  /** Position below which the states don't come from the shard's own partition: they were moved here. */
  readonly origin: Offset | undefined
  /** Keys whose newest record is a tombstone: older ones may still be in the topic. */
  readonly deleted: ReadonlySet<string>
}

const CHUNK_KEYS = 500

/**
 * Incremental snapshots of one shard in a compacted topic. A round writes the states that changed since the last one,
 * then a mark with the input position; both travel in one transaction, so a reader of committed records always sees
 * whole rounds, and the newest record of each key is its state at the newest mark. A hot key costs one record a round.
 */
export class Snapshots {
  readonly #context: ShardContext
  readonly #shard: Shard
  readonly #topic: string
  readonly #everyMs: number
  readonly #maxBytes: number
  readonly #layouts: Layouts | undefined
  /** Layouts that the topic has from this tenure. */
  readonly #described = new Set<number>()
  /** Changed since the last mark: the packed state, null where it is gone, undefined where only the key is known (from before the take-over). */
  #dirty: Map<string, Buffer | null | undefined>
  #dirtyBytes = 0
  #lastRoundAt: number

  constructor(options: {
    context: ShardContext
    shard: Shard
    settings: { topic: string; everyMs: number; maxBytes: number }
    dirty: Iterable<string>
    layouts: Layouts | undefined
  }) {
    this.#context = options.context
    this.#shard = options.shard
    this.#topic = options.settings.topic
    this.#everyMs = options.settings.everyMs
    this.#maxBytes = options.settings.maxBytes
    this.#layouts = options.layouts
    this.#dirty = new Map([...options.dirty].map((key) => [key, undefined]))
    this.#lastRoundAt = options.context.clock.now()
  }

  applied(changed: ReadonlyMap<string, Buffer | null>): void {
    for (const [key, packed] of changed) {
      this.#dirtyBytes += (packed?.length ?? 0) - (this.#dirty.get(key)?.length ?? 0)
      this.#dirty.set(key, packed)
    }
  }

  /** Tombstones of the states that a batch deleted, to go with its outputs. */
  tombstones(changed: ReadonlyMap<string, Buffer | null>): NewRecord[] {
    const records: NewRecord[] = []
    for (const [key, packed] of changed)
      if (packed === null) records.push(this.#record(stateKey(this.#shard, key), null))
    return records
  }

  /**
   * The records of a round, when one is due. The store must stand at `position`.
   * @throws RtmlError STORE_DOWN
   */
  async round(position: Offset): Promise<NewRecord[] | undefined> {
    const now = this.#context.clock.now()
    const isDue = now - this.#lastRoundAt >= this.#everyMs || this.#dirtyBytes >= this.#maxBytes
    if (!isDue || this.#dirty.size === 0) return undefined
    const unknown = [...this.#dirty].flatMap(([key, packed]) => (packed === undefined ? [key] : []))
    for (let index = 0; index < unknown.length; index += CHUNK_KEYS) {
      const keys = unknown.slice(index, index + CHUNK_KEYS)
      const states = await this.#context.store.load(this.#shard, keys)
      await this.#layouts?.learn(states)
      keys.forEach((key, at) => {
        this.#dirty.set(key, states[at])
      })
    }
    const records = [...this.#dirty].map(([key, packed]) => this.#record(stateKey(this.#shard, key), packed ?? null))
    records.push(...this.#newLayouts())
    records.push(this.#record(markKey(this.#shard), Buffer.from(JSON.stringify({ position }))))
    this.#dirty = new Map()
    this.#dirtyBytes = 0
    this.#lastRoundAt = now
    return records
  }

  /** A snapshot must be readable when the store has lost everything, notes included. */
  #newLayouts(): NewRecord[] {
    const added = (this.#layouts?.known ?? []).filter(({ id }) => !this.#described.has(id))
    for (const { id } of added) this.#described.add(id)
    return added.map((it) => this.#record(layoutKey(this.#shard, it.id), Buffer.from(JSON.stringify(it))))
  }

  #record(key: Buffer, value: Buffer | null): NewRecord {
    return { topic: this.#topic, partition: this.#shard.partition, key, value }
  }
}

const stateKey = (shard: Shard, key: string) => Buffer.from(`${shard.group}|${shard.partition}|s|${key}`)
const layoutKey = (shard: Shard, id: number | '') => Buffer.from(`${shard.group}|${shard.partition}|l|${id}`)
const originKey = (shard: Shard) => Buffer.from(`${shard.group}|${shard.partition}|o`)
const markKey = (shard: Shard) => Buffer.from(`${shard.group}|${shard.partition}|m`)

/** A whole snapshot of states that were moved here (null: it isn't here any more), the layouts that they have, and the mark. */
export function snapshotRecords(
  topic: string,
  shard: Shard,
  position: Offset,
  states: ReadonlyMap<string, Buffer | null>,
  layouts: readonly LayoutDescriptor[],
): NewRecord[] {
  const record = (key: Buffer, value: Buffer | null): NewRecord => ({ topic, partition: shard.partition, key, value })
  return [
    ...[...states].map(([key, packed]) => record(stateKey(shard, key), packed)),
    ...layouts.map((it) => record(layoutKey(shard, it.id), Buffer.from(JSON.stringify(it)))),
    record(originKey(shard), Buffer.from(String(position))),
    record(markKey(shard), Buffer.from(JSON.stringify({ position }))),
  ]
}

/** Makes a shard's snapshot count as absent: the next owner writes all states anew. */
export const forgottenMark = (topic: string, shard: Shard): NewRecord => ({
  topic,
  partition: shard.partition,
  key: markKey(shard),
  value: null,
})

/** Finds the newest mark of the shard. Reads the partition of the snapshot topic once. */
export async function findSnapshot(
  log: Log,
  topic: string,
  shard: Shard,
  signal: AbortSignal,
): Promise<SnapshotMark | undefined> {
  const mark = markKey(shard)
  const layoutPrefix = layoutKey(shard, '').toString()
  const statePrefix = stateKey(shard, '').toString()
  const deleted = new Set<string>()
  let origin: Offset | undefined
  const layouts = new Map<string, LayoutDescriptor>()
  let newest: SnapshotMark | undefined
  for await (const { record, until } of records(log, topic, shard, undefined, signal)) {
    if (!record.key) continue
    const key = record.key.toString()
    if (key.startsWith(statePrefix)) {
      if (record.value) deleted.delete(key)
      else deleted.add(key)
    } else if (record.key.equals(mark)) {
      if (!record.value) newest = undefined
      else {
        const { position } = JSON.parse(record.value.toString()) as { position: number }
        newest = { position: offset(position), until, layouts: [], origin: undefined, deleted }
      }
    } else if (record.value && record.key.equals(originKey(shard))) {
      origin = offset(Number(record.value.toString()))
    } else if (record.value && key.startsWith(layoutPrefix)) {
      layouts.set(key, JSON.parse(record.value.toString()) as LayoutDescriptor)
    }
  }
  return newest && { ...newest, origin, layouts: [...layouts.values()] }
}

/** The states of a snapshot, older versions of a key before newer ones, a bounded map at a time. */
export async function* readSnapshot(
  log: Log,
  topic: string,
  shard: Shard,
  mark: SnapshotMark,
  signal: AbortSignal,
): AsyncGenerator<ReadonlyMap<string, Buffer>> {
  const prefix = stateKey(shard, '').toString()
  let chunk = new Map<string, Buffer>()
  for await (const { record } of records(log, topic, shard, mark.until, signal)) {
    const key = record.key?.toString() ?? ''
    if (!key.startsWith(prefix) || !record.value || mark.deleted.has(key)) continue
    chunk.set(key.slice(prefix.length), record.value)
    if (chunk.size < CHUNK_KEYS) continue
    yield chunk
    chunk = new Map()
  }
  if (chunk.size > 0) yield chunk
}

async function* records(
  log: Log,
  topic: string,
  shard: Shard,
  until: Offset | undefined,
  signal: AbortSignal,
): AsyncGenerator<{ record: LogRecord; until: Offset }> {
  const bounds = (await log.bounds(topic))[shard.partition]
  if (!bounds) return
  const end = until ?? bounds.end
  for await (const run of readRange(log, bounds, bounds.start, end, signal)) {
    for (const record of run.records) yield { record, until: end }
  }
}
