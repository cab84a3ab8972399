import { Total } from '../aggregates/total.ts'
import { NEVER } from '../track-view.ts'
import type { Kind } from './kind.ts'

/** Σ of the value inside the window, in multiples of `unit`. Empty: the default, 0. */
export const sum: Kind<'sum'> = {
  kind: 'sum',
  compile(feature) {
    const { definition } = feature
    const track = feature.track({ reading: { as: 'number' }, value: definition.value, window: feature.window() })
    const total = new Total(feature.scale(definition.unit))
    const values = track.use<number[], Total>(total)
    const column = feature.float()
    return {
      write(row, into) {
        track.locate(row)
        total.fold(values.column, track.from, track.to)
        into.floats[column] = total.n === 0 ? definition.default : total.sum / total.scale
      },
      newest(row) {
        track.locate(row)
        total.fold(values.column, track.from, track.to)
        return total.n > 0 ? track.state.newest : NEVER
      },
    }
  },
}
