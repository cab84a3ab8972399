import type { Clock, EpochMs } from '../../app/units.ts'

export type Dependency = 'kafka' | 'redis' | 'registry'

/** Which dependencies don't answer, and since when. Every call to one reports here. */
export class Health {
  readonly #clock: Clock
  readonly #down = new Map<Dependency, EpochMs>()
  readonly #answered = new Map<Dependency, EpochMs>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  up(dependency: Dependency): void {
    this.#down.delete(dependency)
    this.#answered.set(dependency, this.#clock.now())
  }

  silent(dependency: Dependency): void {
    if (!this.#down.has(dependency)) this.#down.set(dependency, this.#clock.now())
  }

  /** Milliseconds since the dependency last answered; Infinity: it never did. */
  quietMs(dependency: Dependency): number {
    return this.#clock.now() - (this.#answered.get(dependency) ?? Number.NEGATIVE_INFINITY)
  }

  down(): ReadonlyMap<string, EpochMs> {
    return this.#down
  }
}
