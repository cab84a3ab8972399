import { Total } from '../aggregates/total.ts'
import { NEVER } from '../track-view.ts'
import type { Kind } from './kind.ts'

/** Σ / n of the value inside the window: panes add up Σ and n, never means. Empty: the default, missing. */
export const mean: Kind<'mean'> = {
  kind: 'mean',
  compile(feature) {
    const { definition } = feature
    const track = feature.track({ reading: { as: 'number' }, value: definition.value, window: feature.window() })
    const total = new Total(feature.scale(definition.unit))
    const values = track.use<number[], Total>(total)
    const column = feature.float()
    const missing = definition.default ?? Number.NaN
    return {
      write(row, into) {
        track.locate(row)
        total.fold(values.column, track.from, track.to)
        into.floats[column] = total.n === 0 ? missing : total.sum / total.scale / total.n
      },
      newest(row) {
        track.locate(row)
        total.fold(values.column, track.from, track.to)
        return total.n > 0 ? track.state.newest : NEVER
      },
    }
  },
}
