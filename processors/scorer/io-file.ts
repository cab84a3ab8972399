/** The `io.json` beside a model: inputs to give it and outputs that it must give back. */
import { fromHalf, toHalf } from './half.ts'
import type { Tensor, TensorData } from './types.ts'

/** One named value of the file. `data` is flat, row-major; int64 as number or text; null is NaN. */
export interface IoValue {
  readonly name: string
  readonly type: string
  readonly dims: readonly number[]
  readonly data: readonly unknown[]
}

export interface IoFile {
  readonly inputs: readonly IoValue[]
  readonly outputs: readonly IoValue[]
}

/** The file can't be used; the message says where and why. */
export class IoFileError extends Error {}

const ALIASES: Readonly<Record<string, string>> = {
  float: 'float32',
  double: 'float64',
  half: 'float16',
  boolean: 'bool',
  str: 'string',
}
const normal = (type: string): string => {
  const plain = type.replace(/^tensor\((.*)\)$/, '$1').toLowerCase()
  return ALIASES[plain] ?? plain
}

/** @throws IoFileError when the text isn't such a file */
export function parseIoFile(text: string): IoFile {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new IoFileError(`io.json is not JSON: ${(error as Error).message}`)
  }
  const file = json as Partial<Record<'inputs' | 'outputs', unknown>> | null
  return { inputs: values(file?.inputs, 'inputs'), outputs: values(file?.outputs, 'outputs') }
}

function values(list: unknown, field: string): IoValue[] {
  if (!Array.isArray(list)) throw new IoFileError(`io.json: ${field} is not a list`)
  // A missing optional input may stand as null, or as an entry without name or data.
  return list.flatMap((it, index) => {
    if (it === null || it?.data === null || it?.name === '') return []
    const { name, type, dims } = it as Partial<IoValue>
    const where = `io.json: ${field}[${index}]`
    if (typeof name !== 'string') throw new IoFileError(`${where}.name is not a text`)
    if (typeof type !== 'string') throw new IoFileError(`${where}.type is not a text`)
    const data = Array.isArray(it.data) ? (it.data as unknown[]).flat(Number.POSITIVE_INFINITY) : [it.data]
    const shape = Array.isArray(dims) ? dims.map(Number) : [data.length]
    return [{ name, type: normal(type), dims: shape, data }]
  })
}

/** @throws IoFileError for a type that tensors don't have, data that don't fit it, or dims that don't multiply to the data's length */
export function tensorOf(value: IoValue): Tensor {
  const size = value.dims.reduce((product, it) => product * it, 1)
  if (size !== value.data.length) {
    throw new IoFileError(`io.json: ${value.name} has ${value.data.length} values for shape [${value.dims.join(', ')}]`)
  }
  return { type: value.type, dims: value.dims, data: typed(value) }
}

function typed({ name, type, data }: IoValue): TensorData {
  const numbers = () => data.map((it) => number(it, name))
  const whole = () => data.map((it) => bigint(it, name))
  switch (type) {
    case 'float32':
      return Float32Array.from(numbers())
    case 'float64':
      return Float64Array.from(numbers())
    case 'float16':
      return Uint16Array.from(numbers(), toHalf)
    case 'int64':
      return BigInt64Array.from(whole())
    case 'uint64':
      return BigUint64Array.from(whole())
    case 'int32':
      return Int32Array.from(numbers())
    case 'uint32':
      return Uint32Array.from(numbers())
    case 'int16':
      return Int16Array.from(numbers())
    case 'uint16':
      return Uint16Array.from(numbers())
    case 'int8':
      return Int8Array.from(numbers())
    case 'uint8':
      return Uint8Array.from(numbers())
    case 'bool':
      return Uint8Array.from(data, (it) => (it === true || it === 1 || it === 'true' || it === '1' ? 1 : 0))
    case 'string':
      return data.map((it) => (it === null ? '' : String(it)))
    default:
      throw new IoFileError(`io.json: ${name} is ${type}; the runtime's binding reads no such type`)
  }
}

/** JSON has no NaN and no infinity: they come as null or as text. */
function number(value: unknown, name: string): number {
  if (typeof value === 'number') return value
  if (value === null || value === 'NaN' || value === 'nan') return Number.NaN
  if (typeof value === 'boolean') return value ? 1 : 0
  const infinity = typeof value === 'string' && /^([+-]?)inf(inity)?$/i.exec(value)
  if (infinity) return infinity[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  if (typeof value === 'string' && value.trim() !== '' && !Number.isNaN(Number(value))) return Number(value)
  throw new IoFileError(`io.json: ${name} has ${JSON.stringify(value)}, which is no number`)
}

/** Digits beyond 2^53 survive only as text. */
function bigint(value: unknown, name: string): bigint {
  try {
    return BigInt(value as string | number)
  } catch {
    throw new IoFileError(`io.json: ${name} has ${JSON.stringify(value)}, which is no whole number`)
  }
}

/** Element of a tensor as a value that can be compared and printed. */
export function elementOf(tensor: Tensor, index: number): number | string | bigint | undefined {
  const value = tensor.data[index]
  return tensor.type === 'float16' && typeof value === 'number' ? fromHalf(value) : value
}
