/** Ops that turn values into other values by a table: map, bin, onehot. */
import type { NodeOf } from '../format.ts'
import { type Column, columnOf, type Dtype, hasNull, numbersOf, type Schema, withColumns } from '../frame.ts'
import { refuse, wanted, wantedAs } from '../problem.ts'
import { at, failRows, type Step } from '../step.ts'
import { valueAs } from './columns.ts'

type Scalar = number | string | boolean | null

export function map(node: NodeOf<'map'>, schema: Schema): Step {
  const { column, as, type, pairs, keep, otherwise } = node.params
  const from = wanted(schema, column, at(node, 'in'))
  if (keep && type !== from)
    refuse(at(node), `keep: type is ${type}, column ${JSON.stringify(column)} is ${from}. With keep they are the same.`)
  const tableValue = (value: Scalar | undefined): number | string | null =>
    value === null || value === undefined ? null : valueAs(value, type, as, at(node))
  const table = new Map<number | string, number | string | null>()
  for (const [key, value] of pairs) {
    if ((typeof key === 'string') !== (from === 'string'))
      refuse(
        at(node, 'in'),
        `column ${JSON.stringify(column)} is ${from}, the table has the key ${JSON.stringify(key)}. Write keys of its type.`,
      )
    const made = tableValue(value)
    // The first pair of a key counts. A key of another kind than the column's finds nothing: true isn't 1.
    const own = typeof key === 'boolean' ? Number(key) : key
    if (kindOf(key) === kindOfDtype(from) && !table.has(own)) table.set(own, made)
  }
  const ofNull = tableValue(node.params.null)
  const rest = tableValue(otherwise)

  const find = (value: number | string | null): number | string | null => {
    if (value === null || Number.isNaN(value)) return ofNull
    const found = table.get(value)
    return found !== undefined ? found : keep ? value : rest
  }
  return {
    schema: new Map([...schema, [as, type]]),
    changed: [as],
    run: ([frame], context) => {
      const bad = new Uint8Array(frame!.rows)
      const next = withColumns(frame!, [[as, mapped(columnOf(frame!, column), type, find, bad)]])
      return failRows(next, bad, context, node.id, as)
    },
  }
}

const kindOf = (value: number | string | boolean): 'number' | 'string' | 'boolean' =>
  typeof value as 'number' | 'string' | 'boolean'
const kindOfDtype = (dtype: Dtype) => (dtype === 'string' ? 'string' : dtype === 'bool' ? 'boolean' : 'number')

function mapped(
  column: Column,
  type: Dtype,
  find: (value: number | string | null) => number | string | null,
  bad: Uint8Array,
): Column {
  if (type === 'string') {
    const data = new Array<string | null>(column.data.length)
    for (let row = 0; row < data.length; row++) data[row] = find(column.data[row] ?? null) as string | null
    return { dtype: 'string', data }
  }
  const data = new Float64Array(column.data.length)
  for (let row = 0; row < data.length; row++) {
    const found = find(column.data[row] ?? null)
    data[row] = found === null ? Number.NaN : (found as number)
    if (found === null && !hasNull(type)) bad[row] = 1
  }
  return { dtype: type, data }
}

/** Source of the edge rules: pandas.cut, which searches the edges from the left (right-closed) or the right (left-closed). */
export function bin(node: NodeOf<'bin'>, schema: Schema): Step {
  const { column, as, labels, right, includeLowest } = node.params
  wantedAs(
    schema,
    column,
    ['float64', 'float32', 'int64', 'bool'],
    at(node, 'in'),
    'Intervals are of numbers: cast it, or use map.',
  )
  const edges = Float64Array.from(node.params.edges, Number)
  for (let i = 1; i < edges.length; i++) {
    if (!((edges[i - 1] as number) < (edges[i] as number)))
      refuse(at(node), `edges must rise: ${edges[i - 1]} stands before ${edges[i]}.`)
  }
  if (labels && labels.length !== edges.length - 1)
    refuse(at(node), `${edges.length} edges make ${edges.length - 1} intervals, here are ${labels.length} labels.`)
  const lowest = edges[0] as number
  const binOf = (value: number): number => {
    if (Number.isNaN(value)) return Number.NaN
    if (right && includeLowest && value === lowest) return 0
    let from = 0
    let to = edges.length
    while (from < to) {
      const middle = (from + to) >> 1
      const edge = edges[middle] as number
      if (right ? edge < value : edge <= value) from = middle + 1
      else to = middle
    }
    return from === 0 || from === edges.length ? Number.NaN : from - 1
  }
  return {
    schema: new Map([...schema, [as, labels ? 'string' : 'float64']]),
    changed: [as],
    run: ([frame]) => {
      const bins = numbersOf(frame!, column).map(binOf)
      const made: Column = labels
        ? { dtype: 'string', data: Array.from(bins, (it) => labels[it] ?? null) }
        : { dtype: 'float64', data: bins }
      return withColumns(frame!, [[as, made]])
    },
  }
}

export function onehot(node: NodeOf<'onehot'>, schema: Schema): Step {
  const { column, categories, names, unknown, other, keep } = node.params
  const from = wanted(schema, column, at(node, 'in'))
  if (names.length !== categories.length)
    refuse(at(node), `${categories.length} categories want as many names, here are ${names.length}.`)
  if (unknown === 'other' && other === undefined)
    refuse(at(node), 'unknown: other wants other, the name of the column for unknown values.')
  const made = unknown === 'other' ? [...names, other as string] : names
  const index = new Map<number | string, number>()
  for (const [i, category] of categories.entries()) {
    if ((typeof category === 'string') !== (from === 'string'))
      refuse(
        at(node, 'in'),
        `column ${JSON.stringify(column)} is ${from}, category ${JSON.stringify(category)} is no such value.`,
      )
    const key = typeof category === 'boolean' ? Number(category) : category
    if (index.has(key)) refuse(at(node), `category ${JSON.stringify(category)} stands twice.`)
    if (kindOf(category) === kindOfDtype(from)) index.set(key, i)
  }
  const place = <T>(
    entries: Iterable<readonly [string, T]>,
    columns: readonly (readonly [string, T])[],
  ): Map<string, T> =>
    new Map(
      [...entries].flatMap((it): readonly (readonly [string, T])[] =>
        it[0] !== column ? [it] : keep ? [it, ...columns] : columns,
      ),
    )
  for (const name of made) {
    if (schema.has(name) && (keep || name !== column))
      refuse(at(node), `column ${JSON.stringify(name)} is there already. Give names that are new.`)
  }
  return {
    schema: place<Dtype>(
      schema,
      made.map((name) => [name, 'float32']),
    ),
    changed: made,
    run: ([frame], context) => {
      const { rows } = frame!
      const data = made.map(() => new Float64Array(rows))
      const bad = new Uint8Array(rows)
      const values = columnOf(frame!, column).data
      const rest = unknown === 'other' ? data.at(-1) : undefined
      for (let row = 0; row < rows; row++) {
        const value = values[row] ?? null
        const found = value === null ? undefined : index.get(value)
        if (found !== undefined) (data[found] as Float64Array)[row] = 1
        else if (rest) rest[row] = 1
        else if (unknown === 'fail') bad[row] = 1
      }
      const columns = made.map((name, i): [string, Column] => [
        name,
        { dtype: 'float32', data: data[i] as Float64Array },
      ])
      const next = { ...frame!, columns: place<Column>(frame!.columns, columns) }
      return failRows(next, bad, context, node.id, column)
    },
  }
}
