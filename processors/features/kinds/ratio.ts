import { Sum } from '../aggregates/total.ts'
import type { Kind } from './kind.ts'

/** Terms of a ratio are kept in millionths. */
const SCALE = 1e6

/**
 * (Σ numerator + prior.numerator) / (Σ denominator + prior.denominator) inside the window. Each is a condition, counted,
 * or a number, summed. The prior pulls rare keys to a known rate; with it an empty window has that rate. A denominator of
 * 0 gives the default, missing.
 */
export const ratio: Kind<'ratio'> = {
  kind: 'ratio',
  compile(feature) {
    const { definition } = feature
    const window = feature.window()
    const above = feature.track({ reading: { as: 'truth' }, value: definition.numerator, window })
    const below = feature.track({ reading: { as: 'truth' }, value: definition.denominator, window })
    const sum = new Sum(SCALE)
    const numerators = above.use<number[], Sum>(sum)
    const denominators = below.use<number[], Sum>(sum)
    const column = feature.float()
    const prior = definition.prior ?? { numerator: 0, denominator: 0 }
    const missing = definition.default ?? Number.NaN
    return {
      write(row, into) {
        above.locate(row)
        const n = sum.fold(numerators.column, above.from, above.to) / SCALE + prior.numerator
        below.locate(row)
        const d = sum.fold(denominators.column, below.from, below.to) / SCALE + prior.denominator
        into.floats[column] = d === 0 ? missing : n / d
      },
      newest(row) {
        let newest = Number.NEGATIVE_INFINITY
        above.locate(row)
        if (above.from < above.to) newest = above.state.newest
        below.locate(row)
        if (below.from < below.to) newest = Math.max(newest, below.state.newest)
        return newest
      },
    }
  },
}
