import { Frequencies } from '../aggregates/frequencies.ts'
import { boundText } from '../bytes.ts'
import { keptTextOf } from '../input.ts'
import { NEVER } from '../track-view.ts'
import type { Kind } from './kind.ts'

/** Sums of a bucket are kept in millionths. */
const SCALE = 1e6

/**
 * Matching events, or Σ of their value, by the text `by` (each element of a list is a bucket), inside the window.
 * `keys`: one column a key. `read`: one column, the bucket of that value of the current event (a crossed key).
 * With `read`: exact up to `capacity` different texts a pane, approximate beyond. No such bucket: the default, 0.
 */
export const buckets: Kind<'buckets'> = {
  kind: 'buckets',
  compile(feature) {
    const { definition } = feature
    const { keys = [], read } = definition
    if (keys.length === 0 && read === undefined) {
      throw feature.error('keys', 'buckets need keys (one column each) or read (the bucket of the current event)')
    }
    // When nothing but the listed keys can be read, nothing else is kept: exact whatever else comes.
    const only = read === undefined
    const track = feature.track({
      reading: only ? { as: 'texts', only: keys } : { as: 'texts' },
      value: definition.by,
      amount: definition.value,
      window: feature.window(),
    })
    const scale = definition.value === undefined ? 1 : SCALE
    const frequencies = new Frequencies(only ? keys.length : definition.capacity, scale)
    const weights = track.use(frequencies)
    const columns = keys.map((key) => feature.float(`=${key}`))
    const texts = keys.map(boundText)
    const readColumn = read === undefined ? -1 : feature.float(keys.length > 0 ? '=<read>' : undefined)
    const readNumber = read === undefined ? -1 : feature.expression(read)
    const weightOf = (text: string): number => {
      const weight = frequencies.weightOf(weights.column, track.from, track.to, text)
      return Number.isNaN(weight) ? definition.default : weight / scale
    }
    return {
      write(row, into) {
        track.locate(row)
        for (let i = 0; i < columns.length; i++) into.floats[columns[i]!] = weightOf(texts[i]!)
        if (readColumn < 0) return
        const text = keptTextOf(row.evaluator.value(readNumber))
        into.floats[readColumn] = text === undefined ? definition.default : weightOf(text)
      },
      newest(row) {
        track.locate(row)
        return frequencies.fold(weights.column, track.from, track.to).size > 0 ? track.state.newest : NEVER
      },
    }
  },
}
