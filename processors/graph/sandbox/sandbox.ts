/** Custom modules in a thread of their own, which is ended when a call doesn't come back. */
import { Worker } from 'node:worker_threads'
import { ModuleProblem } from './interpreter.ts'
import type { ColumnList, ModuleSpec, SandboxReply, SandboxRequest } from './protocol.ts'

/** Beside this file, in the form that this file has: .ts in a checkout, .js when compiled. */
const WORKER_FILE = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)
/**
 * The interpreter stops a call at its own timeout; a loop inside one of its built-in functions doesn't ask it. After this much
 * more the thread is ended.
 */
const GRACE_MS = 1_000
/** A thread starts and compiles the interpreter in about 0.1 s; on a crowded machine in more. */
const START_MS = 10_000
const STACK_MB = 8

interface Waiting {
  readonly resolve: (reply: SandboxReply & { ok: true }) => void
  readonly reject: (error: Error) => void
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never

export class Sandbox implements AsyncDisposable {
  readonly #modules = new Map<string, ModuleSpec>()
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  #nextId = 1
  /** Calls happen one after the other: the thread does one at a time anyway, and each has its own time. */
  #last: Promise<unknown> = Promise.resolve()
  #restarts = 0

  /** Threads that were ended because a module didn't come back. */
  get restarts(): number {
    return this.#restarts
  }

  /** @throws ModuleProblem when the module is no module, or breaks a bound before it is called */
  load(key: string, spec: ModuleSpec): Promise<void> {
    return this.#inTurn(async () => {
      await this.#ready()
      await this.#ask({ op: 'load', key, spec }, spec.timeoutMs + GRACE_MS)
      this.#modules.set(key, spec)
    })
  }

  unload(key: string): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#modules.delete(key)) return
      if (this.#modules.size === 0) await this.#end()
      else if (this.#worker) await this.#ask({ op: 'unload', key }, START_MS)
    })
  }

  /** @throws ModuleProblem */
  call(key: string, columns: ColumnList, rows: number): Promise<ColumnList> {
    return this.#inTurn(async () => {
      const spec = this.#modules.get(key)
      if (!spec) throw new ModuleProblem('the module is not loaded')
      await this.#ready()
      const { columns: made } = await this.#ask({ op: 'call', key, columns, rows }, spec.timeoutMs + GRACE_MS)
      return made as ColumnList
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#modules.clear()
    await this.#end()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => undefined)
    return done
  }

  /** A running thread that knows all modules. */
  async #ready(): Promise<void> {
    if (this.#worker) return
    const worker = new Worker(WORKER_FILE, { name: 'rtml-sandbox', env: {}, resourceLimits: { stackSizeMb: STACK_MB } })
    this.#worker = worker
    worker.unref()
    worker.on('message', (reply: SandboxReply) => this.#onReply(reply))
    worker.on('error', (error) => this.#onEnd(worker, error.message))
    worker.on('exit', () => this.#onEnd(worker, 'it ended'))
    for (const [key, spec] of this.#modules) await this.#ask({ op: 'load', key, spec }, START_MS)
    // The first answer waits for the interpreter: no module pays for it with its own time.
    if (this.#modules.size === 0) await this.#ask({ op: 'unload', key: '' }, START_MS)
  }

  async #ask(request: WithoutId<SandboxRequest>, limitMs: number): Promise<SandboxReply & { ok: true }> {
    const id = this.#nextId++
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject })
        timer = setTimeout(() => {
          this.#restarts++
          reject(new ModuleProblem(`the module did not stop within ${limitMs} ms and was ended`))
          void this.#end()
        }, limitMs)
        this.#worker?.postMessage({ ...request, id })
      })
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(id)
    }
  }

  #onReply(reply: SandboxReply): void {
    const waiting = this.#waiting.get(reply.id)
    if (!waiting) return
    if (reply.ok) return waiting.resolve(reply)
    waiting.reject(new ModuleProblem(reply.error))
    if (!reply.isBroken) return
    this.#restarts++
    void this.#end()
  }

  #onEnd(worker: Worker, why: string): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    for (const { reject } of this.#waiting.values()) reject(new ModuleProblem(`the thread of custom modules: ${why}`))
  }

  async #end(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }
}
