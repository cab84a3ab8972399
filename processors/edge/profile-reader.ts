import type { Application } from '../app/schema.ts'
import { fusedSource, groupOf } from '../app/topics.ts'
import { type Clock, type EpochMs, epochMs } from '../app/units.ts'
import type { RuleState } from '../decisions/rule-state.ts'
import { partitionOf } from '../engine/murmur2.ts'
import type { FeatureStore } from '../engine/ports.ts'
import type { EntityKernel, KeyState } from '../features/types.ts'
import { type ProfileState, unpackProfile } from '../runtime/stages/profile-state.ts'
import type { Plan } from '../topology.ts'
import { coalesce } from './coalesce.ts'
import type { Overlay } from './overlay.ts'

/** A profile as the edge sees it: the stored state with the accepted events that the store doesn't show yet. */
export interface ProfileRead {
  /** The caller's own: it may apply events to it. */
  readonly state: KeyState
  /** The person said no to being observed. */
  readonly isOptedOut: boolean
  /** What the stored state keeps of segments. */
  readonly rules: RuleState | undefined
  /** `new`: the store has none, or an expired one. `unavailable`: it could not be read. */
  readonly status: 'found' | 'new' | 'unavailable'
  /** Bytes in the store. */
  readonly bytes: number
  /** Latest event time in the store; undefined when there is none. */
  readonly storedTime: EpochMs | undefined
  /** Events of the overlay that had an effect. */
  readonly pending: number
}

/** Reads of one turn of the event loop go to the store together. */
const READS = { maxItems: 256, maxAtOnce: 4, maxWaiting: 4_096 }

/** Where the profile stage reads: `xdm.events`, or the raw topic of a fused source. */
export function profileTopic({ app, topics }: Pick<Plan, 'app' | 'topics'>): string {
  const fused = fusedSource(app)
  return fused === undefined ? topics.events : topics.raw(fused)
}

export class ProfileReader {
  readonly kernel: EntityKernel
  readonly partitions: number
  readonly #overlay: Overlay
  readonly #clock: Clock
  readonly #load: (key: string) => Promise<Buffer | undefined>

  /** @param partitions of the profile stage's input topic */
  constructor(options: {
    plan: Pick<Plan, 'app' | 'topics' | 'featureSet'>
    store: Pick<FeatureStore, 'load'>
    overlay: Overlay
    clock: Clock
    partitions: number
  }) {
    const { plan, store, partitions } = options
    this.kernel = plan.featureSet.entities.get('profile') as EntityKernel
    this.partitions = partitions
    this.#overlay = options.overlay
    this.#clock = options.clock
    this.#load = coalesce((keys: readonly string[]) => loadAll(plan, store, partitions, keys), READS)
  }

  /** @throws RtmlError STORE_DOWN; Overloaded; Error for bytes that this version can't read */
  async read(key: string): Promise<ProfileRead> {
    const packed = await this.#load(key)
    const stored = packed && unpackProfile(this.kernel, packed)
    return this.#withOverlay(key, stored, packed?.length ?? 0)
  }

  /** A profile of which nothing could be read: only the overlay is known. */
  unread(key: string): ProfileRead {
    return { ...this.#withOverlay(key, undefined, 0), status: 'unavailable' }
  }

  #withOverlay(key: string, profile: ProfileState | undefined, bytes: number): ProfileRead {
    const stored = profile?.features
    const now = this.#clock.now()
    const isLive = stored !== undefined && !this.kernel.isExpired(stored, epochMs(Math.max(now, stored.time)))
    const state = stored ?? this.kernel.empty()
    const storedTime = stored && Number.isFinite(stored.time) ? epochMs(stored.time) : undefined
    const isOptedOut = profile?.consent?.val === 'n'
    // The stage will refuse them: here they don't count either.
    if (isOptedOut) this.#overlay.forget(key)
    const pending = this.#overlay.apply(key, state, this.kernel, now)
    return {
      state,
      isOptedOut,
      rules: profile?.rules,
      status: isLive ? 'found' : 'new',
      bytes,
      storedTime,
      pending,
    }
  }
}

async function loadAll(
  plan: Pick<Plan, 'app' | 'topics'>,
  store: Pick<FeatureStore, 'load'>,
  partitions: number,
  keys: readonly string[],
): Promise<(Buffer | undefined)[]> {
  const byPartition = new Map<number, number[]>()
  keys.forEach((key, index) => {
    const partition = partitionOf(Buffer.from(key), partitions)
    const indexes = byPartition.get(partition)
    if (indexes) indexes.push(index)
    else byPartition.set(partition, [index])
  })
  const results = new Array<Buffer | undefined>(keys.length)
  const group = groupOf(plan.app as Application, 'profile')
  const topic = profileTopic(plan)
  await Promise.all(
    [...byPartition].map(async ([partition, indexes]) => {
      const wanted = indexes.map((index) => keys[index] as string)
      const found = await store.load({ group, topic, partition }, wanted)
      indexes.forEach((index, at) => {
        results[index] = found[at]
      })
    }),
  )
  return results
}
