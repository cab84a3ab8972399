/** Ops that bring branches together by row: join, union. */
import type { NodeOf } from '../format.ts'
import { both, type Column, columnOf, type Dtype, either, type Frame, hasNull, type Schema } from '../frame.ts'
import { refuse } from '../problem.ts'
import { at, type Step } from '../step.ts'

export function join(node: NodeOf<'join'>, left: Schema, right: Schema): Step {
  const isLeft = node.params.how === 'left'
  for (const [name, dtype] of right) {
    if (left.has(name))
      refuse(
        at(node, 'right'),
        `column ${JSON.stringify(name)} comes from both sides. Rename or select one of them before.`,
      )
    if (isLeft && !hasNull(dtype))
      refuse(
        at(node, 'right'),
        `column ${JSON.stringify(name)} is ${dtype}, which has no null for rows of left only. Cast it to float64.`,
      )
  }
  return {
    schema: new Map([...left, ...right]),
    changed: [...left.keys(), ...right.keys()],
    run: ([a, b]) => {
      const [one, other] = [a!, b!]
      if (!isLeft)
        return {
          rows: one.rows,
          columns: new Map([...one.columns, ...other.columns]),
          kept: both(one.kept, other.kept),
        }
      const columns = new Map<string, Column>(one.columns)
      for (const [name, column] of other.columns) columns.set(name, nulled(column, other.kept))
      return { ...one, columns }
    },
  }
}

function nulled(column: Column, kept: Uint8Array | undefined): Column {
  if (!kept) return column
  if (column.dtype === 'string')
    return { dtype: 'string', data: column.data.map((it, row) => (kept[row] === 1 ? it : null)) }
  return { dtype: column.dtype, data: column.data.map((it, row) => (kept[row] === 1 ? it : Number.NaN)) }
}

export function union(node: NodeOf<'union'>, left: Schema, right: Schema): Step {
  const differ = (name: string): string => `column ${JSON.stringify(name)}`
  for (const [name, dtype] of left) {
    const other: Dtype | undefined = right.get(name)
    if (other === undefined) refuse(at(node, 'right'), `${differ(name)} is missing, left has it (${dtype}).`)
    if (other !== dtype) refuse(at(node, 'right'), `${differ(name)} is ${other}, left's is ${dtype}. Cast one of them.`)
  }
  for (const name of right.keys())
    if (!left.has(name)) refuse(at(node, 'left'), `${differ(name)} is missing, right has it.`)
  return {
    schema: left,
    changed: [...left.keys()],
    run: ([a, b]) => {
      const [one, other] = [a!, b!]
      if (!one.kept) return one
      const columns = new Map([...one.columns.keys()].map((name) => [name, merged(one, other, name)]))
      return { rows: one.rows, columns, kept: either(one.kept, other.kept) }
    },
  }
}

function merged(left: Frame, right: Frame, name: string): Column {
  const [one, other] = [columnOf(left, name), columnOf(right, name)]
  const kept = left.kept as Uint8Array
  if (one.dtype === 'string')
    return {
      dtype: 'string',
      data: one.data.map((it, row) => (kept[row] === 1 ? it : ((other.data[row] ?? null) as string | null))),
    }
  return { dtype: one.dtype, data: one.data.map((it, row) => (kept[row] === 1 ? it : (other.data[row] as number))) }
}
