/** `rtml run` processes, as an orchestrator keeps them: what ends is started anew. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../processors/cli/main.ts', import.meta.url))
export const APPLICATION = fileURLToPath(new URL('rtml.yaml', import.meta.url))

const STOP_DEADLINE_MS = 30_000
const RESTART_AFTER_MS = 500
const REPORT_SIGNAL = 'SIGUSR2'
const REPORT_MS = 2_000

interface Worker {
  readonly name: string
  readonly child: ChildProcess
  readonly exited: Promise<void>
  /** We end it, so it isn't started anew. */
  isEnding: boolean
  isFrozen: boolean
}

export class Workers implements AsyncDisposable {
  readonly #env: Readonly<Record<string, string>>
  readonly #dir: string
  readonly #live = new Set<Worker>()
  #made = 0
  #isClosed = false
  /** Ends that nobody asked for, in words. */
  readonly unexpected: string[] = []

  constructor(options: { env: Readonly<Record<string, string>>; dir: string }) {
    this.#env = options.env
    this.#dir = options.dir
  }

  get count(): number {
    return this.#live.size
  }

  start(): void {
    const name = `worker-${++this.#made}`
    const log = openSync(join(this.#dir, `${name}.log`), 'a')
    // A worker that doesn't end writes down what it waits for, before it is killed.
    const reporting = ['--report-on-signal', `--report-signal=${REPORT_SIGNAL}`, `--report-directory=${this.#dir}`]
    const args = [
      '--disable-warning=ExperimentalWarning',
      ...reporting,
      MAIN,
      'run',
      '--app',
      APPLICATION,
      '--port',
      '0',
    ]
    const child = spawn(process.execPath, args, {
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()).once('error', () => resolve()))
    const worker: Worker = { name, child, exited, isEnding: false, isFrozen: false }
    this.#live.add(worker)
    void exited.then(() => this.#ended(worker))
  }

  /** SIGKILL, and another one `downMs` later. */
  async kill(victim: number, downMs: number): Promise<void> {
    const worker = this.#choose(victim)
    if (!worker) return
    worker.isEnding = true
    worker.child.kill('SIGKILL')
    await worker.exited
    await pause(downMs)
    if (!this.#isClosed) this.start()
  }

  /** SIGSTOP for a while: nothing is told to anybody, and nothing is answered. */
  async freeze(victim: number, forMs: number): Promise<void> {
    const worker = this.#choose(victim)
    if (!worker) return
    worker.isFrozen = true
    worker.child.kill('SIGSTOP')
    await pause(forMs)
    worker.child.kill('SIGCONT')
    worker.isFrozen = false
  }

  /** SIGTERM: it hands over what it has. */
  async leave(victim: number): Promise<void> {
    const worker = this.#choose(victim)
    if (worker) await this.#stop(worker)
  }

  /** Ends all, gracefully. */
  async stopAll(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#live].map((worker) => this.#stop(worker)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    for (const worker of this.#live) {
      worker.isEnding = true
      worker.child.kill('SIGKILL')
      await worker.exited
    }
  }

  #choose(victim: number): Worker | undefined {
    const free = [...this.#live].filter(({ isEnding, isFrozen }) => !isEnding && !isFrozen)
    return free[Math.floor(victim * free.length)]
  }

  async #stop(worker: Worker): Promise<void> {
    worker.isEnding = true
    worker.child.kill('SIGCONT')
    worker.child.kill('SIGTERM')
    const deadline = setTimeout(() => {
      this.unexpected.push(`${worker.name} had not stopped ${STOP_DEADLINE_MS / 1_000} s after SIGTERM`)
      worker.child.kill(REPORT_SIGNAL)
      void pause(REPORT_MS).then(() => worker.child.kill('SIGKILL'))
    }, STOP_DEADLINE_MS)
    await worker.exited
    clearTimeout(deadline)
  }

  async #ended(worker: Worker): Promise<void> {
    this.#live.delete(worker)
    if (worker.isEnding) {
      // It gave up a drain that it should have finished; one that we killed has a signal and no code.
      if (worker.child.exitCode)
        this.unexpected.push(`${worker.name} ended with ${worker.child.exitCode} after SIGTERM`)
      return
    }
    this.unexpected.push(`${worker.name} ended with ${worker.child.signalCode ?? worker.child.exitCode}`)
    await pause(RESTART_AFTER_MS)
    if (!this.#isClosed) this.start()
  }
}

export const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds))
