/**
 * The thread that owns the ONNX sessions. It is started once and lives as long as the process: ending a thread that has
 * loaded the runtime's native library and starting another has crashed the process before (microsoft/onnxruntime issue 13086).
 * Requests are handled strictly in order, so a run sent after a load finds its session.
 */
import { type MessagePort, parentPort } from 'node:worker_threads'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { refusal } from './load-error.ts'
import { outline } from './model-file.ts'
import type { Loaded, Reply, Request, TensorList } from './protocol.ts'
import type { ModelSignature, TensorData, TensorInfo } from './types.ts'

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

interface LoadedSession {
  readonly session: InferenceSession
  /** Outputs that a run may fetch. */
  readonly readable: readonly string[]
}

const sessions = new Map<string, LoadedSession>()

/** Serves requests of a port until `close`. */
export function serve(port: MessagePort): void {
  let last = Promise.resolve()
  port.on('message', (request: Request) => {
    last = last.then(() => answer(port, request))
  })
}

async function answer(port: MessagePort, request: Request): Promise<void> {
  try {
    switch (request.op) {
      case 'load':
        return send(port, { id: request.id, ok: true, loaded: await load(request) })
      case 'unload':
        await release(request.key)
        return send(port, { id: request.id, ok: true })
      case 'run':
        return send(port, { id: request.id, ok: true, outputs: await run(request) })
      case 'close':
        for (const key of [...sessions.keys()]) await release(key)
        send(port, { id: request.id, ok: true })
        return port.close()
    }
  } catch (error) {
    send(port, { id: request.id, ok: false, error: error instanceof Error ? error.message : String(error) })
  }
}

async function load(request: Request & { op: 'load' }): Promise<Loaded> {
  // The binding reads an ArrayBuffer; the pool shares one copy of the file between all workers. Copied here, off the main loop.
  const file = new Uint8Array(request.bytes)
  let model: ReturnType<typeof outline>
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
  await release(request.key)
  const signature: ModelSignature = {
    inputs: session.inputMetadata.map(tensorInfo),
    outputs: session.outputMetadata.map(tensorInfo),
  }
  const readable = signature.outputs.filter((it) => it.dims && !UNREADABLE_TYPES.has(it.type)).map((it) => it.name)
  sessions.set(request.key, { session, readable })
  if (request.warmRows > 0) await warmUp(session, signature, readable, request.warmRows)
  const { classes, exposed, opaque, irVersion, opsets } = model
  return { signature, classes, exposed, opaque, irVersion, opsets }
}

async function release(key: string): Promise<void> {
  const loaded = sessions.get(key)
  sessions.delete(key)
  await loaded?.session.release()
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

async function run(request: Request & { op: 'run' }): Promise<TensorList> {
  const loaded = sessions.get(request.key)
  if (!loaded) throw new Error(`model ${request.key} is not loaded`)
  const { session, readable } = loaded
  const fetches = request.fetches ?? readable
  const unreadable = fetches.find((it) => !readable.includes(it))
  if (unreadable !== undefined) throw new Error(`output ${unreadable} is unknown, or can't be read as a tensor`)
  const { names, types, dims, data } = request.inputs
  const feeds: Record<string, Tensor> = {}
  for (let i = 0; i < names.length; i++) {
    feeds[names[i] as string] = tensor(types[i] as string, data[i] as TensorData, dims[i] as number[])
  }
  const outputs = await session.run(feeds, fetches)
  const list = {
    names: [] as string[],
    types: [] as string[],
    dims: [] as (readonly number[])[],
    data: [] as TensorData[],
  }
  for (const [name, value] of Object.entries(outputs)) {
    list.names.push(name)
    list.types.push(value.type)
    list.dims.push(value.dims)
    list.data.push(plain(value))
  }
  return list
}

/** float16 as raw 16-bit words, whatever array class the binding uses for it. */
function plain(value: Tensor): TensorData {
  const data = value.data as TensorData
  if (value.type !== 'float16' || Array.isArray(data)) return data
  const view = data as Uint16Array
  return new Uint16Array(view.buffer, view.byteOffset, view.length)
}

function send(port: MessagePort, reply: Reply): void {
  const buffers = reply.ok && reply.outputs ? ownBuffers(reply.outputs.data) : []
  port.postMessage(reply, buffers)
}

/** Buffers that can be handed over whole. A view of a part would drag the rest along, or be shared by two outputs. */
function ownBuffers(data: readonly TensorData[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  for (const it of data) {
    if (ArrayBuffer.isView(it) && it.buffer instanceof ArrayBuffer && it.byteLength === it.buffer.byteLength) {
      buffers.add(it.buffer)
    }
  }
  return [...buffers]
}

if (parentPort) serve(parentPort)
