import { type Epoch, type Offset, offset } from '../../app/units.ts'
import type { FeatureStore, Shard } from '../../engine/ports.ts'
import { murmur3 } from '../../features/hash.ts'
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

  async save(states: ReadonlyMap<string, Buffer>): Promise<void> {
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

  async save(states: ReadonlyMap<string, Buffer>): Promise<void> {
    for (const [key, packed] of states) if (this.#hashes.has(key)) this.#states.set(key, packed)
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
