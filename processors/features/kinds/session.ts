import { countAggregate } from '../aggregates/count.ts'
import { Total } from '../aggregates/total.ts'
import { NEVER } from '../track-view.ts'
import type { FeatureBuilder, FeatureReader, Kind } from './kind.ts'

/** Sums of a session are kept in millionths. */
const SCALE = 1e6

/**
 * Of the session of matching events that is still open: how many events, how many seconds from first to last, or Σ of
 * the value. Events at most `gap` apart are one session, also when a late one joins two. Over or none: the default, 0.
 */
export const session: Kind<'session'> = {
  kind: 'session',
  compile(feature) {
    const { measure, value } = feature.definition
    if (measure === 'sum' && value === undefined) throw feature.error('value', 'measure: sum needs a value to sum')
    if (measure !== 'sum' && value !== undefined) {
      throw feature.error('value', `measure: ${measure} reads no value. Remove it, or use measure: sum`)
    }
    return value === undefined ? compileSpan(feature) : compileSum(feature, value)
  },
}

function compileSpan(feature: FeatureBuilder<'session'>): FeatureReader {
  const { definition } = feature
  const track = feature.track({ reading: { as: 'none' }, window: feature.session(definition.gap) })
  const events = track.use(countAggregate)
  const column = feature.float()
  return {
    write(row, into) {
      track.locate(row)
      const { from, to, state } = track
      if (from >= to) into.floats[column] = definition.default
      else if (definition.measure === 'seconds') into.floats[column] = (state.ends[from]! - state.panes[from]!) / 1_000
      else into.floats[column] = countAggregate.fold(events.column, from, to)
    },
    newest(row) {
      track.locate(row)
      return track.from < track.to ? track.state.newest : NEVER
    },
  }
}

function compileSum(feature: FeatureBuilder<'session'>, value: string): FeatureReader {
  const { definition } = feature
  const track = feature.track({ reading: { as: 'number' }, value, window: feature.session(definition.gap) })
  const total = new Total(SCALE)
  const values = track.use<number[], Total>(total)
  const column = feature.float()
  return {
    write(row, into) {
      track.locate(row)
      total.fold(values.column, track.from, track.to)
      into.floats[column] = total.n === 0 ? definition.default : total.sum / SCALE
    },
    newest(row) {
      track.locate(row)
      return track.from < track.to ? track.state.newest : NEVER
    },
  }
}
