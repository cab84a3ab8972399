import { type Epoch, type Offset, offset } from '../../app/units.ts'
import type { FeatureStore, Shard } from '../../engine/ports.ts'
import { murmur3 } from '../../features/hash.ts'
import { isShardKey } from '../rules/shard-rules.ts'
import type { StateTable } from './replay.ts'

/** States in a feature store of one's own: for as many as don't fit into memory. */
export class StoredTable implements StateTable {
  readonly #store: FeatureStore
  readonly #shard: Shard
  readonly #epoch: Epoch
  #step: Offset

  private constructor(store: FeatureStore, shard: Shard, epoch: Epoch, step: Offset) {
    this.#store = store
    this.#shard = shard
    this.#epoch = epoch
    this.#step = step
  }

  /** @param store nobody else uses this shard in it */
  static async open(store: FeatureStore, shard: Shard): Promise<StoredTable> {
    const { epoch } = await store.own(shard)
    await store.restore(shard, epoch, offset(0), nothing())
    return new StoredTable(store, shard, epoch, offset(0))
  }

  load(keys: readonly string[]): Promise<(Buffer | undefined)[]> {
    return this.#store.load(this.#shard, keys)
  }

  async save(states: ReadonlyMap<string, Buffer | null>): Promise<void> {
    if (states.size === 0) return
    const to = offset(this.#step + 1)
    const applied = await this.#store.apply(this.#shard, this.#epoch, {
      from: this.#step,
      to,
      states,
      outputs: [],
      rebuild: true,
    })
    if (applied.kind !== 'applied') throw new Error(`the scratch store answered ${applied.kind}: is it used twice?`)
    this.#step = to
  }

  scan(): AsyncIterable<ReadonlyMap<string, Buffer>> {
    return this.#store.scan(this.#shard)
  }
}

async function* nothing(): AsyncGenerator<ReadonlyMap<string, Buffer>> {}

/**
 * States of a uniform sample of the keys that are offered: those with the smallest hashes (a bottom-k sketch). Whether a key
 * is in depends on its hash alone and the bound only falls, so a key that is in at the end was in from its first event on:
 * one pass over the log is enough. Source: Cohen and Kaplan, Summarizing Data using Bottom-k Sketches, 2007.
 */
export class SampleTable implements StateTable {
  readonly #size: number
  readonly #seed: number
  readonly #hashes = new Map<string, number>()
  readonly #states = new Map<string, Buffer>()
  #bound = Number.POSITIVE_INFINITY

  constructor(size: number, seed: number) {
    this.#size = size
    this.#seed = seed
  }

  /** @returns whether the key is in the sample now */
  admit(key: string): boolean {
    if (this.#hashes.has(key)) return true
    const hash = murmur3(key, this.#seed)
    if (hash >= this.#bound) return false
    this.#hashes.set(key, hash)
    if (this.#hashes.size > this.#size) this.#evict()
    return this.#hashes.has(key)
  }

  get keys(): readonly string[] {
    return [...this.#hashes.keys()]
  }

  state(key: string): Buffer | undefined {
    return this.#states.get(key)
  }

  async load(keys: readonly string[]): Promise<(Buffer | undefined)[]> {
    return keys.map((key) => this.#states.get(key))
  }

  async save(states: ReadonlyMap<string, Buffer | null>): Promise<void> {
    for (const [key, packed] of states) {
      if (packed === null) this.#states.delete(key)
      else if (this.#hashes.has(key) || isShardKey(key)) this.#states.set(key, packed)
    }
  }

  /** Drops the key of the largest hash. Linear, but called size · ln(keys / size) times only. */
  #evict(): void {
    let last: string | undefined
    let largest = -1
    for (const [key, hash] of this.#hashes) {
      if (hash < largest) continue
      largest = hash
      last = key
    }
    if (last === undefined) return
    this.#bound = largest
    this.#hashes.delete(last)
    this.#states.delete(last)
  }
}

const HASH_END = 2 ** 32

/** Hash of a key that decides when it has its turn. */
export const turnOf = (key: string): number => murmur3(key)

/**
 * States of the keys whose hashes begin at `first`, as many as fit: when there are more, the range becomes shorter and the
 * rest is left to a later pass. As with a sample, the bound only falls, so each key that is in was in from the start.
 */
export class TurnTable implements StateTable {
  readonly #first: number
  readonly #keysMax: number
  readonly #states = new Map<string, Buffer | undefined>()
  #bound = HASH_END

  constructor(first: number, keysMax: number) {
    this.#first = first
    this.#keysMax = keysMax
  }

  /** First hash that has no turn in this pass; 2^32 when all have. */
  get bound(): number {
    return this.#bound
  }

  get isLast(): boolean {
    return this.#bound === HASH_END
  }

  has(key: string): boolean {
    return this.#states.has(key)
  }

  /** @returns whether the key is in */
  admit(key: string): boolean {
    if (this.#states.has(key)) return true
    const turn = turnOf(key)
    if (turn < this.#first || turn >= this.#bound) return false
    this.#states.set(key, undefined)
    if (this.#states.size > this.#keysMax) this.#shorten()
    return this.#states.has(key)
  }

  /** Keys in the order of their turns. */
  inTurn(): string[] {
    return [...this.#states.keys()].sort((a, b) => turnOf(a) - turnOf(b))
  }

  async load(keys: readonly string[]): Promise<(Buffer | undefined)[]> {
    return keys.map((key) => this.#states.get(key))
  }

  async save(states: ReadonlyMap<string, Buffer | null>): Promise<void> {
    for (const [key, packed] of states) if (this.#states.has(key)) this.#states.set(key, packed ?? undefined)
  }

  #shorten(): void {
    const turns = [...this.#states.keys()].map(turnOf).sort((a, b) => a - b)
    const middle = turns[Math.floor(turns.length / 2)]!
    // Keys of one hash have their turn together: a bound in the midst of them would be no bound.
    this.#bound = middle > turns[0]! ? middle : middle + 1
    for (const key of this.#states.keys()) if (turnOf(key) >= this.#bound) this.#states.delete(key)
  }
}
