/**
 * Decoded states of one shard, newest use last. It can't serve a stale state: a batch computed from it is accepted by
 * the store only while this process is the shard's owner and the store stands exactly where the cache stands.
 */
export class StateCache<State> {
  readonly #entries = new Map<string, State>()
  readonly #maxEntries: number

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries
  }

  get size(): number {
    return this.#entries.size
  }

  /** Moves the keys that are cached into `into`; returns the others. */
  take(keys: Iterable<string>, into: Map<string, State>): string[] {
    const missing: string[] = []
    for (const key of keys) {
      const state = this.#entries.get(key)
      if (state === undefined) missing.push(key)
      else into.set(key, state)
    }
    return missing
  }

  /** Keeps the states of a finished batch; drops the longest unused ones beyond the bound. */
  put(states: ReadonlyMap<string, State>): void {
    for (const [key, state] of states) {
      this.#entries.delete(key)
      this.#entries.set(key, state)
    }
    if (this.#entries.size <= this.#maxEntries) return
    let surplus = this.#entries.size - this.#maxEntries
    for (const key of this.#entries.keys()) {
      if (surplus-- <= 0) break
      this.#entries.delete(key)
    }
  }

  clear(): void {
    this.#entries.clear()
  }
}
