/**
 * The thread that owns the ONNX sessions. It is started once and lives as long as the process: ending a thread that has
 * loaded the runtime's native library and starting another has crashed the process before (microsoft/onnxruntime issue 13086).
 * Requests are handled strictly in order, so a run sent after a load finds its session.
 */
import { type MessagePort, parentPort } from 'node:worker_threads'
import { isBundle } from '../graph/bundle.ts'
import { openGraph } from './graph-session.ts'
import type { Loaded, Reply, Request, TensorList } from './protocol.ts'
import { openSession, runSession } from './session.ts'
import type { Tensor, TensorData } from './types.ts'

/** A model of the pool: one ONNX file, or a bundle with a graph. */
export interface Runnable {
  readonly loaded: Loaded
  run(inputs: Readonly<Record<string, Tensor>>, fetches: readonly string[] | undefined): Promise<Record<string, Tensor>>
  release(): Promise<void>
}

const models = new Map<string, Runnable>()

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
        for (const key of [...models.keys()]) await release(key)
        send(port, { id: request.id, ok: true })
        return port.close()
    }
  } catch (error) {
    send(port, { id: request.id, ok: false, error: error instanceof Error ? error.message : String(error) })
  }
}

async function load({ key, bytes, warmRows }: Request & { op: 'load' }): Promise<Loaded> {
  // The binding reads an ArrayBuffer; the pool shares one copy of the file between all workers. Copied here, off the main loop.
  const file = new Uint8Array(bytes)
  const model = isBundle(file) ? await openGraph(file, warmRows) : await openOnnx(file, warmRows)
  await release(key)
  models.set(key, model)
  return model.loaded
}

async function openOnnx(file: Uint8Array, warmRows: number): Promise<Runnable> {
  const session = await openSession(file, warmRows)
  const { classes, exposed, opaque, irVersion, opsets } = session.outline
  return {
    loaded: { signature: session.signature, classes, exposed, opaque, irVersion, opsets },
    run: (inputs, fetches) => runSession(session, inputs, fetches),
    release: () => session.session.release(),
  }
}

async function release(key: string): Promise<void> {
  const model = models.get(key)
  models.delete(key)
  await model?.release()
}

async function run(request: Request & { op: 'run' }): Promise<TensorList> {
  const model = models.get(request.key)
  if (!model) throw new Error(`model ${request.key} is not loaded`)
  const { names, types, dims, data } = request.inputs
  const inputs: Record<string, Tensor> = {}
  for (let i = 0; i < names.length; i++) {
    inputs[names[i] as string] = { type: types[i] as string, dims: dims[i] as number[], data: data[i] as TensorData }
  }
  return listOf(await model.run(inputs, request.fetches))
}

function listOf(tensors: Readonly<Record<string, Tensor>>): TensorList {
  const list = {
    names: [] as string[],
    types: [] as string[],
    dims: [] as (readonly number[])[],
    data: [] as TensorData[],
  }
  for (const [name, value] of Object.entries(tensors)) {
    list.names.push(name)
    list.types.push(value.type)
    list.dims.push(value.dims)
    list.data.push(value.data)
  }
  return list
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
