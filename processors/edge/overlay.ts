import type { XdmEvent } from '../app/event.ts'
import type { EpochMs } from '../app/units.ts'
import type { EntityKernel, KeyState } from '../features/types.ts'

export interface OverlayLimits {
  readonly maxProfiles: number
  /** Never more than the ids that a key remembers: an event whose id was forgotten could be counted twice. */
  readonly maxEventsPerProfile: number
  /** Later than this the stream has caught up, or an outage is not for the edge to hide. Wall time. */
  readonly maxAgeMs: number
}

interface Pending {
  readonly event: XdmEvent
  readonly acceptedAt: EpochMs
}

/**
 * Events that the edge accepted and that the store doesn't show yet, so that the next page sees the last click however
 * late the stream is. Whether the store has an event is asked of the state itself: its ring of ids says "duplicate".
 */
export class Overlay {
  readonly #limits: OverlayLimits
  readonly #byProfile = new Map<string, Pending[]>()

  constructor(limits: OverlayLimits) {
    this.#limits = limits
  }

  get profiles(): number {
    return this.#byProfile.size
  }

  add(event: XdmEvent, acceptedAt: EpochMs): void {
    const { maxProfiles, maxEventsPerProfile } = this.#limits
    if (maxEventsPerProfile === 0) return
    const known = this.#byProfile.get(event.key) ?? []
    if (known.some((it) => it.event.id === event.id)) return
    const kept = known.length < maxEventsPerProfile ? known : known.slice(1)
    // Deleted first, so that the profile becomes the newest of the map: the oldest one makes room.
    this.#byProfile.delete(event.key)
    this.#byProfile.set(event.key, [...kept, { event, acceptedAt }])
    if (this.#byProfile.size <= maxProfiles) return
    for (const oldest of this.#byProfile.keys()) {
      this.#byProfile.delete(oldest)
      break
    }
  }

  /** Forgets an event that the log will never have. */
  remove(event: XdmEvent): void {
    this.#keep(event.key, (it) => it.event.id !== event.id)
  }

  /** Profiles that have events here. */
  keys(): Iterable<string> {
    return this.#byProfile.keys()
  }

  /** Forgets everything about a profile. */
  forget(key: string): void {
    this.#byProfile.delete(key)
  }

  /**
   * Applies the profile's pending events to its state, in the order of their acceptance, and forgets those that the
   * state has already.
   * @returns how many had an effect
   */
  apply(key: string, state: KeyState, kernel: EntityKernel, now: EpochMs): number {
    if (!this.#byProfile.has(key)) return 0
    let applied = 0
    this.#keep(key, ({ event, acceptedAt }) => {
      if (now - acceptedAt > this.#limits.maxAgeMs) return false
      const isNew = kernel.update(state, event) === 'applied'
      if (isNew) applied++
      return isNew
    })
    return applied
  }

  #keep(key: string, test: (pending: Pending) => boolean): void {
    const rest = this.#byProfile.get(key)?.filter(test) ?? []
    if (rest.length === 0) this.#byProfile.delete(key)
    else this.#byProfile.set(key, rest)
  }
}
