import { RtmlError } from '../../app/errors.ts'
import { type Epoch, epoch as epochOf, type Offset, offset } from '../../app/units.ts'
import type { Applied, ApplyBatch, FeatureStore, OutboxEntry, Ownership, Peeked, Shard } from '../ports.ts'
import type { Environment, Table, Tables } from './environment.ts'
import { idKey, nameKey } from './keys.ts'
import { positionKey } from './log.ts'
import { type LogWrite, nextNumber } from './log-write.ts'
import { forEachState, readState, removeState, writeState } from './states.ts'
import { turn } from './tail.ts'
import type { Topics } from './topics.ts'

const NEVER = 0
/** States of one write transaction of a restore, and of one map of a scan. */
const CHUNK_STATES = 500
const CHUNK_BYTES = 1_048_576
const NOTE_BYTES = 1_800

/** What is kept of a shard: u32 states id · f64 epoch · f64 position, NaN while nothing was applied. */
interface ShardRecord {
  /** Prefix of its states' keys. A restore writes under a new one, so that the old states stay whole until the switch. */
  readonly statesId: number
  readonly epoch: number
  readonly position: number | undefined
}

/** States, positions and outputs in the same LMDB environment as the log: `apply` is one transaction over both. */
export class EmbeddedStore implements FeatureStore {
  readonly #environment: Environment
  readonly #topics: Topics

  constructor(environment: Environment, topics: Topics) {
    this.#environment = environment
    this.#topics = topics
  }

  own(shard: Shard): Promise<Ownership> {
    const key = shardKey(shard)
    return this.#environment.write('STORE_DOWN', ({ tables }) => {
      const known = readShard(tables, key)
      const statesId = known?.statesId ?? nextNumber(tables, 'states')
      const next: ShardRecord = { statesId, epoch: (known?.epoch ?? 0) + 1, position: known?.position }
      writeShard(tables, key, next)
      return { epoch: epochOf(next.epoch), position: positionOf(next) }
    })
  }

  async load(shard: Shard, keys: readonly string[]): Promise<(Buffer | undefined)[]> {
    this.#environment.refresh()
    const { tables, clock } = this.#environment
    const known = readShard(tables, shardKey(shard))
    if (!known) return new Array<undefined>(keys.length).fill(undefined)
    const now = clock.now()
    return keys.map((key) => readState(tables.states, known.statesId, key, now))
  }

  async peek(shard: Shard, keys: readonly string[]): Promise<Peeked> {
    // One read transaction: nothing is awaited between position and states.
    this.#environment.refresh()
    const { tables, clock } = this.#environment
    const known = readShard(tables, shardKey(shard))
    if (!known) return { position: undefined, states: keys.map(() => undefined) }
    const now = clock.now()
    const states = keys.map((key) => readState(tables.states, known.statesId, key, now))
    return { position: positionOf(known), states }
  }

  async apply(shard: Shard, epoch: Epoch, batch: ApplyBatch): Promise<Applied> {
    const key = shardKey(shard)
    const position = positionKey(shard.group, shard)
    const packed = this.#topics.pack(batch.outputs)
    if (batch.rebuild && packed.length > 0) throw new Error('a batch of a rebuild has no outputs')
    const decide = (write: LogWrite): Applied => {
      const { tables } = write
      const known = readShard(tables, key)
      if (known?.epoch !== epoch) return { kind: 'fenced', epoch: epochOf(known?.epoch ?? 0) }
      const at = known.position ?? 0
      if (batch.from < at) return { kind: 'duplicate', position: offset(at) }
      if (batch.from > at) return { kind: 'gap', position: positionOf(known) }
      const expires = batch.expireMs === undefined ? NEVER : write.now + batch.expireMs
      for (const [name, state] of batch.states) {
        if (state === null) removeState(tables.states, known.statesId, name)
        else writeState(tables.states, known.statesId, name, state, expires)
      }
      writeShard(tables, key, { ...known, position: batch.to })
      write.append(packed)
      if (!batch.rebuild) write.position(position, batch.to)
      return { kind: 'applied', position: batch.to, published: true }
    }
    return this.#environment.write('STORE_DOWN', decide, { entries: batch.states.size + packed.length })
  }

  /** Always empty: `apply` publishes by itself. */
  async outbox(_shard: Shard): Promise<OutboxEntry[]> {
    return []
  }

  async trim(_shard: Shard, _epoch: Epoch, _upTo: Offset): Promise<void> {}

  async restore(
    shard: Shard,
    epoch: Epoch,
    position: Offset,
    states: AsyncIterable<ReadonlyMap<string, Buffer>>,
  ): Promise<boolean> {
    const key = shardKey(shard)
    const isOwner = ({ tables }: LogWrite) => readShard(tables, key)?.epoch === epoch
    const write = <T>(op: (write: LogWrite) => T, entries = 1) =>
      this.#environment.write('STORE_DOWN', (write) => (isOwner(write) ? op(write) : undefined), { entries })

    const statesId = await write(({ tables }) => {
      const id = nextNumber(tables, 'states')
      writeLeftover(tables.leftovers, id, { shard: key, epoch })
      return id
    })
    if (statesId === undefined) return false
    for await (const map of states) {
      for (const chunk of chunksOf(map)) {
        const written = await write(({ tables }) => {
          for (const [name, state] of chunk) writeState(tables.states, statesId, name, state, NEVER)
          return true
        }, chunk.length)
        if (!written) return false
      }
    }
    const restored = await write(({ tables }) => {
      const known = readShard(tables, key)!
      writeShard(tables, key, { ...known, statesId, position })
      tables.leftovers.removeSync(idKey(statesId))
      writeLeftover(tables.leftovers, known.statesId, { shard: key, epoch: 0 })
      return true
    })
    return restored ?? false
  }

  async *scan(shard: Shard): AsyncGenerator<ReadonlyMap<string, Buffer>> {
    const { tables, clock } = this.#environment
    let scanned: number | undefined
    let after: Buffer | undefined
    for (;;) {
      this.#environment.refresh()
      const known = readShard(tables, shardKey(shard))
      if (!known) return
      // A restore has replaced the states: what was seen is gone, begin with the new ones.
      if (known.statesId !== scanned) after = undefined
      scanned = known.statesId
      const map = new Map<string, Buffer>()
      let bytes = 0
      after = forEachState(tables.states, scanned, after, clock.now(), (name, state) => {
        map.set(name, state)
        bytes += state.length
        return map.size < CHUNK_STATES && bytes < CHUNK_BYTES
      })
      if (map.size > 0) yield map
      if (!after) return
      await turn()
    }
  }

  async note(name: string): Promise<Buffer | undefined> {
    this.#environment.refresh()
    const value = this.#environment.tables.notes.getBinary(noteKey(name))
    return value && Buffer.from(value)
  }

  async setNote(name: string, value: Buffer): Promise<void> {
    const key = noteKey(name)
    await this.#environment.write('STORE_DOWN', ({ tables }) => {
      tables.notes.putSync(key, value)
    })
  }

  /** The engine closes the environment, after the log. */
  async close(): Promise<void> {}
}

/** A leftover is deleted when its shard is owned by a newer epoch: 0 = at once, else the epoch of the restore. */
export interface Leftover {
  readonly shard: Buffer
  readonly epoch: number
}

export function readLeftover(value: Uint8Array): Leftover {
  const bytes = Buffer.from(value)
  return { epoch: bytes.readDoubleLE(0), shard: bytes.subarray(8) }
}

function writeLeftover(table: Table, statesId: number, { shard, epoch }: Leftover): void {
  const value = Buffer.allocUnsafe(8 + shard.length)
  value.writeDoubleLE(epoch)
  value.set(shard, 8)
  table.putSync(idKey(statesId), value)
}

/** True when nobody can use the states any more. */
export function isAbandoned(tables: Tables, leftover: Leftover): boolean {
  return leftover.epoch < (readShard(tables, leftover.shard)?.epoch ?? Number.POSITIVE_INFINITY)
}

const shardKey = (shard: Shard): Buffer => positionKey(shard.group, shard)

function noteKey(name: string): Buffer {
  const key = nameKey(name)
  if (key.length > 0 && key.length <= NOTE_BYTES) return key
  throw new RtmlError('CONFIG', `a note's name has 1 to ${NOTE_BYTES} bytes.`, { place: name.slice(0, 100) })
}

const positionOf = ({ position }: ShardRecord): Offset | undefined =>
  position === undefined ? undefined : offset(position)

function readShard(tables: Tables, key: Buffer): ShardRecord | undefined {
  const value = tables.shards.getBinary(key)
  if (!value) return undefined
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  const position = view.getFloat64(12, true)
  return {
    statesId: view.getUint32(0, true),
    epoch: view.getFloat64(4, true),
    position: Number.isNaN(position) ? undefined : position,
  }
}

function writeShard(tables: Tables, key: Buffer, { statesId, epoch, position }: ShardRecord): void {
  const value = Buffer.allocUnsafe(20)
  value.writeUInt32LE(statesId, 0)
  value.writeDoubleLE(epoch, 4)
  value.writeDoubleLE(position ?? Number.NaN, 12)
  tables.shards.putSync(key, value)
}

function* chunksOf(map: ReadonlyMap<string, Buffer>): Generator<[string, Buffer][]> {
  let chunk: [string, Buffer][] = []
  let bytes = 0
  for (const entry of map) {
    chunk.push(entry)
    bytes += entry[1].length
    if (chunk.length < CHUNK_STATES && bytes < CHUNK_BYTES) continue
    yield chunk
    chunk = []
    bytes = 0
  }
  if (chunk.length > 0) yield chunk
}
