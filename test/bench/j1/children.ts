/** Parts of the benchmark run in processes of their own, so that what is measured is measured alone. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Where a part finds the engine, and what it does there. */
export interface PartOptions {
  readonly env: Record<string, string>
  /** Directory of the embedded engine. */
  readonly dataDir: string
  readonly events: number
  readonly seed: number
  /** Events a second, where a part has a pace. */
  readonly rate?: number
}

export interface Part<Result> {
  readonly process: ChildProcess
  /** What the part returned. @throws Error with what it wrote on its standard error */
  readonly result: Promise<Result>
  /** Resolves when it says that it is ready. */
  readonly ready: Promise<void>
  /** Tells it to finish. */
  stop(): void
}

type Message = { kind: 'ready' } | { kind: 'result'; result: unknown }

/** Starts `file` (beside this one) with `options`. */
export function start<Result>(file: string, options: PartOptions, execArgv: readonly string[] = []): Part<Result> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [JSON.stringify(options)], {
    execArgv: [...execArgv],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, ...options.env },
    serialization: 'advanced',
  })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-8_000)
  })
  const ready = Promise.withResolvers<void>()
  const result = Promise.withResolvers<Result>()
  child.on('message', (message: Message) => {
    if (message.kind === 'ready') ready.resolve()
    else result.resolve(message.result as Result)
  })
  child.on('close', (code, signal) => {
    const error = new Error(`${file} ended with ${signal ?? code}: ${stderr.trim()}`)
    result.reject(error)
    ready.reject(error)
  })
  ready.promise.catch(() => {})
  result.promise.catch(() => {})
  return { process: child, result: result.promise, ready: ready.promise, stop: () => child.send({ kind: 'stop' }) }
}

/** Starts a part and waits for its end. */
export async function run<Result>(
  file: string,
  options: PartOptions,
  execArgv: readonly string[] = [],
): Promise<Result> {
  const part = start<Result>(file, options, execArgv)
  const result = await part.result
  await new Promise((resolve) => (part.process.exitCode === null ? part.process.once('close', resolve) : resolve(0)))
  return result
}

/** What a part's own file calls: runs `work` and reports what it returns. */
export async function part<Result>(
  work: (options: PartOptions, control: { ready(): void; stopped: Promise<void> }) => Promise<Result>,
): Promise<void> {
  const stopped = new Promise<void>((resolve) => {
    process.on('message', (message: { kind: string }) => {
      if (message.kind === 'stop') resolve()
    })
  })
  const send = (message: Message) =>
    new Promise<void>((resolve, reject) =>
      process.send?.(message, (error: Error | null) => (error ? reject(error) : resolve())),
    )
  const options = JSON.parse(process.argv[2] ?? '{}') as PartOptions
  const result = await work(options, { ready: () => void send({ kind: 'ready' }), stopped })
  await send({ kind: 'result', result })
  process.disconnect()
}
