/** A local server process under test control: start, stop, kill, freeze. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'

export interface Controlled {
  /** Ends it gracefully (SIGTERM) and waits until it is gone. */
  stop(): Promise<void>
  /** Starts it again on the same port with the same data and waits until it answers. */
  start(): Promise<void>
  /** Ends it like a power cut (SIGKILL). */
  kill(): Promise<void>
  restart(): Promise<void>
  /** Freezes it: connections stay open, nothing answers. */
  freeze(): void
  thaw(): void
}

export interface ProcessSpec {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Record<string, string>
  /** Folder of its data and its log. */
  readonly dir: string
  /** Resolves when the server answers, rejects while it doesn't. */
  readonly ready: () => Promise<void>
}

const READY_DEADLINE_MS = 60_000
const STOP_DEADLINE_MS = 20_000

export class ServerProcess implements Controlled {
  readonly #spec: ProcessSpec
  #child: ChildProcess | undefined
  #exited: Promise<void> = Promise.resolve()

  constructor(spec: ProcessSpec) {
    this.#spec = spec
  }

  async start(): Promise<void> {
    if (this.#child) return
    const { name, command, args, env, dir, ready } = this.#spec
    const log = openSync(join(dir, `${name}.log`), 'a')
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', log, log], cwd: dir })
    closeSync(log)
    this.#child = child
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => resolve())
      child.once('error', () => resolve())
    })
    void this.#exited.then(() => {
      if (this.#child === child) this.#child = undefined
    })
    await until(ready, READY_DEADLINE_MS, () => {
      if (this.#child !== child) throw new Error(`${name} ended while starting:\n${this.log(2_000)}`)
    }).catch((error: unknown) => {
      throw new Error(`${name} did not become ready: ${String(error)}\n${this.log(2_000)}`)
    })
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  /** Last bytes of its log. */
  log(bytes: number): string {
    return readFileSync(join(this.#spec.dir, `${this.#spec.name}.log`), 'utf8').slice(-bytes)
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (!child) return
    child.kill('SIGCONT')
    child.kill(signal)
    const deadline = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS)
    await this.#exited
    clearTimeout(deadline)
  }
}

/** Polls `probe` until it resolves. @throws the last failure after `deadlineMs`, or what `check` throws at once */
export async function until(
  probe: () => Promise<unknown>,
  deadlineMs: number,
  check: () => void = () => {},
): Promise<void> {
  const end = Date.now() + deadlineMs
  for (;;) {
    check()
    try {
      await probe()
      return
    } catch (error) {
      if (Date.now() > end) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

/** A TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise<void>((resolve) => server.close(() => resolve()))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

export async function accepts(port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve()
    })
    socket.once('error', reject)
  })
}
