/**
 * The last real score of each profile, for the fallback `previous`. Bounded by two generations: when the young one is
 * full it becomes the old one, and the old one is dropped. Costs one map write a score, where an exact LRU needs a delete too.
 */
export class PreviousScores {
  readonly #half: number
  #young = new Map<string, number>()
  #old = new Map<string, number>()

  /** @param maxProfiles between half of it and all of it are remembered */
  constructor(maxProfiles: number) {
    this.#half = Math.max(1, Math.floor(maxProfiles / 2))
  }

  set(profile: string, score: number): void {
    if (this.#young.size >= this.#half && !this.#young.has(profile)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(profile, score)
  }

  /** Profiles that are remembered, some of them twice. */
  *profiles(): Generator<string> {
    yield* this.#young.keys()
    yield* this.#old.keys()
  }

  forget(profile: string): void {
    this.#young.delete(profile)
    this.#old.delete(profile)
  }

  get(profile: string): number | undefined {
    return this.#young.get(profile) ?? this.#old.get(profile)
  }
}
