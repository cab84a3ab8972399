import { Extreme } from '../aggregates/extreme.ts'
import { NEVER } from '../track-view.ts'
import type { FeatureBuilder, FeatureReader } from './kind.ts'

/** What `min` and `max` have in common. */
export function compileExtreme(feature: FeatureBuilder<'min'> | FeatureBuilder<'max'>): FeatureReader {
  const { definition } = feature
  const track = feature.track({ reading: { as: 'number' }, value: definition.value, window: feature.window() })
  const extreme = new Extreme(definition.kind)
  const values = track.use<number[], Extreme>(extreme)
  const column = feature.float()
  const missing = definition.default ?? Number.NaN
  return {
    write(row, into) {
      track.locate(row)
      const value = extreme.fold(values.column, track.from, track.to)
      into.floats[column] = Number.isNaN(value) ? missing : value
    },
    newest(row) {
      track.locate(row)
      return Number.isNaN(extreme.fold(values.column, track.from, track.to)) ? NEVER : track.state.newest
    },
  }
}
