import type { XdmEvent } from '../../app/event.ts'
import { type EpochMs, epochMs } from '../../app/units.ts'
import type { FeatureSet, KeyState, Vector } from '../../features/types.ts'
import { isShardKey } from '../rules/shard-rules.ts'
import { type KeyedStage, partsOf, type StateParts } from './keyed-stage.ts'

/** One thing in which a live state isn't what the log says. */
export interface Difference {
  readonly key: string
  /** Name of a feature's column; `state` for a missing, surplus or unreadable state; `pseudonym`, `time`, `segments`; `bytes`: no feature shows it. */
  readonly what: string
  /** null: missing. */
  readonly live: number | string | null
  readonly recomputed: number | string | null
}

/** Compares packed states of one entity, and says which features differ. */
export class StateComparer {
  readonly #keyed: KeyedStage
  readonly #featureSet: FeatureSet
  readonly #now: EpochMs

  constructor(keyed: KeyedStage, featureSet: FeatureSet, now: EpochMs) {
    this.#keyed = keyed
    this.#featureSet = featureSet
    this.#now = now
  }

  /** @throws RtmlError STORE_DOWN, STATE_LAYOUT */
  async compare(
    key: string,
    live: Buffer | undefined,
    recomputed: Buffer | undefined,
  ): Promise<readonly Difference[] | 'expired'> {
    const { stage } = this.#keyed
    if (live && recomputed && live.equals(recomputed)) return []
    if (!live && !recomputed) return []
    // Which rules hold is the shard's own, and no profile's.
    if (isShardKey(key))
      return [{ key: key.slice(1), what: 'state', live: sizeOf(live), recomputed: sizeOf(recomputed) }]
    if (!recomputed) return [{ key, what: 'state', live: `${live!.length} bytes`, recomputed: null }]
    const expected = partsOf(this.#keyed, recomputed)
    if (!live) {
      // The store forgets what was long untouched; an event that comes after that starts anew either way.
      const expireMs = stage.stateExpireMs ?? Number.POSITIVE_INFINITY
      if (this.#now - expected.state.time > expireMs) return 'expired'
      return [{ key, what: 'state', live: null, recomputed: `${recomputed.length} bytes` }]
    }
    let found: StateParts
    try {
      await stage.layouts?.learn([live])
      found = partsOf(this.#keyed, live)
    } catch (error) {
      const unreadable = `unreadable: ${error instanceof Error ? error.message : String(error)}`
      return [{ key, what: 'state', live: unreadable, recomputed: `${recomputed.length} bytes` }]
    }
    const differences: Difference[] = []
    for (const [part, what] of [
      ['head', 'pseudonym'],
      ['tail', 'segments'],
    ] as const) {
      const [ours, theirs] = [found[part], expected[part]]
      if (!ours.equals(theirs))
        differences.push({ key, what, live: ours.toString('hex'), recomputed: theirs.toString('hex') })
    }
    // A state of an older layout is brought to this one first, as the stage will do when it is touched.
    const bytes = this.#keyed.kernel.encode(found.state)
    const wanted = recomputed.subarray(found.head.length, recomputed.length - expected.tail.length)
    if (bytes.equals(wanted)) return differences
    differences.push(...this.#features(key, found.state, expected.state))
    if (differences.length > 0) return differences
    const at = bytes.findIndex((byte, index) => byte !== wanted[index])
    const textOf = (it: Buffer) => `${it.length} bytes, from ${at}: ${it.subarray(at, at + 16).toString('hex')}`
    return [{ key, what: 'bytes', live: textOf(bytes), recomputed: textOf(wanted) }]
  }

  #features(key: string, live: KeyState, recomputed: KeyState): Difference[] {
    const differences: Difference[] = []
    if (live.time !== recomputed.time)
      differences.push({ key, what: 'time', live: live.time, recomputed: recomputed.time })
    // Both at the same instant, so that only what is in the states makes a difference.
    const at = epochMs(Math.min(Math.max(live.time, recomputed.time, 0), LAST_DATE_MS))
    const [ours, theirs] = [this.#vector(key, live, at), this.#vector(key, recomputed, at)]
    for (const { name, type, index } of this.#featureSet.columns) {
      const [a, b] =
        type === 'float'
          ? [numberOf(ours.floats[index]!), numberOf(theirs.floats[index]!)]
          : [ours.strings[index]!, theirs.strings[index]!]
      if (a !== b) differences.push({ key, what: name, live: a, recomputed: b })
    }
    return differences
  }

  #vector(key: string, state: KeyState, at: EpochMs): Vector {
    const vector = this.#featureSet.newVector()
    const states = new Map([[this.#keyed.kernel.entity, state]])
    this.#featureSet.vector({ event: nothingAt(key, at), states, lookups: { get: () => undefined }, at }, vector)
    return vector
  }
}

/** Greatest instant that a date can have (ECMA-262): a damaged state may name a later one. */
const LAST_DATE_MS = 8.64e15

const sizeOf = (it: Buffer | undefined): string | null => (it ? `${it.length} bytes` : null)

const numberOf = (value: number): number | null => (Number.isNaN(value) ? null : value)

/** An event without content: features of the current event are at their defaults. */
function nothingAt(key: string, ts: EpochMs): XdmEvent {
  return { id: '', ts, key, xdm: { _id: '', timestamp: new Date(ts).toISOString() } }
}
