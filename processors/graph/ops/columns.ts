/** Ops that choose, name and fill columns: select, rename, fill, cast, compute, filter. */
import { compileExpression } from '../expression.ts'
import type { NodeOf } from '../format.ts'
import {
  type Column,
  columnOf,
  type Dtype,
  type Frame,
  hasNull,
  isFloat,
  numbersOf,
  type Schema,
  withColumns,
} from '../frame.ts'
import { refuse, type Where, wanted } from '../problem.ts'
import { at, failRows, type Step } from '../step.ts'
import { integerOf, numberOf } from '../texts.ts'

export function select(node: NodeOf<'select'>, schema: Schema): Step {
  const { columns } = node.params
  return {
    schema: new Map(columns.map((name) => [name, wanted(schema, name, at(node, 'in'))])),
    changed: [],
    run: ([frame]) => ({ ...frame!, columns: new Map(columns.map((name) => [name, columnOf(frame!, name)])) }),
  }
}

export function rename(node: NodeOf<'rename'>, schema: Schema): Step {
  const names = node.params.columns
  for (const name of Object.keys(names)) wanted(schema, name, at(node, 'in'))
  const renamed = (name: string): string => (Object.hasOwn(names, name) ? (names[name] as string) : name)
  const next = new Map<string, Dtype>()
  for (const [name, dtype] of schema) {
    if (next.has(renamed(name))) refuse(at(node), `two columns would be named ${JSON.stringify(renamed(name))}.`)
    next.set(renamed(name), dtype)
  }
  return {
    schema: next,
    changed: Object.values(names),
    run: ([frame]) => ({
      ...frame!,
      columns: new Map([...frame!.columns].map(([name, column]) => [renamed(name), column])),
    }),
  }
}

/**
 * A JSON constant as a value of a column: true and false are numbers, too, and floats have infinities.
 * @throws RtmlError GRAPH when it isn't of the type
 */
export function valueAs(value: number | string | boolean, dtype: Dtype, name: string, where: Where): number | string {
  const made = jsonValue(value, dtype)
  if (made === undefined)
    refuse(where, `${JSON.stringify(value)} is no ${dtype}, which column ${JSON.stringify(name)} is.`)
  return made
}

/** A JSON value as one of a column; undefined when it is none. Null is the caller's. */
export function jsonValue(value: unknown, dtype: Dtype): number | string | undefined {
  if (dtype === 'string') return typeof value === 'string' ? value : undefined
  if (typeof value === 'boolean') return value ? 1 : 0
  if (value === 'Infinity' || value === '-Infinity') return isFloat(dtype) ? Number(value) : undefined
  if (typeof value !== 'number') return undefined
  if (dtype === 'bool') return value === 0 || value === 1 ? value : undefined
  if (dtype === 'int64') return Number.isInteger(value) && Math.abs(value) <= 2 ** 53 ? value : undefined
  return rounded(value, dtype)
}

export const rounded = (value: number, dtype: Dtype): number => (dtype === 'float32' ? Math.fround(value) : value)

export function fill(node: NodeOf<'fill'>, schema: Schema): Step {
  const values = Object.entries(node.params.values).map(([name, value]) => {
    const dtype = wanted(schema, name, at(node, 'in'))
    if (typeof value === 'boolean' && dtype !== 'bool')
      refuse(
        at(node, 'in'),
        `${value} can't fill ${JSON.stringify(name)}, which is ${dtype}. Give a value of its type.`,
      )
    return [name, valueAs(value, dtype, name, at(node))] as const
  })
  return {
    schema,
    changed: values.map(([name]) => name),
    run: ([frame]) =>
      withColumns(
        frame!,
        values.map(([name, value]) => [name, filled(columnOf(frame!, name), value)]),
      ),
  }
}

function filled(column: Column, value: number | string): Column {
  if (column.dtype === 'string') return { dtype: 'string', data: column.data.map((it) => it ?? (value as string)) }
  const data = column.data.slice()
  for (let row = 0; row < data.length; row++) if (Number.isNaN(data[row])) data[row] = value as number
  return { dtype: column.dtype, data }
}

export function cast(node: NodeOf<'cast'>, schema: Schema): Step {
  const { invalid, columns } = node.params
  const casts = Object.entries(columns).map(([name, to]) => {
    const from = wanted(schema, name, at(node, 'in'))
    const remedy = remedyFor(from, to)
    if (remedy)
      refuse(at(node, 'in'), `column ${JSON.stringify(name)} is ${from}, which can't be cast to ${to}. ${remedy}`)
    if (invalid === 'null' && !hasNull(to))
      refuse(
        at(node),
        `invalid: null isn't possible for ${JSON.stringify(name)}: ${to} has no null. Use invalid: fail, or a float.`,
      )
    return { name, to }
  })
  return {
    schema: new Map([...schema].map(([name, dtype]) => [name, columns[name] ?? dtype])),
    changed: casts.map(({ name }) => name),
    run: ([frame], context) => {
      let next = frame!
      for (const { name, to } of casts) {
        const bad = new Uint8Array(next.rows)
        const column = convert(columnOf(next, name), to, bad)
        next = withColumns(next, [[name, column]])
        if (invalid === 'fail') next = failRows(next, bad, context, node.id, name)
      }
      return next
    },
  }
}

function remedyFor(from: Dtype, to: Dtype): string | undefined {
  if (isFloat(from) && to === 'string') return 'Cast it to int64 first: a float has no one text.'
  if (from === 'string' && to === 'bool') return 'Use map, or compare it with a text.'
  return undefined
}

/** @param bad set to 1 for a row whose value has no counterpart */
function convert(column: Column, to: Dtype, bad: Uint8Array): Column {
  if (column.dtype === 'string') {
    if (to === 'string') return column
    const parse = isFloat(to) ? numberOf : integerOf
    const data = new Float64Array(column.data.length)
    for (let row = 0; row < data.length; row++) {
      const text = column.data[row] ?? null
      const value = text === null ? Number.NaN : rounded(parse(text), to)
      if (Number.isNaN(value) && (text !== null || !hasNull(to))) bad[row] = 1
      data[row] = value
    }
    return { dtype: to, data }
  }
  if (to === 'string') {
    const isBool = column.dtype === 'bool'
    const data = Array.from(column.data, (it) => (isBool ? (it === 1 ? 'True' : 'False') : String(it)))
    return { dtype: 'string', data }
  }
  const data = new Float64Array(column.data.length)
  for (let row = 0; row < data.length; row++) {
    const value = column.data[row] as number
    if (isFloat(to)) data[row] = rounded(value, to)
    else if (Number.isNaN(value)) bad[row] = 1
    else if (to === 'bool') data[row] = value !== 0 ? 1 : 0
    else if (Math.abs(value) <= 2 ** 53) data[row] = Math.trunc(value) + 0
    else bad[row] = 1
  }
  return { dtype: to, data }
}

export function compute(node: NodeOf<'compute'>, schema: Schema): Step {
  const { as, expr } = node.params
  const expression = compileExpression(expr, schema, at(node, 'in'))
  return {
    schema: new Map([...schema, [as, expression.dtype]]),
    changed: [as],
    run: ([frame]) => withColumns(frame!, [[as, expression.run(frame!)]]),
  }
}

export function filter(node: NodeOf<'filter'>, schema: Schema): Step {
  const expression = compileExpression(node.params.where, schema, at(node, 'in'))
  if (expression.dtype !== 'bool')
    refuse(at(node, 'in'), `where is ${expression.dtype}, wanted bool. Compare it with something.`)
  const run = ([input]: readonly Frame[]): Frame => {
    const frame = input!
    const truth = numbersOf({ ...frame, columns: new Map([['where', expression.run(frame)]]) }, 'where')
    const kept = new Uint8Array(frame.rows)
    for (let row = 0; row < kept.length; row++) kept[row] = truth[row] === 1 && frame.kept?.[row] !== 0 ? 1 : 0
    return { ...frame, kept }
  }
  return { schema, changed: [], run }
}
