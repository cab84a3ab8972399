import { didYouMean } from '../../app/suggest.ts'
import { fromHalf, toHalf } from '../../scorer/half.ts'
import type { Tensor, TensorData, TensorInfo } from '../../scorer/types.ts'
import type { NodeOf } from '../format.ts'
import { type Column, columnOf, type Dtype, type Frame, keptRows, type Schema, scatter } from '../frame.ts'
import { refuse, wanted } from '../problem.ts'
import { at, failRows, type RunContext, type Step, type StepContext } from '../step.ts'

type Node = NodeOf<'onnx'>

/** Element types that number columns can become. */
const NUMERIC = new Set(['float32', 'float64', 'float16', 'int64', 'int32', 'bool'])
const FLOATS = new Set(['float32', 'float64', 'float16'])

export function onnx(node: Node, schema: Schema, { signature }: StepContext): Step {
  const { inputs, outputs, keep, model } = node.params
  for (const input of inputs) {
    for (const name of input.columns) wanted(schema, name, at(node, 'in'))
    const size = (input.shape ?? [input.columns.length]).reduce((product, it) => product * it, 1)
    if (size !== input.columns.length)
      refuse(
        at(node),
        `input ${input.name}: shape [${input.shape?.join(', ')}] has ${size} values a row, its columns give ${input.columns.length}.`,
      )
  }
  const made = new Map<string, Dtype>()
  for (const { as, type } of outputs) {
    if (made.has(as) || (keep && schema.has(as)))
      refuse(at(node), `column ${JSON.stringify(as)} is there already. Give the output another name under as.`)
    made.set(as, type)
  }
  const known = signature(model)
  const fixedRows = known && checkSignature(node, schema, known)
  const elements = new Map(known?.inputs.map((it) => [it.name, it.type]))
  const fetches = [...new Set(outputs.map(({ output }) => output))]
  return {
    schema: keep ? new Map([...schema, ...made]) : made,
    changed: [...made.keys()],
    run: async ([frame], context) => {
      const fit = checkWhole(node, elements, frame!, context)
      const kept = keptRows(fit)
      const columns = await runModel(node, elements, fit, kept, fixedRows, fetches, context)
      return { ...fit, columns: keep ? new Map([...fit.columns, ...columns]) : columns }
    },
  }
}

/** @returns the only number of rows that the model takes, if it takes only one */
function checkSignature(
  node: Node,
  schema: Schema,
  known: { inputs: readonly TensorInfo[]; outputs: readonly TensorInfo[] },
): number | undefined {
  const { inputs, outputs } = node.params
  let fixed: number | undefined
  for (const input of inputs) {
    const info = known.inputs.find((it) => it.name === input.name)
    if (!info) {
      const names = known.inputs.map((it) => it.name)
      refuse(at(node), `the model has no input ${JSON.stringify(input.name)}.${didYouMean(input.name, names)}`)
    }
    if (info.type !== 'string' && !NUMERIC.has(info.type))
      refuse(at(node), `input ${input.name} is ${info.type}, which columns can't fill. Cast inside the model.`)
    for (const name of input.columns) {
      const dtype = schema.get(name) as Dtype
      if ((dtype === 'string') !== (info.type === 'string'))
        refuse(
          at(node, 'in'),
          `column ${JSON.stringify(name)} is ${dtype}, input ${input.name} of the model is ${info.type}. Use map, onehot or cast before.`,
        )
    }
    const rows = checkShape(node, input, info)
    if (rows !== undefined) fixed = rows
  }
  for (const { name } of known.inputs) {
    if (!inputs.some((it) => it.name === name))
      refuse(at(node), `input ${JSON.stringify(name)} of the model gets no columns.`)
  }
  for (const { output, index, type } of outputs) {
    const info = known.outputs.find((it) => it.name === output)
    if (!info) {
      const names = known.outputs.map((it) => it.name)
      refuse(at(node), `the model has no output ${JSON.stringify(output)}.${didYouMean(output, names)}`)
    }
    if (!info.dims) refuse(at(node), `output ${output} of the model is no tensor. Export it with tensor outputs.`)
    const width = info.dims.slice(1).reduce((product, it) => (it < 0 || product < 0 ? -1 : product * it), 1)
    if (info.dims.length > 0 && width >= 0 && index >= width)
      refuse(at(node), `output ${output} has ${width} values a row; index ${index} isn't one of 0–${width - 1}.`)
    if (!givesType(info.type, type))
      refuse(
        at(node),
        `output ${output} of the model is ${info.type}, which isn't ${type}. Give it the type ${typeOf(info.type)}.`,
      )
  }
  return fixed
}

function checkShape(
  node: Node,
  input: Node['params']['inputs'][number],
  { dims, name }: TensorInfo,
): number | undefined {
  // A file without a shape shows none at all: the columns' shape is taken at its word.
  if (!dims || dims.length === 0) return undefined
  const shape = input.shape ?? [input.columns.length]
  const [rows = -1, ...tail] = dims
  const fits = tail.length === shape.length && tail.every((it, axis) => it < 0 || it === shape[axis])
  if (!fits) {
    const shown = (list: readonly number[]) => `[n, ${list.map((it) => (it < 0 ? '?' : it)).join(', ')}]`
    refuse(
      at(node, 'in'),
      `input ${name} of the model is ${shown(tail)}, its columns give ${shown(shape)}. List the columns that it was trained with, or give their shape.`,
    )
  }
  return rows > 0 ? rows : undefined
}

const typeOf = (element: string): Dtype =>
  element === 'string' ? 'string' : element === 'bool' ? 'bool' : FLOATS.has(element) ? 'float32' : 'int64'

function givesType(element: string, type: Dtype): boolean {
  if (element === 'float64') return type === 'float64'
  const own = typeOf(element)
  return type === own || (own === 'float32' && type === 'float64')
}

/** Whole-number inputs are never rounded: a row that doesn't fit fails. */
function checkWhole(node: Node, elements: ReadonlyMap<string, string>, frame: Frame, context: RunContext): Frame {
  let next = frame
  for (const { name, columns } of node.params.inputs) {
    const element = elements.get(name)
    if (element !== 'int64' && element !== 'int32' && element !== 'bool') continue
    const limit = element === 'int32' ? 2_147_483_647 : Number.MAX_SAFE_INTEGER
    for (const column of columns) {
      const bad = new Uint8Array(frame.rows)
      const values = columnOf(frame, column).data
      for (let row = 0; row < bad.length; row++) {
        const value = values[row] as number
        const fits =
          element === 'bool' ? value === 0 || value === 1 : Number.isInteger(value) && Math.abs(value) <= limit
        if (!fits) bad[row] = 1
      }
      next = failRows(next, bad, context, node.id, column)
    }
  }
  return next
}

async function runModel(
  node: Node,
  elements: ReadonlyMap<string, string>,
  frame: Frame,
  kept: Int32Array | undefined,
  fixedRows: number | undefined,
  fetches: readonly string[],
  context: RunContext,
): Promise<Map<string, Column>> {
  const { model, inputs, outputs } = node.params
  const total = kept?.length ?? frame.rows
  const data = outputs.map(({ type }) =>
    type === 'string' ? new Array<string | null>(total) : new Float64Array(total),
  )
  const step = fixedRows ?? total
  for (let from = 0; from < total; from += step) {
    const rows = fixedRows ?? total
    const take = Math.min(rows, total - from)
    const feeds: Record<string, Tensor> = {}
    for (const { name, columns, shape } of inputs) {
      const element = elements.get(name) ?? 'float32'
      const lists = columns.map((it) => columnOf(frame, it))
      const dims = [rows, ...(shape ?? [columns.length])]
      feeds[name] = { type: element, dims, data: pack(element, lists, kept, from, take, rows) }
    }
    const results = await context.runModel(model, feeds, fetches)
    for (const [o, output] of outputs.entries())
      unpack(results[output.output], output, rows, take, from, data[o] as never)
  }
  return new Map(
    outputs.map(({ as, type }, o): [string, Column] => {
      const column = { dtype: type, data: data[o] } as Column
      return [as, kept ? scatter(column, kept, frame.rows) : column]
    }),
  )
}

/** Columns side by side, row-major. Rows beyond `take` repeat the first: padding never reaches an answer. */
function pack(
  element: string,
  columns: readonly Column[],
  kept: Int32Array | undefined,
  from: number,
  take: number,
  rows: number,
): TensorData {
  const width = columns.length
  const size = rows * width
  if (element === 'string') {
    const data = new Array<string>(size)
    for (const [c, column] of columns.entries()) {
      for (let i = 0; i < rows; i++) {
        const at = from + (i < take ? i : 0)
        data[i * width + c] = (column.data[kept ? (kept[at] as number) : at] ?? '') as string
      }
    }
    return data
  }
  if (element === 'float32') return fillFloats(new Float32Array(size), columns, kept, from, take, rows)
  if (element === 'float64') return fillFloats(new Float64Array(size), columns, kept, from, take, rows)
  const values = fillFloats(new Float64Array(size), columns, kept, from, take, rows)
  if (element === 'int64') return BigInt64Array.from(values, BigInt)
  if (element === 'int32') return Int32Array.from(values)
  if (element === 'bool') return Uint8Array.from(values)
  return Uint16Array.from(values, toHalf)
}

function fillFloats<A extends Float32Array | Float64Array>(
  data: A,
  columns: readonly Column[],
  kept: Int32Array | undefined,
  from: number,
  take: number,
  rows: number,
): A {
  const width = columns.length
  if (!kept && take === rows) {
    // All rows, in their order, as nearly always: half the time of the loop below, which asks of each value where it is from.
    for (let c = 0; c < width; c++) {
      const values = (columns[c] as Column).data as Float64Array
      for (let row = from, at = c; row < from + rows; row++, at += width) data[at] = values[row] as number
    }
    return data
  }
  for (let c = 0; c < width; c++) {
    const values = (columns[c] as Column).data as Float64Array
    for (let i = 0, at = c; i < rows; i++, at += width) {
      const row = from + (i < take ? i : 0)
      data[at] = values[kept ? (kept[row] as number) : row] as number
    }
  }
  return data
}

function unpack(
  tensor: Tensor | undefined,
  { output, index, type }: Node['params']['outputs'][number],
  rows: number,
  take: number,
  from: number,
  into: Float64Array | (string | null)[],
): void {
  if (!tensor) throw new Error(`the run gave no output ${JSON.stringify(output)}`)
  const width = tensor.data.length / rows
  if (!Number.isInteger(width) || index >= width) {
    throw new Error(
      `output ${JSON.stringify(output)} has shape [${tensor.dims.join(', ')}] for ${rows} rows; index ${index} isn't in it`,
    )
  }
  const isHalf = tensor.type === 'float16'
  for (let i = 0, at = index; i < take; i++, at += width) {
    const value = tensor.data[at]
    if (type === 'string') into[from + i] = String(value)
    else into[from + i] = isHalf ? fromHalf(value as number) : Number(value)
  }
}
