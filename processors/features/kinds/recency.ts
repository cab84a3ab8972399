import { NEVER } from '../track-view.ts'
import { LIFETIME } from '../windows.ts'
import type { Kind } from './kind.ts'

/** Seconds from the newest matching event to the instant of evaluation. None: the default, missing. Keeps no pane: a track knows its newest event. */
export const recency: Kind<'recency'> = {
  kind: 'recency',
  compile(feature) {
    const track = feature.track({ reading: { as: 'none' }, window: LIFETIME })
    const column = feature.float()
    const missing = feature.definition.default ?? Number.NaN
    return {
      write(row, into) {
        track.locate(row)
        const { newest } = track.state
        into.floats[column] = newest === NEVER ? missing : (track.at - newest) / 1_000
      },
      newest(row) {
        track.locate(row)
        return track.state.newest
      },
    }
  },
}
