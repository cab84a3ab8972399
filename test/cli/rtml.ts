/** The command line as a user starts it: a process of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { within } from '../engine/contract/conditions.ts'

const MAIN = join(import.meta.dirname, '../../processors/cli/main.ts')
const FLAGS = ['--disable-warning=ExperimentalWarning']
const PATIENCE = { deadlineMs: 60_000, testMs: 0 }
const ENVIRONMENT = {
  ...process.env,
  KAFKA_BROKERS: undefined,
  REDIS_URL: undefined,
  SCHEMA_REGISTRY_URL: undefined,
  RTML_DATA_DIR: undefined,
  // As bin/rtml.js sets it.
  NODE_COMPILE_CACHE: join(import.meta.dirname, '../../node_modules/.cache/rtml'),
}

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end. */
export async function rtml(
  args: readonly string[],
  options: { cwd: string; input?: string | undefined; node?: readonly string[] },
): Promise<Finished> {
  const child = spawn(process.execPath, [...FLAGS, ...(options.node ?? [MAIN]), ...args], {
    cwd: options.cwd,
    env: ENVIRONMENT,
  })
  const text = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text.stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text.stderr += chunk))
  // A command that ends before it has read everything is no failure of the test.
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  const [code] = (await within(`rtml ${args.join(' ')} ends`, PATIENCE, once(child, 'close'))) as [number | null]
  return { code, ...text }
}

export interface Service extends AsyncDisposable {
  readonly address: string
  kill(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null>
}

/** `rtml run` that answers `/readyz` with 200. */
export async function runService(cwd: string): Promise<Service> {
  const child = spawn(process.execPath, [...FLAGS, MAIN, 'run', '--port', '0'], {
    cwd,
    env: ENVIRONMENT,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const closed = once(child, 'close') as Promise<[number | null]>
  const kill = async (signal: 'SIGTERM' | 'SIGKILL') => {
    child.kill(signal)
    return (await within(`rtml run ends after ${signal}`, PATIENCE, closed))[0]
  }
  let log = ''
  const flowing = Promise.withResolvers<string>()
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    log += chunk
    const address = /"address":"([^"]+)"/.exec(log)?.[1]
    if (address && log.includes('events flow')) flowing.resolve(address)
  })
  void closed.then(([code]) => flowing.reject(new Error(`rtml run ended with ${code}: ${log}`)))
  flowing.promise.catch(() => {})
  const address = await within('rtml run starts', PATIENCE, flowing.promise)
  return {
    address,
    kill,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) await kill('SIGKILL')
    },
  }
}
