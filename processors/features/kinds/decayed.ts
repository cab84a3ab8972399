import { Decayed } from '../aggregates/decayed.ts'
import { NEVER } from '../track-view.ts'
import { LIFETIME } from '../windows.ts'
import type { FeatureBuilder, FeatureReader } from './kind.ts'

/** What `decayedCount` and `decayedSum` have in common: Σ v · 2^(−(at − ts) / halfLife) over all matching events. */
export function compileDecayed(feature: FeatureBuilder<'decayedCount'> | FeatureBuilder<'decayedSum'>): FeatureReader {
  const { definition } = feature
  const track = feature.track(
    definition.kind === 'decayedSum'
      ? { reading: { as: 'number' }, value: definition.value, window: LIFETIME }
      : { reading: { as: 'none' }, window: LIFETIME },
  )
  const decayed = new Decayed(definition.halfLife)
  const sums = track.use<number[], Decayed>(decayed)
  const column = feature.float()
  return {
    write(row, into) {
      track.locate(row)
      const value = decayed.fold(sums.column, track.from, track.to, track.at)
      into.floats[column] = Number.isNaN(value) ? definition.default : value
    },
    newest(row) {
      track.locate(row)
      const value = decayed.fold(sums.column, track.from, track.to, track.at)
      return Number.isNaN(value) ? NEVER : track.state.newest
    },
  }
}
