import { textOf } from '../input.ts'
import { NEVER } from '../track-view.ts'
import { type Kind, putScalar, typeOf } from './kind.ts'

/** A field of the row that a table has for a key of the current event; keeps no state and has no age. No row, or no such field: the default. */
export const lookup: Kind<'lookup'> = {
  kind: 'lookup',
  compile(feature) {
    const { definition } = feature
    const type = typeOf(definition)
    const key = feature.expression(definition.key)
    const slot = feature.slot({ type, encode: definition.encode, missing: definition.default })
    const path = definition.field.split('.')
    return {
      write(row, into) {
        const text = textOf(row.evaluator.value(key))
        const found = text === undefined ? undefined : row.lookups.get(definition.table, text)
        putScalar(slot, type, fieldOf(found, definition.field, path), into)
      },
      newest() {
        return NEVER
      },
    }
  },
}

/** A field by its name, or by its path. */
function fieldOf(row: Readonly<Record<string, unknown>> | undefined, name: string, path: readonly string[]): unknown {
  if (row === undefined) return undefined
  if (Object.hasOwn(row, name)) return row[name]
  let value: unknown = row
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Record<string, unknown>)[step]
  }
  return value
}
