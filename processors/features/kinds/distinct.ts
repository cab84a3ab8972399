import { Distinct } from '../aggregates/distinct.ts'
import { NEVER } from '../track-view.ts'
import type { Kind } from './kind.ts'

/** How many different values inside the window (HyperLogLog); each element of a list is a value. Empty: the default, 0. */
export const distinct: Kind<'distinct'> = {
  kind: 'distinct',
  compile(feature) {
    const { definition } = feature
    const track = feature.track({ reading: { as: 'hashes' }, value: definition.value, window: feature.window() })
    const registers = new Distinct(definition.precision)
    const values = track.use(registers)
    const column = feature.float()
    return {
      write(row, into) {
        track.locate(row)
        const n = registers.fold(values.column, track.from, track.to)
        into.floats[column] = n === 0 ? definition.default : n
      },
      newest(row) {
        track.locate(row)
        return registers.fold(values.column, track.from, track.to) > 0 ? track.state.newest : NEVER
      },
    }
  },
}
