import { countAggregate } from '../aggregates/count.ts'
import { NEVER } from '../track-view.ts'
import type { Kind } from './kind.ts'

/** How many events match inside the window. Empty: the default, 0. */
export const count: Kind<'count'> = {
  kind: 'count',
  compile(feature) {
    const track = feature.track({ reading: { as: 'none' }, window: feature.window() })
    const events = track.use(countAggregate)
    const column = feature.float()
    const missing = feature.definition.default
    return {
      write(row, into) {
        track.locate(row)
        const n = countAggregate.fold(events.column, track.from, track.to)
        into.floats[column] = n === 0 ? missing : n
      },
      newest(row) {
        track.locate(row)
        return countAggregate.fold(events.column, track.from, track.to) > 0 ? track.state.newest : NEVER
      },
    }
  },
}
