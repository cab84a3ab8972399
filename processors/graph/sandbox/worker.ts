/** The thread that custom modules run in: it may be ended at any time, which an ONNX session's thread may not. */
import { parentPort } from 'node:worker_threads'
import { Interpreter, ModuleProblem } from './interpreter.ts'
import type { ModuleSpec, SandboxReply, SandboxRequest } from './protocol.ts'

const modules = new Map<string, ModuleSpec>()
let opening: Promise<Interpreter> | undefined

async function answer(request: SandboxRequest): Promise<SandboxReply> {
  const { id } = request
  try {
    opening ??= Interpreter.open()
    const interpreter = await opening
    switch (request.op) {
      case 'load':
        interpreter.check(request.spec)
        modules.set(request.key, request.spec)
        return { id, ok: true }
      case 'unload':
        modules.delete(request.key)
        return { id, ok: true }
      case 'call': {
        const spec = modules.get(request.key)
        if (!spec) throw new ModuleProblem('the module is not loaded')
        return { id, ok: true, columns: interpreter.call(spec, request.columns, request.rows) }
      }
    }
  } catch (error) {
    const isBroken = !(error instanceof ModuleProblem)
    const text = error instanceof RangeError ? 'the module nests calls too deep' : (error as Error).message
    return { id, ok: false, error: text, isBroken }
  }
}

if (parentPort) {
  const port = parentPort
  let last = Promise.resolve()
  port.on('message', (request: SandboxRequest) => {
    last = last.then(async () => port.postMessage(await answer(request)))
  })
}
