import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { RtmlError } from '../app/errors.ts'
import type { Loaded, Reply, Request, TensorList } from './protocol.ts'
import type { LoadedModel, ModelPool, Tensor, TensorData } from './types.ts'

export interface ModelPoolOptions {
  /** Threads with a session of every model each. Default 1: on two cores the other one maps, computes features and heartbeats. */
  readonly workers?: number
  /** Files above this are refused. Default 512 MiB. */
  readonly maxModelBytes?: number
  /** Runs waiting for a worker; one more is refused with `PoolBusy`. Default 256. */
  readonly maxQueuedRuns?: number
  /** The module that the threads run. Tests give one that fails on purpose. */
  readonly workerFile?: URL
  readonly log?: (msg: string, fields: Readonly<Record<string, unknown>>) => void
}

export interface PoolStats {
  readonly workers: number
  readonly models: number
  readonly queuedRuns: number
  readonly runningRuns: number
  /** Milliseconds since the oldest unanswered request went to a worker; 0 = none. Grows without end when a model hangs. */
  readonly oldestMs: number
  /** Workers that died and were replaced since the start. */
  readonly restarts: number
}

/** A pool of worker threads, with figures for health and metrics. */
export interface WorkerPool extends ModelPool {
  stats(): PoolStats
}

/** The pool's queue is full: more runs are asked for than the workers can do. Falls back; retrying at once makes it worse. */
export class PoolBusy extends Error {}
/** The worker died in the middle of a run or a load. */
export class WorkerCrashed extends Error {}

/** Two runs at a worker: it starts the second while the main thread still reads the first one's result. */
const RUNS_AT_WORKER = 2
/** A worker that dies this often without one good run between is not replaced: the fault is in the model or the machine. */
const MAX_CRASHES_IN_A_ROW = 5
const MAX_MODELS = 256
/** Copying is done in pieces, with other work let in between: a megabyte of fresh pages takes about a millisecond. */
const COPY_BYTES = 1_048_576

/** Beside this file, in the form that this file has: .ts in a checkout, .js when compiled. */
const WORKER_FILE = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)

interface Job {
  readonly id: number
  readonly request: Request
  readonly transfer: readonly ArrayBuffer[]
  readonly resolve: (reply: Reply & { ok: true }) => void
  readonly reject: (error: unknown) => void
  readonly signal: AbortSignal | undefined
  /** When it went to a worker (performance.now). */
  sentAt: number
  readonly onAbort: () => void
  /** The caller has its answer (an abort): whatever comes is dropped. */
  settled: boolean
}

interface Slot {
  readonly index: number
  worker: Worker | undefined
  /** False while a replacement loads the models again. */
  ready: boolean
  readonly jobs: Map<number, Job>
  runs: number
  crashes: number
}

interface Entry {
  readonly bytes: Uint8Array
  readonly warmRows: number
  readonly loaded: Promise<LoadedModel>
}

/** Starts the workers. They live until the pool is disposed. @throws never for a bad model: that is `load`'s */
export async function createModelPool(options: ModelPoolOptions = {}): Promise<WorkerPool> {
  const pool = new Pool(options)
  pool.start()
  return pool
}

class Pool implements WorkerPool {
  readonly #maxModelBytes: number
  readonly #maxQueuedRuns: number
  readonly #workerFile: URL
  readonly #log: (msg: string, fields: Readonly<Record<string, unknown>>) => void
  readonly #slots: Slot[]
  readonly #models = new Map<string, Entry>()
  #queue: Job[] = []
  #nextId = 1
  #restarts = 0
  /** What the last worker died of. */
  #lastDeath = ''
  /** Jobs sent or waiting; while there is none the workers don't keep the process alive. */
  #open = 0
  #closed = false

  constructor(options: ModelPoolOptions) {
    this.#maxModelBytes = options.maxModelBytes ?? 536_870_912
    this.#maxQueuedRuns = options.maxQueuedRuns ?? 256
    this.#workerFile = options.workerFile ?? WORKER_FILE
    this.#log = options.log ?? (() => undefined)
    this.#slots = Array.from({ length: Math.max(1, options.workers ?? 1) }, (_, index) => ({
      index,
      worker: undefined,
      ready: true,
      jobs: new Map(),
      runs: 0,
      crashes: 0,
    }))
  }

  start(): void {
    for (const slot of this.#slots) this.#startWorker(slot)
  }

  async load(key: string, bytes: Uint8Array, options: { warmRows?: number } = {}): Promise<LoadedModel> {
    this.#checkOpen()
    const known = this.#models.get(key)
    if (known) return known.loaded
    if (bytes.byteLength > this.#maxModelBytes) {
      throw new RtmlError(
        'MODEL_LOAD',
        `${key} has ${bytes.byteLength} bytes, the limit is ${this.#maxModelBytes}. Make the model smaller, or raise maxModelBytes.`,
      )
    }
    if (this.#models.size >= MAX_MODELS) {
      throw new RtmlError('MODEL_LOAD', `${key}: ${MAX_MODELS} models are loaded already. Unload some first.`)
    }
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.byteLength))
    const warmRows = options.warmRows ?? 1
    const loaded = this.#loadEverywhere(key, bytes, shared, warmRows)
    const entry: Entry = { bytes: shared, warmRows, loaded }
    this.#models.set(key, entry)
    try {
      return await loaded
    } catch (error) {
      if (this.#models.get(key) === entry) this.#models.delete(key)
      await this.#everywhere(() => ({ op: 'unload', id: this.#nextId++, key })).catch(() => undefined)
      throw error
    }
  }

  async #loadEverywhere(key: string, bytes: Uint8Array, shared: Uint8Array, warmRows: number): Promise<LoadedModel> {
    await copyInPieces(bytes, shared)
    try {
      const replies = await this.#everywhere(() => ({ op: 'load', id: this.#nextId++, key, bytes: shared, warmRows }))
      const loaded = replies[0]?.loaded as Loaded
      return { key, signature: loaded.signature, classes: loaded.classes, opaque: loaded.opaque }
    } catch (error) {
      throw new RtmlError('MODEL_LOAD', `${key}: ${(error as Error).message}`, { cause: error })
    }
  }

  async unload(key: string): Promise<void> {
    if (this.#closed || !this.#models.delete(key)) return
    await this.#everywhere(() => ({ op: 'unload', id: this.#nextId++, key }))
  }

  async run(
    key: string,
    inputs: Readonly<Record<string, Tensor>>,
    fetches?: readonly string[],
    signal?: AbortSignal,
  ): Promise<Record<string, Tensor>> {
    this.#checkOpen()
    if (!this.#models.has(key)) throw new RtmlError('MODEL_LOAD', `${key} is not loaded. Load it before running it.`)
    signal?.throwIfAborted()
    if (this.#queue.length >= this.#maxQueuedRuns) {
      throw new PoolBusy(`${this.#queue.length} runs wait for a worker already; ${key} was not run`)
    }
    if (this.#slots.every((it) => it.worker === undefined)) throw this.#dead()
    const list = toList(inputs)
    const request: Request = { op: 'run', id: this.#nextId++, key, inputs: list, fetches }
    const reply = await this.#submit(request, ownedBuffers(list.data), (job) => this.#enqueue(job), signal)
    return fromList(reply.outputs as TensorList)
  }

  stats(): PoolStats {
    const workers = this.#slots.filter((it) => it.worker && it.ready).length
    const runningRuns = this.#slots.reduce((sum, it) => sum + it.runs, 0)
    const sentAt = this.#slots.flatMap((slot) => [...slot.jobs.values()].map((it) => it.sentAt))
    const oldestMs = sentAt.length > 0 ? performance.now() - Math.min(...sentAt) : 0
    const [models, queuedRuns, restarts] = [this.#models.size, this.#queue.length, this.#restarts]
    return { workers, models, queuedRuns, runningRuns, oldestMs, restarts }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const waiting = this.#queue
    this.#queue = []
    for (const job of waiting) this.#settle(job, () => job.reject(new Error('the model pool is closed')))
    this.#models.clear()
    // Sessions are released in the thread that made them, before it ends.
    await this.#everywhere(() => ({ op: 'close', id: this.#nextId++ })).catch(() => undefined)
    await Promise.all(this.#slots.map((it) => it.worker?.terminate()))
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error('the model pool is closed')
  }

  #dead(): WorkerCrashed {
    return new WorkerCrashed(
      `every model worker died ${MAX_CRASHES_IN_A_ROW} times in a row, last of: ${this.#lastDeath}. Remove the cause, then restart the process`,
    )
  }

  #startWorker(slot: Slot): void {
    const worker = new Worker(this.#workerFile, { name: `rtml-model-${slot.index}` })
    slot.worker = worker
    if (this.#open === 0) worker.unref()
    worker.on('message', (reply: Reply) => this.#onReply(slot, reply))
    let cause: unknown
    worker.on('error', (error) => {
      cause = error
    })
    worker.on('exit', (code) => this.#onExit(slot, worker, cause ?? `exit code ${code}`))
  }

  #onReply(slot: Slot, reply: Reply): void {
    const job = slot.jobs.get(reply.id)
    if (!job) return
    slot.jobs.delete(reply.id)
    if (job.request.op === 'run') {
      slot.runs--
      slot.crashes = 0
    }
    this.#settle(job, () => (reply.ok ? job.resolve(reply) : job.reject(new Error(reply.error))))
    this.#dispatch()
  }

  #onExit(slot: Slot, worker: Worker, cause: unknown): void {
    if (slot.worker !== worker) return
    const lost = [...slot.jobs.values()]
    slot.jobs.clear()
    slot.runs = 0
    slot.ready = false
    slot.worker = undefined
    const why = cause instanceof Error ? cause.message : String(cause)
    if (this.#closed) {
      // The goodbye itself waits for an answer that this worker can't give any more.
      for (const job of lost) this.#settle(job, () => job.reject(new Error('the model pool is closed')))
      return
    }
    slot.crashes++
    this.#restarts++
    this.#lastDeath = why
    this.#log('model worker died', { worker: slot.index, cause: why, lostRuns: lost.length, inARow: slot.crashes })
    if (slot.crashes <= MAX_CRASHES_IN_A_ROW) void this.#replace(slot)
    const error = new WorkerCrashed(`the model worker died while it ran this (${why}); it is being replaced`, { cause })
    for (const job of lost) this.#settle(job, () => job.reject(error))
    if (this.#slots.every((it) => it.worker === undefined)) {
      const waiting = this.#queue
      this.#queue = []
      for (const job of waiting) this.#settle(job, () => job.reject(this.#dead()))
    }
  }

  /** A new worker takes runs only when it has every model that the others have. */
  async #replace(slot: Slot): Promise<void> {
    this.#startWorker(slot)
    const worker = slot.worker
    for (const [key, { bytes, warmRows }] of [...this.#models]) {
      try {
        await this.#submit({ op: 'load', id: this.#nextId++, key, bytes, warmRows }, [], (job) => this.#send(slot, job))
      } catch (error) {
        // It died again (then `exit` counts it and starts the next), or the runtime has no memory for this model.
        if (slot.worker !== worker) return
        this.#log('model could not be loaded again', { worker: slot.index, key, cause: (error as Error).message })
      }
    }
    if (slot.worker !== worker) return
    slot.ready = true
    this.#dispatch()
  }

  /** Sends a request to every live worker and waits for all answers. */
  async #everywhere(request: () => Request): Promise<(Reply & { ok: true })[]> {
    const live = this.#slots.filter((it) => it.worker)
    if (live.length === 0) throw this.#dead()
    const answers = await Promise.allSettled(
      live.map((slot) => this.#submit(request(), [], (job) => this.#send(slot, job))),
    )
    return answers.map((it) => {
      if (it.status === 'rejected') throw it.reason
      return it.value
    })
  }

  #submit(
    request: Request,
    transfer: readonly ArrayBuffer[],
    place: (job: Job) => void,
    signal?: AbortSignal,
  ): Promise<Reply & { ok: true }> {
    return new Promise((resolve, reject) => {
      const onAbort = () => this.#abort(job, signal?.reason)
      const job: Job = {
        id: request.id,
        request,
        transfer,
        resolve,
        reject,
        signal,
        onAbort,
        sentAt: 0,
        settled: false,
      }
      if (this.#open++ === 0) for (const slot of this.#slots) slot.worker?.ref()
      signal?.addEventListener('abort', onAbort)
      place(job)
    })
  }

  #settle(job: Job, finish: () => void): void {
    if (job.settled) return
    job.settled = true
    job.signal?.removeEventListener('abort', job.onAbort)
    if (--this.#open === 0) for (const slot of this.#slots) slot.worker?.unref()
    finish()
  }

  #abort(job: Job, reason: unknown): void {
    if (job.settled) return
    const waiting = this.#queue.indexOf(job)
    if (waiting >= 0) this.#queue.splice(waiting, 1)
    this.#settle(job, () => job.reject(reason))
  }

  #enqueue(job: Job): void {
    this.#queue.push(job)
    this.#dispatch()
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      let best: Slot | undefined
      for (const slot of this.#slots) {
        if (slot.worker && slot.ready && slot.runs < RUNS_AT_WORKER && (!best || slot.runs < best.runs)) best = slot
      }
      if (!best) return
      best.runs++
      this.#send(best, this.#queue.shift() as Job)
    }
  }

  #send(slot: Slot, job: Job): void {
    slot.jobs.set(job.id, job)
    job.sentAt = performance.now()
    try {
      slot.worker?.postMessage(job.request, job.transfer)
    } catch (error) {
      // An input that can't be cloned (a function, a detached buffer): the caller's mistake, the worker never saw it.
      slot.jobs.delete(job.id)
      if (job.request.op === 'run') slot.runs--
      this.#settle(job, () => job.reject(error))
    }
  }
}

async function copyInPieces(from: Uint8Array, to: Uint8Array): Promise<void> {
  for (let at = 0; at < from.length; at += COPY_BYTES) {
    if (at > 0) await nextTurn()
    to.set(from.subarray(at, at + COPY_BYTES), at)
  }
}

function toList(inputs: Readonly<Record<string, Tensor>>): TensorList {
  const names = Object.keys(inputs)
  const tensors = names.map((it) => inputs[it] as Tensor)
  return {
    names,
    types: tensors.map((it) => it.type),
    dims: tensors.map((it) => it.dims),
    data: tensors.map((it) => compact(it.data)),
  }
}

/** A view of a part would be cloned with its whole buffer: copy the part instead. */
function compact(data: TensorData): TensorData {
  if (!ArrayBuffer.isView(data)) return data
  const view = data as Float32Array
  return view.byteLength === view.buffer.byteLength ? view : view.slice()
}

function ownedBuffers(data: readonly TensorData[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  for (const it of data) if (ArrayBuffer.isView(it) && it.buffer instanceof ArrayBuffer) buffers.add(it.buffer)
  return [...buffers]
}

function fromList(list: TensorList): Record<string, Tensor> {
  const outputs: Record<string, Tensor> = {}
  for (const [i, name] of list.names.entries()) {
    outputs[name] = { type: list.types[i] as string, dims: list.dims[i] as number[], data: list.data[i] as TensorData }
  }
  return outputs
}
