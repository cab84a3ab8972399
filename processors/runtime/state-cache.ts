/**
 * Decoded states of one shard. It can't serve a stale state: a batch computed from it is accepted by the store only
 * while this process is the shard's owner and the store stands exactly where the cache stands.
 *
 * Two generations: what is used goes to the young one; when that has half of the bound, the old one is dropped and the
 * young one becomes old. So a state that was used lately is kept, as in a list by last use, without its deletions.
 */
export class StateCache<State> {
  #young = new Map<string, State>()
  #old = new Map<string, State>()
  readonly #maxEntries: number

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries
  }

  /** Puts the states that are cached into `into`; returns the keys of the others. */
  take(keys: Iterable<string>, into: Map<string, State>): string[] {
    const missing: string[] = []
    for (const key of keys) {
      const state = this.#young.get(key) ?? this.#old.get(key)
      if (state === undefined) missing.push(key)
      else into.set(key, state)
    }
    return missing
  }

  /** Keeps the states of a finished batch; drops some that were not used for long beyond the bound. */
  put(states: ReadonlyMap<string, State>): void {
    for (const [key, state] of states) {
      if (this.#young.size >= this.#maxEntries / 2 && !this.#young.has(key)) {
        this.#old = this.#young
        this.#young = new Map()
      }
      this.#young.set(key, state)
    }
  }

  /** Forgets the keys' states: they were written by somebody else. */
  drop(keys: Iterable<string>): void {
    for (const key of keys) {
      this.#young.delete(key)
      this.#old.delete(key)
    }
  }

  clear(): void {
    this.#young.clear()
    this.#old.clear()
  }
}
