import { Moments } from '../aggregates/moments.ts'
import { NEVER } from '../track-view.ts'
import type { Kind } from './kind.ts'

/** Population variance (Σx² − (Σx)²/n) / n of the value inside the window. Empty: the default, missing; one value: 0. */
export const variance: Kind<'variance'> = {
  kind: 'variance',
  compile(feature) {
    const { definition } = feature
    const track = feature.track({ reading: { as: 'number' }, value: definition.value, window: feature.window() })
    const moments = new Moments(feature.scale(definition.unit))
    const values = track.use<number[], Moments>(moments)
    const column = feature.float()
    const missing = definition.default ?? Number.NaN
    return {
      write(row, into) {
        track.locate(row)
        const value = moments.fold(values.column, track.from, track.to)
        into.floats[column] = Number.isNaN(value) ? missing : value
      },
      newest(row) {
        track.locate(row)
        return Number.isNaN(moments.fold(values.column, track.from, track.to)) ? NEVER : track.state.newest
      },
    }
  },
}
