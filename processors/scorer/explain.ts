/** Leave-one-out attributions: how much each feature moved a score away from what the baseline's value would have given. */
import type { EpochMs } from '../app/units.ts'
import type { Column, FeatureSet, Vector } from '../features/types.ts'
import type { Binding } from './bind.ts'
import type { Outcome } from './run-model.ts'
import type { Attribution } from './types.ts'

/** A feature of the model with all its columns: a one-hot or a last-N list is one cause, not many. */
export interface FeatureGroup {
  readonly feature: string
  readonly columns: readonly Column[]
}

export function groupsOf(binding: Binding): FeatureGroup[] {
  const groups = new Map<string, Map<string, Column>>()
  for (const input of binding.inputs) {
    for (const column of input.columns) {
      const columns = groups.get(column.feature) ?? new Map<string, Column>()
      groups.set(column.feature, columns.set(`${column.type}:${column.index}`, column))
    }
  }
  return [...groups].map(([feature, columns]) => ({ feature, columns: [...columns.values()] }))
}

/** The vector of a profile that nothing is known of: every feature at its declared default. */
export function baselineOf(featureSet: FeatureSet): Vector {
  const vector = featureSet.newVector()
  const at = 0 as EpochMs
  const xdm = { _id: '', timestamp: '1970-01-01T00:00:00.000Z' }
  const event = { id: '', ts: at, key: '', xdm }
  featureSet.vector({ event, states: new Map(), lookups: { get: () => undefined }, at }, vector)
  return vector
}

/** Vectors to run for one row, each with one feature at its baseline. Features that are there already are left out. */
export interface Perturbation {
  readonly features: readonly string[]
  readonly vectors: readonly Vector[]
}

export function perturb(vector: Vector, baseline: Vector, groups: readonly FeatureGroup[]): Perturbation {
  const features: string[] = []
  const vectors: Vector[] = []
  for (const { feature, columns } of groups) {
    if (columns.every((it) => sameValue(vector, baseline, it))) continue
    const changed: Vector = { floats: vector.floats.slice(), strings: vector.strings.slice() }
    for (const { type, index } of columns) {
      if (type === 'float') changed.floats[index] = baseline.floats[index] as number
      else changed.strings[index] = baseline.strings[index] as string
    }
    features.push(feature)
    vectors.push(changed)
  }
  return { features, vectors }
}

function sameValue(a: Vector, b: Vector, { type, index }: Column): boolean {
  return type === 'float' ? Object.is(a.floats[index], b.floats[index]) : a.strings[index] === b.strings[index]
}

/**
 * Attributions of one score, the strongest first.
 * @param first row of the outcome where this perturbation begins
 * @returns undefined when the deadline cut it: a part of the causes would mislead
 * Source: leave-one-out, contribution(f) = score(x) − score(x with f at its baseline). Doesn't sum to the score's difference
 *   from the baseline when features interact.
 */
export function attributions(
  score: number,
  { features }: Perturbation,
  outcome: Outcome,
  first: number,
  output: number,
  outputs: number,
  top: number,
): Attribution[] | undefined {
  const list: Attribution[] = []
  for (const [i, feature] of features.entries()) {
    const miss = outcome.misses[first + i]
    // Without the feature the model has no finite answer (a NaN that it can't take): nothing can be said of this one.
    if (miss === 'notFinite' || miss === 'input' || miss === 'filtered') continue
    if (miss !== undefined) return undefined
    const contribution = score - (outcome.values[(first + i) * outputs + output] as number)
    if (contribution !== 0) list.push({ feature, contribution })
  }
  list.sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution) || (a.feature < b.feature ? -1 : 1))
  return list.slice(0, top)
}
