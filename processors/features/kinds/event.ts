import { numberOf, textOf } from '../input.ts'
import { NEVER } from '../track-view.ts'
import { type Kind, putScalar, typeOf } from './kind.ts'

/** A value of the current event itself; keeps no state. Missing or of another type: the default. */
export const event: Kind<'event'> = {
  kind: 'event',
  compile(feature) {
    const { definition } = feature
    const type = typeOf(definition)
    const value = feature.expression(definition.value)
    const missing = typeof definition.default === 'boolean' ? Number(definition.default) : definition.default
    const slot = feature.slot({ type, encode: definition.encode, missing })
    return {
      write(row, into) {
        putScalar(slot, type, row.evaluator.value(value), into)
      },
      newest(row) {
        const found = row.evaluator.value(value)
        const usable = type === 'text' ? textOf(found) !== undefined : !Number.isNaN(numberOf(found))
        return usable ? row.ts : NEVER
      },
    }
  },
}
