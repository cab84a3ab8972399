import { RtmlError } from '../app/errors.ts'
import type { Application } from '../app/schema.ts'
import type { Compiler } from './evaluator.ts'
import { createFeatureSet } from './feature-set.ts'
import type { FeatureSet } from './types.ts'

/** Some features of an application by themselves: to fill them from the log beside the set that serves. */
export interface SideFeatures {
  /** The named ones, and those that share panes with one of them: shared panes are filled together. */
  readonly features: readonly string[]
  readonly featureSet: FeatureSet
}

/** @throws RtmlError CONFIG when there is no such feature, or when the named ones keep nothing in states */
export function sideFeatures(
  app: Pick<Application, 'features' | 'entities' | 'events'>,
  expressions: Compiler,
  names: readonly string[],
): SideFeatures {
  for (const name of names) {
    if (Object.hasOwn(app.features, name)) continue
    throw new RtmlError('CONFIG', `there is no feature ${JSON.stringify(name)}`, { place: 'features' })
  }
  const setOf = (features: readonly string[]) =>
    createFeatureSet(
      { ...app, features: Object.fromEntries(features.map((name) => [name, app.features[name]!])) },
      expressions,
    )
  const wanted = tracksOf(setOf(names))
  if (wanted.size === 0)
    throw new RtmlError('CONFIG', `${names.join(', ')}: nothing of that is kept in states, so nothing can be filled`, {
      place: 'features',
    })
  const features = Object.keys(app.features).filter(
    (name) => names.includes(name) || [...tracksOf(setOf([name]))].some((track) => wanted.has(track)),
  )
  return { features, featureSet: setOf(features) }
}

/** Tracks of all entities, by entity and key. */
function tracksOf({ entities }: FeatureSet): Set<string> {
  const tracks = new Set<string>()
  for (const { entity, layout } of entities.values())
    for (const { key } of layout.tracks as readonly { key: string }[]) tracks.add(`${entity} ${key}`)
  return tracks
}
