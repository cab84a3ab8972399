import type { XdmEvent } from '../../app/event.ts'
import type { Application } from '../../app/schema.ts'
import { groupOf, type TopicNames } from '../../app/topics.ts'
import { type Clock, epochMs } from '../../app/units.ts'
import { partitionOf } from '../../engine/murmur2.ts'
import type { FeatureStore } from '../../engine/ports.ts'
import type { EntityKernel, FeatureSet, KeyState } from '../../features/types.ts'
import type { Layouts } from '../layouts.ts'
import type { SourcedEvent } from './event-source.ts'

/** States of other entities that a batch reads. */
export interface EntityStates {
  /** State of the first key that the event has in the entity; undefined when there is none, or none yet. */
  of(entity: string, event: XdmEvent): KeyState | undefined
}

const MAX_AGE_MS = 1_000
const MAX_CACHED = 50_000

const NOTHING: EntityStates = { of: () => undefined }

/**
 * Reads other entities' states from their shards: batched, and at most `MAX_AGE_MS` old. They belong to other owners, so
 * a value is whatever it was at that moment; the samples keep what was seen.
 */
export class EntityReader {
  readonly #store: FeatureStore
  readonly #clock: Clock
  readonly #entities: readonly {
    kernel: EntityKernel
    layouts: Layouts
    group: string
    topic: string
    partitions: number
  }[]
  readonly #cache = new Map<string, { at: number; state: KeyState | undefined }>()

  /** @param options `partitions`: of an entity's topic */
  constructor(options: {
    app: Application
    topics: TopicNames
    featureSet: FeatureSet
    store: FeatureStore
    clock: Clock
    layouts: ReadonlyMap<string, Layouts>
    partitions: (entity: string) => number
  }) {
    const { app, topics, featureSet } = options
    this.#store = options.store
    this.#clock = options.clock
    this.#entities = [...featureSet.entities.values()]
      .filter(({ entity }) => entity !== 'profile')
      .map((kernel) => ({
        kernel,
        layouts: options.layouts.get(kernel.entity)!,
        group: groupOf(app, `entity.${kernel.entity}`),
        topic: topics.entity(kernel.entity),
        partitions: options.partitions(kernel.entity),
      }))
  }

  /** @throws RtmlError STORE_DOWN */
  async read(events: readonly SourcedEvent[]): Promise<EntityStates> {
    if (this.#entities.length === 0 || events.length === 0) return NOTHING
    const found = new Map<string, KeyState>()
    for (const { kernel, layouts, group, topic, partitions } of this.#entities) {
      const wanted = new Map<number, Set<string>>()
      for (const { event } of events) {
        const key = kernel.keys(event)[0]
        if (key === undefined) continue
        const cached = this.#cache.get(cacheKey(kernel, key))
        if (cached && this.#clock.now() - cached.at <= MAX_AGE_MS) {
          if (cached.state) found.set(cacheKey(kernel, key), cached.state)
          continue
        }
        const partition = partitionOf(Buffer.from(key), partitions)
        wanted.set(partition, (wanted.get(partition) ?? new Set()).add(key))
      }
      for (const [partition, set] of wanted) {
        const keys = [...set]
        const packed = await this.#store.load({ group, topic, partition }, keys)
        await layouts.learn(packed)
        keys.forEach((key, index) => {
          const bytes = packed[index]
          const state = bytes && kernel.decode(bytes)
          this.#remember(cacheKey(kernel, key), state)
          if (state) found.set(cacheKey(kernel, key), state)
        })
      }
    }
    const kernels = new Map(this.#entities.map(({ kernel }) => [kernel.entity, kernel]))
    return {
      of: (entity, event) => {
        const kernel = kernels.get(entity)
        const key = kernel?.keys(event)[0]
        const state = kernel && key !== undefined ? found.get(cacheKey(kernel, key)) : undefined
        return state && kernel && !kernel.isExpired(state, epochMs(Math.max(event.ts, state.time))) ? state : undefined
      },
    }
  }

  #remember(key: string, state: KeyState | undefined): void {
    if (this.#cache.size >= MAX_CACHED) {
      for (const oldest of this.#cache.keys()) {
        this.#cache.delete(oldest)
        break
      }
    }
    this.#cache.delete(key)
    this.#cache.set(key, { at: this.#clock.now(), state })
  }
}

const cacheKey = (kernel: EntityKernel, key: string) => `${kernel.entity}\0${key}`
