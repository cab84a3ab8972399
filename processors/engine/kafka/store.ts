/**
 * The `FeatureStore` port on Redis. One shard = one hash tag, so one node and one atomic script:
 *
 *     <prefix>{<group>:<topic>:<partition>}:m        hash: e epoch, p position, r pieces of a restore under way
 *     <prefix>{<group>:<topic>:<partition>}:o        stream: outbox, id = <to>-0
 *     <prefix>{<group>:<topic>:<partition>}:s:<key>  packed state
 *     <prefix>note:<name>                            note
 */
import { RtmlError } from '../../app/errors.ts'
import { type Epoch, type Offset, offset, epoch as toEpoch } from '../../app/units.ts'
import type { Applied, ApplyBatch, FeatureStore, OutboxEntry, Ownership, Peeked, Shard } from '../ports.ts'
import { decodeOutboxEntry, encodeOutboxEntry } from './outbox-codec.ts'
import type { RedisLine, Reply } from './redis.ts'

/** Keys of one MGET: longer ones would hold the server up. */
const LOAD_KEYS_MAX = 512
/** Keys and bytes of one script call of a restore. */
const RESTORE_KEYS_MAX = 256
const RESTORE_BYTES_MAX = 1024 * 1024
/** Keys that one step of a scan looks at. */
const SCAN_COUNT = 1_000

const NO_POSITION = -1
const KIND = { applied: 0, duplicate: 1, fenced: 2, gap: 3 } as const

export class RedisStore implements FeatureStore {
  readonly #redis: RedisLine
  #isChecked: Promise<void> | undefined

  constructor(redis: RedisLine) {
    this.#redis = redis
  }

  async own(shard: Shard): Promise<Ownership> {
    await this.#check()
    const { meta } = this.#keysOf(shard)
    const [epoch, position] = numbers(await this.#redis.run('own', [meta], []))
    // An epoch that a failover loses would be given again within the same millisecond at worst, and isn't: see own.lua.
    await this.#redis.replicated(meta)
    return { epoch: toEpoch(epoch!), position: position === NO_POSITION ? undefined : offset(position!) }
  }

  async load(shard: Shard, keys: readonly string[]): Promise<(Buffer | undefined)[]> {
    const { state } = this.#keysOf(shard)
    const pieces: Promise<Reply>[] = []
    for (let from = 0; from < keys.length; from += LOAD_KEYS_MAX) {
      const names = keys.slice(from, from + LOAD_KEYS_MAX).map((key) => state + key)
      pieces.push(this.#redis.command('MGET', ...names))
    }
    const loaded: (Buffer | undefined)[] = []
    for (const piece of await Promise.all(pieces)) {
      for (const value of piece as readonly (Buffer | null)[]) loaded.push(value ?? undefined)
    }
    return loaded
  }

  async peek(shard: Shard, keys: readonly string[]): Promise<Peeked> {
    const { meta, state } = this.#keysOf(shard)
    const names = keys.map((key) => state + key)
    const [position, values] = (await this.#redis.run('peek', [meta, ...names], [])) as readonly [
      number,
      readonly (Buffer | null)[],
    ]
    return {
      position: position === NO_POSITION ? undefined : offset(position),
      states: values.map((value) => value ?? undefined),
    }
  }

  async apply(shard: Shard, epoch: Epoch, batch: ApplyBatch): Promise<Applied> {
    const { meta, outbox, state } = this.#keysOf(shard)
    const { from, to, states, outputs, expireMs = 0, rebuild = false } = batch
    const keys: string[] = [meta, outbox]
    const deleted: string[] = []
    // Also for a batch without outputs: the next owner trusts the outbox only when its entries leave no hole.
    const isQueued = from < to && !rebuild
    const entry = isQueued ? encodeOutboxEntry(from, to, outputs) : ''
    const args: (string | number | Buffer)[] = [epoch, from, to, 0, Math.ceil(expireMs), entry]
    for (const [key, packed] of states) {
      if (packed === null) deleted.push(state + key)
      else {
        keys.push(state + key)
        args.push(packed)
      }
    }
    args[3] = keys.length - 2
    for (const key of deleted) keys.push(key)
    const [kind, value] = numbers(await this.#redis.run('apply', keys, args))
    // Also for a duplicate: it may be a repetition because the first one's replication failed.
    if (kind === KIND.applied || kind === KIND.duplicate) await this.#redis.replicated(meta)
    switch (kind) {
      case KIND.applied:
        return { kind: 'applied', position: offset(value!), published: false }
      case KIND.duplicate:
        return { kind: 'duplicate', position: offset(value!) }
      case KIND.fenced:
        return { kind: 'fenced', epoch: toEpoch(value!) }
      default:
        return { kind: 'gap', position: value === NO_POSITION ? undefined : offset(value!) }
    }
  }

  async outbox(shard: Shard): Promise<OutboxEntry[]> {
    const entries = (await this.#redis.command('XRANGE', this.#keysOf(shard).outbox, '-', '+')) as readonly [
      Buffer,
      readonly [Buffer, Buffer],
    ][]
    return entries.map(([, [, bytes]]) => decodeOutboxEntry(bytes))
  }

  async trim(shard: Shard, epoch: Epoch, upTo: Offset): Promise<void> {
    const { meta, outbox } = this.#keysOf(shard)
    await this.#redis.run('trim', [meta, outbox], [epoch, `${upTo + 1}-0`])
  }

  async restore(
    shard: Shard,
    epoch: Epoch,
    position: Offset,
    states: AsyncIterable<ReadonlyMap<string, Buffer>>,
  ): Promise<boolean> {
    const { meta, outbox, state } = this.#keysOf(shard)
    if (!isTaken(await this.#redis.run('restore-begin', [meta, outbox], [epoch]))) return false
    let count = 0
    for await (const keys of this.#scanKeys(shard)) {
      if (!isTaken(await this.#redis.run('restore-write', [meta, ...keys], [epoch, count++]))) return false
    }
    for await (const map of states) {
      for (const piece of pieces(map)) {
        const keys = [meta, ...piece.map(([key]) => state + key)]
        const packed = piece.map(([, bytes]) => bytes)
        if (!isTaken(await this.#redis.run('restore-write', keys, [epoch, count++, ...packed]))) return false
      }
    }
    if (!isTaken(await this.#redis.run('restore-end', [meta], [epoch, count, position]))) return false
    await this.#redis.replicated(meta)
    return true
  }

  async *scan(shard: Shard): AsyncGenerator<ReadonlyMap<string, Buffer>> {
    const { state } = this.#keysOf(shard)
    const skip = Buffer.byteLength(state)
    for await (const names of this.#scanKeys(shard)) {
      const values = (await this.#redis.command('MGET', ...names)) as readonly (Buffer | null)[]
      const map = new Map<string, Buffer>()
      for (const [i, name] of names.entries()) {
        const value = values[i]
        if (value) map.set(name.toString('utf8', skip), value)
      }
      if (map.size > 0) yield map
    }
  }

  async note(name: string): Promise<Buffer | undefined> {
    const value = await this.#redis.command('GET', this.#noteKey(name))
    return Buffer.isBuffer(value) ? value : undefined
  }

  async setNote(name: string, value: Buffer): Promise<void> {
    await this.#redis.command('SET', this.#noteKey(name), value)
  }

  async close(): Promise<void> {
    await this.#redis.close()
  }

  /**
   * State keys of a shard, some at a time; a key may come twice while the server rehashes. Cursors mean nothing to
   * another server, nor to the same one after a restart: it would leave keys out, so the scan begins again there.
   */
  async *#scanKeys(shard: Shard): AsyncGenerator<Buffer[]> {
    const { meta, state } = this.#keysOf(shard)
    const pattern = `${globLiteral(state)}*`
    let cursor = '0'
    let server = ''
    for (;;) {
      const [next, found, run] = (await this.#redis.run('scan', [meta], [cursor, pattern, SCAN_COUNT])) as readonly [
        Buffer,
        readonly Buffer[],
        Buffer,
      ]
      for (let from = 0; from < found.length; from += LOAD_KEYS_MAX) yield found.slice(from, from + LOAD_KEYS_MAX)
      const isSame = cursor === '0' || run.toString() === server
      server = run.toString()
      cursor = isSame ? next.toString() : '0'
      if (isSame && cursor === '0') return
    }
  }

  #keysOf({ group, topic, partition }: Shard): { meta: string; outbox: string; state: string } {
    const tag = `${this.#redis.settings.keyPrefix}{${group}:${topic}:${partition}}`
    return { meta: `${tag}:m`, outbox: `${tag}:o`, state: `${tag}:s:` }
  }

  #noteKey(name: string): string {
    return `${this.#redis.settings.keyPrefix}note:${name}`
  }

  /** Once, before the first shard is owned. */
  #check(): Promise<void> {
    this.#isChecked ??= this.#redis.checkEviction().catch((error: unknown) => {
      this.#isChecked = undefined
      throw error
    })
    return this.#isChecked
  }
}

function numbers(reply: Reply): readonly number[] {
  return reply as readonly number[]
}

/** Whether a step of a restore was taken; not: a newer owner exists. @throws RtmlError STORE_DOWN when the restore must begin again */
function isTaken(reply: Reply): boolean {
  if (reply !== 2) return reply === 1
  throw new RtmlError('STORE_DOWN', 'the server lost writes in the middle of a restore, which begins again.')
}

/** Pieces of a map that one script call may write. */
function* pieces(states: ReadonlyMap<string, Buffer>): Generator<[string, Buffer][]> {
  let piece: [string, Buffer][] = []
  let bytes = 0
  for (const entry of states) {
    if (piece.length >= RESTORE_KEYS_MAX || (piece.length > 0 && bytes + entry[1].length > RESTORE_BYTES_MAX)) {
      yield piece
      piece = []
      bytes = 0
    }
    piece.push(entry)
    bytes += entry[1].length
  }
  if (piece.length > 0) yield piece
}

/** Escapes what Redis' glob patterns give a meaning to. */
function globLiteral(text: string): string {
  return text.replace(/[\\*?[\]^-]/g, '\\$&')
}
