/** ONNX sessions: how they are opened, warmed up and run. Only ever used in the thread that loaded the native library. */
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { refusal } from './load-error.ts'
import { type ModelOutline, outline } from './model-file.ts'
import type { ModelSignature, Tensor as PlainTensor, TensorData, TensorInfo } from './types.ts'

/** One thread a session, no spinning: on a small machine N workers × cores would spin against each other. */
const SESSION_OPTIONS: InferenceSession.SessionOptions = {
  executionProviders: ['cpu'],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
  // Arena and pattern keep memory of released sessions (issues 25325, 26831): hot swaps would grow the process.
  enableCpuMemArena: false,
  enableMemPattern: false,
  // Every error comes back as an exception too; printed twice it would only break structured logs.
  logSeverityLevel: 4,
  extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
}
/** A warm-up of more elements than this would cost more than the first real run. */
const MAX_WARM_ELEMENTS = 4_194_304

/** Never asked of the binding: reading one of these as an output ends the whole process (4-bit types), or throws (the others). */
const UNREADABLE_TYPES = new Set(['int4', 'uint4'])

export interface Session {
  readonly session: InferenceSession
  readonly signature: ModelSignature
  /** Outputs that a run may fetch. */
  readonly readable: readonly string[]
  readonly outline: ModelOutline
}

/** @throws Error in words that name versions and remedy when the runtime refuses */
export async function openSession(file: Uint8Array, warmRows: number): Promise<Session> {
  let model: ModelOutline
  try {
    model = outline(file)
  } catch (error) {
    throw new Error(`not an ONNX file: ${(error as Error).message}. Check that it was downloaded or copied whole.`)
  }
  if (model.opsets.length === 0) throw new Error('not an ONNX file: it has no opset. Check that it was copied whole.')
  let session: InferenceSession
  try {
    session = await InferenceSession.create(model.bytes, SESSION_OPTIONS)
  } catch (error) {
    throw new Error(refusal((error as Error).message, model))
  }
  const signature: ModelSignature = {
    inputs: session.inputMetadata.map(tensorInfo),
    outputs: session.outputMetadata.map(tensorInfo),
  }
  const readable = signature.outputs.filter((it) => it.dims && !UNREADABLE_TYPES.has(it.type)).map((it) => it.name)
  if (warmRows > 0) await warmUp(session, signature, readable, warmRows)
  return { session, signature, readable, outline: model }
}

/** @throws Error when an output can't be read, or the runtime's own when the run fails */
export async function runSession(
  { session, readable }: Session,
  feeds: Readonly<Record<string, PlainTensor>>,
  fetches: readonly string[] = readable,
): Promise<Record<string, PlainTensor>> {
  const unreadable = fetches.find((it) => !readable.includes(it))
  if (unreadable !== undefined) throw new Error(`output ${unreadable} is unknown, or can't be read as a tensor`)
  const given: Record<string, Tensor> = {}
  for (const [name, { type, data, dims }] of Object.entries(feeds)) given[name] = tensor(type, data, dims)
  const outputs = await session.run(given, fetches)
  const results: Record<string, PlainTensor> = {}
  for (const [name, value] of Object.entries(outputs))
    results[name] = { type: value.type, dims: value.dims, data: plain(value) }
  return results
}

function tensorInfo(meta: InferenceSession.ValueMetadata): TensorInfo {
  if (!meta.isTensor) return { name: meta.name, type: 'opaque', dims: undefined }
  return { name: meta.name, type: meta.type, dims: meta.shape.map((it) => (typeof it === 'number' ? it : -1)) }
}

/** The first run plans and allocates; better now than in a batch with a deadline. A model that refuses zeros stays cold. */
async function warmUp(
  session: InferenceSession,
  signature: ModelSignature,
  readable: readonly string[],
  rows: number,
): Promise<void> {
  const feeds: Record<string, Tensor> = {}
  for (const input of signature.inputs) {
    if (!input.dims) return
    const dims = input.dims.map((it, axis) => (it >= 0 ? it : axis === 0 ? rows : 1))
    const size = dims.reduce((product, it) => product * it, 1)
    if (size > MAX_WARM_ELEMENTS) return
    const zeros = zerosOf(input.type, size)
    if (!zeros) return
    feeds[input.name] = tensor(input.type, zeros, dims)
  }
  if (readable.length === 0) return
  try {
    await session.run(feeds, readable)
  } catch {
    // An encoder that refuses unknown categories, a shape that only the features know: the real rows will tell.
  }
}

function zerosOf(type: string, size: number): TensorData | undefined {
  switch (type) {
    case 'float32':
      return new Float32Array(size)
    case 'float64':
      return new Float64Array(size)
    case 'float16':
      return new Uint16Array(size)
    case 'int64':
      return new BigInt64Array(size)
    case 'int32':
      return new Int32Array(size)
    case 'bool':
    case 'uint8':
      return new Uint8Array(size)
    case 'string':
      return new Array<string>(size).fill('')
    default:
      return undefined
  }
}

function tensor(type: string, data: TensorData, dims: readonly number[]): Tensor {
  // The constructor turns 16-bit words into a Float16Array where the engine has one, and the native side then reads no bytes of
  // it ("not enough space: expected 64, got 0", 1.30). The native side only looks at these fields.
  if (type === 'float16') return { type, data, dims, location: 'cpu', size: data.length } as unknown as Tensor
  // Overloaded by type name; ours is only known at run time.
  return new Tensor(type as 'float32', data as Float32Array, dims)
}

/** float16 as raw 16-bit words, whatever array class the binding uses for it. */
function plain(value: Tensor): TensorData {
  const data = value.data as TensorData
  if (value.type !== 'float16' || Array.isArray(data)) return data
  const view = data as Uint16Array
  return new Uint16Array(view.buffer, view.byteOffset, view.length)
}
