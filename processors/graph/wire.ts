/**
 * A graph as the model pool sees it: tensors in, tensors out, like any model. So a graph has the pool's threads, deadlines,
 * fallbacks, explanations and hot swaps without a second implementation of them.
 */
import type { ModelSignature, Tensor, TensorInfo } from '../scorer/types.ts'
import type { Column } from './frame.ts'
import type { Program, Run } from './program.ts'
import type { SourceRows } from './sources.ts'
import type { Failure } from './step.ts'

/** Numbers of all sources, [n, k] float32 or float64; texts of all sources, [n, m]; fit: [n, sources] uint8, 1 = unusable. */
export const NUMBERS = 'numbers'
export const TEXTS = 'texts'
export const UNFIT = 'unfit'
/** [n] uint8: 1 = the row has an answer, 0 = filtered, 2 = failed. */
export const STATE = 'state'
/** [n] string: JSON of the failure, '' for rows that have none. */
export const FAILURES = 'failures'
/** [p] string: what went wrong with whole batches. */
export const PROBLEMS = 'problems'
/** Asked for by name: what every node made, as `trace:<node>` (kept rows) and `trace:<node>:<column>`. */
export const TRACE = 'trace'

export const KEPT = 1
export const FAILED = 2

export const columnTensor = (name: string): string => `column:${name}`
export const writtenTensor = (index: number): string => `written:${index}`
/** Rows for which a sink writes, [n] uint8. */
export const writtenKept = (index: number): string => `written:${index}:kept`

/** All that a graph answers and writes. */
export const fetchesOf = ({ output, written }: Program): string[] => [
  ...[...output.keys()].map(columnTensor),
  ...written.map((_, index) => writtenTensor(index)),
]

/** What the program shows as a model. */
export function signatureOf({ numberColumns, textColumns, output, written }: Program): ModelSignature {
  const inputs: TensorInfo[] = []
  if (numberColumns > 0) inputs.push({ name: NUMBERS, type: 'float32', dims: [-1, numberColumns] })
  if (textColumns > 0) inputs.push({ name: TEXTS, type: 'string', dims: [-1, textColumns] })
  const outputs: TensorInfo[] = [...output].map(([name, dtype]) => ({
    name: columnTensor(name),
    type: dtype === 'string' ? 'string' : 'float64',
    dims: [-1],
  }))
  for (const [index, { dtype }] of written.entries())
    outputs.push({ name: writtenTensor(index), type: dtype === 'string' ? 'string' : 'float64', dims: [-1] })
  return { inputs, outputs }
}

/** @throws Error when the tensors are of other widths than the graph reads */
export function rowsOf({ numberColumns, textColumns }: Program, inputs: Readonly<Record<string, Tensor>>): SourceRows {
  const numbers = inputs[NUMBERS]
  const texts = inputs[TEXTS]
  const rows = numbers?.dims[0] ?? texts?.dims[0] ?? 0
  const given = numbers?.data ?? new Float32Array(0)
  if (!(given instanceof Float32Array) && !(given instanceof Float64Array))
    throw new Error('numbers are float32 or float64')
  const list = (texts?.data ?? []) as readonly (string | null)[]
  if (given.length !== rows * numberColumns || list.length !== rows * textColumns)
    throw new Error(`${rows} rows want ${numberColumns} numbers and ${textColumns} texts each`)
  const unfit = inputs[UNFIT]?.data as Uint8Array | undefined
  return { rows, numbers: given, numberColumns, texts: list, textColumns, unfit }
}

/** The run's results by tensor name. @param fetches undefined: the answer's columns and the rows' state */
export function tensorsOf(
  { leads }: Program,
  run: Run,
  rows: number,
  fetches: readonly string[] | undefined,
): Record<string, Tensor> {
  const tensors = new Map<string, Tensor>()
  const isWanted = (name: string): boolean => fetches === undefined || fetches.includes(name)
  tensors.set(STATE, bytes(stateOf(run, leads, rows)))
  for (const [name, column] of run.columns)
    if (isWanted(columnTensor(name))) tensors.set(columnTensor(name), tensorOf(column))
  for (const [index, { column, kept }] of run.written.entries()) {
    if (!isWanted(writtenTensor(index))) continue
    tensors.set(writtenTensor(index), tensorOf(column))
    if (kept) tensors.set(writtenKept(index), bytes(kept))
  }
  if (run.failures.some((it) => it !== undefined))
    tensors.set(FAILURES, texts(Array.from(run.failures, (it) => (it ? JSON.stringify(it) : ''))))
  if (run.problems.length > 0) tensors.set(PROBLEMS, texts(run.problems))
  if (!fetches?.includes(TRACE)) return Object.fromEntries(tensors)
  for (const [node, { kept, columns }] of run.trace) {
    tensors.set(`${TRACE}:${node}`, bytes(kept ?? new Uint8Array(rows).fill(1)))
    for (const [name, column] of columns) tensors.set(`${TRACE}:${node}:${name}`, tensorOf(column))
  }
  return Object.fromEntries(tensors)
}

/** A row that failed on the way to the answer has none, also where a join or a union would have brought it back. */
function stateOf({ kept, failures }: Run, leads: ReadonlySet<string>, rows: number): Uint8Array {
  const state = new Uint8Array(rows).fill(KEPT)
  for (let row = 0; row < rows; row++) {
    const failure = failures[row]
    if (failure && (kept?.[row] === 0 || leads.has(failure.node))) state[row] = FAILED
    else if (kept?.[row] === 0) state[row] = 0
  }
  return state
}

export const failureOf = (text: string | number | bigint | undefined): Failure | undefined =>
  typeof text === 'string' && text !== '' ? (JSON.parse(text) as Failure) : undefined

const bytes = (data: Uint8Array): Tensor => ({ type: 'uint8', dims: [data.length], data })
const texts = (data: readonly string[]): Tensor => ({ type: 'string', dims: [data.length], data })

/** Copied where the array is a part of a larger one: what leaves a thread is handed over with its whole buffer. */
function tensorOf(column: Column): Tensor {
  if (column.dtype === 'string')
    return { type: 'string', dims: [column.data.length], data: column.data as readonly string[] }
  return { type: 'float64', dims: [column.data.length], data: column.data.slice() }
}
