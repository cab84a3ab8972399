/** A real model worker that dies when it is asked to run a model whose key starts with `die`, or to load one that starts with `die-at-load`. */
import { parentPort } from 'node:worker_threads'
import type { Request } from '../../../processors/scorer/protocol.ts'

// First in line: registered before the real worker's own listener.
parentPort?.on('message', (request: Request) => {
  if (request.op === 'run' && request.key.startsWith('die')) throw new Error('this worker was told to die')
  if (request.op === 'load' && request.key.startsWith('die-at-load')) process.exit(3)
})
await import('../../../processors/scorer/worker.ts')
