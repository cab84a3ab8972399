/** Vectors → input tensors, output tensors → numbers. Runs once per row and model: no objects per row. */
import type { Vector } from '../features/types.ts'
import type { Binding, BoundInput, BoundOutput } from './bind.ts'
import type { ExtendedVector } from './graph-model.ts'
import { fromHalf, toHalf } from './half.ts'
import type { Tensor, TensorData } from './types.ts'

/**
 * Packs vectors `from` to `to` (exclusive) as the model's inputs.
 * @param rows rows of the tensors: `to - from`, or more when the model's batch is fixed (the rest repeats the first row)
 * @param unfit set to 1 for a row (counted from `from`) whose value an input's type can't hold: a missing or broken whole number
 */
export function packInputs(
  binding: Binding,
  vectors: readonly Vector[],
  from: number,
  to: number,
  rows: number,
  unfit: Uint8Array,
): Record<string, Tensor> {
  const tensors: Record<string, Tensor> = {}
  for (const input of binding.inputs) {
    const dims = input.isSingle ? input.tail : [rows, ...input.tail]
    if ((vectors[from] as Partial<ExtendedVector> | undefined)?.isUnfit !== undefined)
      markUnfit(vectors, from, to, unfit)
    tensors[input.name] = { type: input.type, dims, data: packInput(input, vectors, from, to, rows, unfit) }
  }
  return tensors
}

function packInput(
  input: BoundInput,
  vectors: readonly Vector[],
  from: number,
  to: number,
  rows: number,
  unfit: Uint8Array,
): TensorData {
  const { indexes } = input
  const width = indexes.length
  const source = (row: number): Vector => vectors[from + row < to ? from + row : from] as Vector
  switch (input.type) {
    case 'float32': {
      const data = new Float32Array(rows * width)
      for (let row = 0, at = 0; row < rows; row++) {
        const { floats } = source(row)
        for (let i = 0; i < width; i++) data[at++] = floats[indexes[i] as number] as number
      }
      return data
    }
    case 'string': {
      const data = new Array<string>(rows * width)
      for (let row = 0, at = 0; row < rows; row++) {
        const { strings } = source(row)
        if (input.featureTexts !== undefined) {
          for (let i = 0; i < width; i++) data[at++] = textOf(strings, indexes[i] as number, input.featureTexts)
          continue
        }
        // A hole would make the runtime throw for the whole batch.
        for (let i = 0; i < width; i++) data[at++] = strings[indexes[i] as number] ?? ''
      }
      return data
    }
    case 'float64':
      return fill(new Float64Array(rows * width), (value) => value)
    case 'float16':
      return fill(new Uint16Array(rows * width), toHalf)
    case 'int32':
      return fill(new Int32Array(rows * width), (value, row) =>
        Number.isInteger(value) && Math.abs(value) <= 2_147_483_647 ? value : refuse(row),
      )
    case 'bool':
      return fill(new Uint8Array(rows * width), (value, row) => (value === 0 || value === 1 ? value : refuse(row)))
    case 'int64': {
      const data = new BigInt64Array(rows * width)
      for (let row = 0, at = 0; row < rows; row++) {
        const { floats } = source(row)
        for (let i = 0; i < width; i++) {
          const value = floats[indexes[i] as number] as number
          data[at++] = BigInt(Number.isSafeInteger(value) ? value : refuse(row))
        }
      }
      return data
    }
    default:
      throw new Error(`input type ${input.type} was accepted at deploy but can't be packed`)
  }

  /** Never rounded in silence: the row gets a fallback, and 0 stands in so that the rest of the batch runs. */
  function refuse(row: number): number {
    unfit[row] = 1
    return 0
  }

  function fill<A extends Float64Array | Uint16Array | Int32Array | Uint8Array>(
    data: A,
    convert: (value: number, row: number) => number,
  ): A {
    for (let row = 0, at = 0; row < rows; row++) {
      const { floats } = source(row)
      for (let i = 0; i < width; i++) data[at++] = convert(floats[indexes[i] as number] as number, row)
    }
    return data
  }
}

/** Null is missing: a graph tells it from ''. Features don't, theirs is ''. */
const textOf = (strings: readonly string[], index: number, featureTexts: number): string =>
  (strings[index] || (index < featureTexts ? null : (strings[index] ?? null))) as string

function markUnfit(vectors: readonly Vector[], from: number, to: number, unfit: Uint8Array): void {
  for (let row = from; row < to; row++) if ((vectors[row] as ExtendedVector).isUnfit) unfit[row - from] = 1
}

/**
 * Reads one column of an output.
 * @param rows rows of the run, padding included
 * @param take rows to read, from the first: padding never reaches a score
 * @param put called with the row and its number
 * @throws Error when the output hasn't a value a row
 */
export function readOutput(
  output: BoundOutput,
  tensor: Tensor | undefined,
  rows: number,
  take: number,
  put: (row: number, value: number) => void,
): void {
  if (!tensor) throw new Error(`the run gave no output ${JSON.stringify(output.tensor)}`)
  const { data } = tensor
  const width = data.length / rows
  if (!Number.isInteger(width) || output.column >= width) {
    throw new Error(
      `output ${JSON.stringify(output.tensor)} has shape [${tensor.dims.join(', ')}] for ${rows} rows; column ${output.column} isn't in it`,
    )
  }
  const half = tensor.type === 'float16'
  for (let row = 0, at = output.column; row < take; row++, at += width) {
    const value = data[at]
    put(row, half ? fromHalf(value as number) : Number(value))
  }
}
