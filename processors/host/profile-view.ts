import type { XdmEvent } from '../app/event.ts'
import { fusedSource, groupOf } from '../app/topics.ts'
import { type EpochMs, epochMs } from '../app/units.ts'
import { partitionOf } from '../engine/murmur2.ts'
import type { Engine } from '../engine/ports.ts'
import type { KeyState, Vector } from '../features/types.ts'
import { unpackProfile } from '../runtime/stages/profile-state.ts'
import { layoutsOf, type Plan } from '../topology.ts'

export interface FeatureValue {
  readonly column: string
  readonly feature: string
  /** null: missing. */
  readonly value: number | string | null
  readonly ageMs: number | null
}

export interface ProfileView {
  readonly key: string
  readonly partition: number
  /** Latest event time that the profile has seen. */
  readonly lastEvent: string
  readonly stateBytes: number
  readonly featureSetVersion: string
  readonly features: readonly FeatureValue[]
}

/** Where the profile stage reads: `xdm.events`, or the raw topic of a fused source. */
export function profileInput({ app, topics }: Pick<Plan, 'app' | 'topics'>): string {
  const fused = fusedSource(app)
  return fused === undefined ? topics.events : topics.raw(fused)
}

/** The partition of the profile stage's input that a key belongs to; undefined while the topic doesn't exist. */
export async function profilePartition(plan: Plan, engine: Engine, key: string): Promise<number | undefined> {
  const partitions = (await engine.log.bounds(profileInput(plan))).length
  return partitions === 0 ? undefined : partitionOf(Buffer.from(key), partitions)
}

/**
 * A profile's features as the store has them, evaluated at the profile's own latest event (features of the current event
 * itself are at their defaults: there is none).
 * @returns undefined when the store has no such profile
 */
export async function viewProfile(plan: Plan, engine: Engine, key: string): Promise<ProfileView | undefined> {
  const kernel = plan.featureSet.entities.get('profile')!
  const partition = await profilePartition(plan, engine, key)
  if (partition === undefined) return undefined
  const shard = { group: groupOf(plan.app, 'profile'), topic: profileInput(plan), partition }
  const [packed] = await engine.store.load(shard, [key])
  if (!packed) return undefined
  await layoutsOf(plan.app, plan.featureSet, engine).get('profile')!.learn([packed])
  const { features: state } = unpackProfile(kernel, packed)
  const at = epochMs(state.time)
  const inputs = {
    event: noEvent(key, at),
    states: new Map<string, KeyState>([['profile', state]]),
    lookups: { get: () => undefined },
    at,
  }
  const vector = plan.featureSet.newVector()
  plan.featureSet.vector(inputs, vector)
  const ages = new Map(plan.featureSet.ages(inputs).map(({ feature, ageMs }) => [feature, ageMs]))
  return {
    key,
    partition,
    lastEvent: new Date(at).toISOString(),
    stateBytes: packed.length,
    featureSetVersion: plan.featureSet.version,
    features: valuesOf(plan, vector).map(({ column, feature, value }) => ({
      column,
      feature,
      value,
      ageMs: ages.get(feature) ?? null,
    })),
  }
}

/** A vector's columns by name, missing values as null. */
export function valuesOf(
  { featureSet }: Pick<Plan, 'featureSet'>,
  vector: Vector,
): { column: string; feature: string; value: number | string | null }[] {
  return featureSet.columns.map(({ name, feature, type, index }) => {
    const value = type === 'float' ? vector.floats[index]! : vector.strings[index]!
    return { column: name, feature, value: Number.isNaN(value) || value === '' ? null : value }
  })
}

function noEvent(key: string, ts: EpochMs): XdmEvent {
  return { id: '', ts, key, xdm: { _id: '', timestamp: new Date(ts).toISOString() } }
}
