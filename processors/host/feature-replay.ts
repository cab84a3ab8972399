import type { XdmEvent } from '../app/event.ts'
import { epochMs } from '../app/units.ts'
import type { EntityKernel, FeatureSet, KeyState, Updated, Vector } from '../features/types.ts'

/** Keys of an entity that are kept in memory; the one that was touched longest ago makes room. */
const KEYS_MAX = 500_000

/** Features of a file of events, without an engine: the same kernel over states in memory. */
export class FeatureReplay {
  readonly #featureSet: FeatureSet
  readonly #kernels: readonly EntityKernel[]
  readonly #states: readonly Map<string, KeyState>[]
  readonly #current = new Map<string, KeyState>()

  constructor(featureSet: FeatureSet) {
    this.#featureSet = featureSet
    this.#kernels = [...featureSet.entities.values()]
    this.#states = this.#kernels.map(() => new Map())
  }

  /** Applies an event to every entity that it touches. @returns what the profile did with it */
  apply(event: XdmEvent): Updated {
    let result: Updated = 'applied'
    this.#current.clear()
    for (const [index, kernel] of this.#kernels.entries()) {
      const states = this.#states[index]!
      for (const [nth, key] of kernel.keys(event).entries()) {
        const state = states.get(key) ?? kernel.empty()
        states.delete(key)
        states.set(key, state)
        if (states.size > KEYS_MAX) states.delete(states.keys().next().value!)
        const updated = kernel.update(state, event)
        if (kernel.entity === 'profile') {
          if (updated !== 'applied') return updated
          result = updated
        }
        if (nth === 0) this.#current.set(kernel.entity, state)
      }
    }
    return result
  }

  /** The vector of the event that was applied last. The caller owns it. */
  vector(event: XdmEvent): Vector {
    const vector = this.#featureSet.newVector()
    const at = epochMs(Math.max(event.ts, this.#current.get('profile')?.time ?? event.ts))
    this.#featureSet.vector({ event, states: this.#current, lookups: NO_LOOKUPS, at }, vector)
    return vector
  }
}

const NO_LOOKUPS = { get: () => undefined }
