import type { NodeOf } from '../format.ts'
import {
  type Column,
  columnOf,
  type Dtype,
  gather,
  hasNull,
  keptRows,
  numbersOf,
  type Schema,
  scatter,
  withColumns,
} from '../frame.ts'
import { wanted } from '../problem.ts'
import { at, failRows, type RunContext, type Step } from '../step.ts'

export function custom(node: NodeOf<'custom'>, schema: Schema): Step {
  const { inputs, outputs } = node.params
  for (const name of inputs) wanted(schema, name, at(node, 'in'))
  return {
    schema: new Map<string, Dtype>([...schema, ...outputs.map(({ name, type }): [string, Dtype] => [name, type])]),
    changed: outputs.map(({ name }) => name),
    run: async ([input], context) => {
      const frame = input!
      const kept = keptRows(frame)
      const rows = kept?.length ?? frame.rows
      const given = new Map(
        inputs.map((name): [string, Column] => {
          const column = columnOf(frame, name)
          return [name, kept ? gather(column, kept) : column]
        }),
      )
      const made = rows > 0 ? await called(node.id, given, rows, context) : undefined
      const columns = outputs.map(({ name, type }): [string, Column] => {
        const column = made?.get(name)
        if (!column) return [name, empty(type, frame.rows)]
        return [name, kept ? scatter(column, kept, frame.rows) : column]
      })
      let next = withColumns(frame, columns)
      // A call that broke a bound or threw says nothing about any row of its batch.
      if (rows > 0 && !made)
        return failRows(next, new Uint8Array(frame.rows).fill(1), context, node.id, outputs[0]!.name)
      for (const { name, type } of outputs) {
        if (hasNull(type)) continue
        const isOne = type === 'bool' ? (it: number) => it === 0 || it === 1 : Number.isSafeInteger
        const bad = Uint8Array.from(numbersOf(next, name), (it) => (isOne(it) ? 0 : 1))
        next = failRows(next, bad, context, node.id, name)
      }
      return next
    },
  }
}

async function called(
  node: string,
  given: ReadonlyMap<string, Column>,
  rows: number,
  context: RunContext,
): Promise<ReadonlyMap<string, Column> | undefined> {
  try {
    return await context.callModule(node, given, rows)
  } catch (error) {
    context.problems.push(`node ${node}: ${(error as Error).message}`)
    return undefined
  }
}

const empty = (dtype: Dtype, rows: number): Column =>
  dtype === 'string' ? { dtype, data: new Array<null>(rows).fill(null) } : { dtype, data: new Float64Array(rows) }
