/** A learner in a thread of its own, with a lower priority than what scores. One request at a time. */
import { Worker } from 'node:worker_threads'
import {
  type Batch,
  LearnerCore,
  type LearnerSetup,
  type Look,
  type LookOptions,
  type Started,
} from './learner-core.ts'

export interface LearnerHost extends AsyncDisposable {
  start(setup: LearnerSetup, checkpoint: Uint8Array | undefined): Promise<Started>
  take(batch: Batch): Promise<{ taken: number; refused: number }>
  look(now: number, options: LookOptions): Promise<Look>
  onnxOf(version: string): Promise<Uint8Array | undefined>
}

export type Call =
  | { readonly op: 'start'; readonly setup: LearnerSetup; readonly checkpoint: Uint8Array | undefined }
  | { readonly op: 'take'; readonly batch: Batch }
  | { readonly op: 'look'; readonly now: number; readonly options: LookOptions }
  | { readonly op: 'onnx'; readonly version: string }

export interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly error?: string
}

/** Answers calls, in the thread or in a test. */
export class LearnerCalls {
  #core: LearnerCore | undefined

  async answer(call: Call): Promise<unknown> {
    if (call.op === 'start') {
      this.#core = new LearnerCore(call.setup, call.checkpoint)
      return this.#core.started
    }
    const core = this.#core
    if (!core) throw new Error('the learner has not been started')
    switch (call.op) {
      case 'take':
        return core.take(call.batch)
      case 'look':
        return core.look(call.now, call.options)
      case 'onnx':
        return core.onnxOf(call.version)
    }
  }
}

const hostOf = (call: <T>(request: Call) => Promise<T>, dispose: () => Promise<void>): LearnerHost => ({
  start: (setup, checkpoint) => call({ op: 'start', setup, checkpoint }),
  take: (batch) => call({ op: 'take', batch }),
  look: (now, options) => call({ op: 'look', now, options }),
  onnxOf: (version) => call({ op: 'onnx', version }),
  [Symbol.asyncDispose]: dispose,
})

/** Beside this file, in the form that this file has: .ts in a checkout, .js when compiled. */
const WORKER_FILE = new URL(
  import.meta.url.endsWith('.ts') ? './learner-worker.ts' : './learner-worker.js',
  import.meta.url,
)

export function learnerThread(name: string): LearnerHost {
  const worker = new Worker(WORKER_FILE, { name: `rtml-learner-${name}` })
  const waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()
  let next = 0
  let dead: Error | undefined
  const fail = (error: Error) => {
    dead ??= error
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }
  worker.on('message', ({ id, value, error }: Answer) => {
    const call = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) call?.resolve(value as never)
    else call?.reject(new Error(error))
  })
  worker.on('error', (error) => fail(error instanceof Error ? error : new Error(String(error))))
  worker.on('exit', (code) => fail(new Error(`the learner's thread has ended (${code})`)))
  const call = <T>(request: Call): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (dead) return reject(dead)
      const id = next++
      waiting.set(id, { resolve, reject })
      worker.postMessage({ id, request })
    })
  return hostOf(call, async () => {
    dead ??= new Error("the learner's thread was closed")
    await worker.terminate()
  })
}

/** In the calling thread: for virtual time, and for a learner that runs alone. */
export function learnerInline(): LearnerHost {
  const calls = new LearnerCalls()
  return hostOf(
    (request) => calls.answer(request) as Promise<never>,
    async () => {},
  )
}
