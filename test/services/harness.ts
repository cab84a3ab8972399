/**
 * Real services for tests. Taken from KAFKA_BROKERS, REDIS_URL and SCHEMA_REGISTRY_URL when all are set; else started in
 * Docker when a daemon answers; else as local processes shared by all test files of the run (see supervisor.ts).
 *
 *     const { brokers, redisUrl, registryUrl } = await services()
 *     describe.skipIf(await unavailable())('…', () => { … })
 *
 * Tests that break a service start their own with `processes/*.ts`, so that nobody else's test sees it.
 */
import { execFile, spawn } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { until } from './processes/process.ts'
import { missingTools } from './processes/tools.ts'

export interface Services {
  /** `host:port,…` */
  readonly brokers: string
  readonly redisUrl: string
  readonly registryUrl: string
}

const START_DEADLINE_MS = 120_000

let shared: Promise<Services> | undefined
let told = false

/** The services of this run; started on first use. @throws Error when they can't be had: check `unavailable` first */
export async function services(): Promise<Services> {
  shared ??= find()
  return shared
}

/** Environment variables that point rtml at the services. */
export function environment(found: Services): Record<string, string> {
  return { KAFKA_BROKERS: found.brokers, REDIS_URL: found.redisUrl, SCHEMA_REGISTRY_URL: found.registryUrl }
}

/**
 * True when the service tests can't run here; says once what to install.
 * @throws Error in CI: there, a missing tool is a broken pipeline and not a reason to skip
 */
export async function unavailable(): Promise<boolean> {
  if (fromEnvironment() || (await dockerAnswers())) return false
  return localProcessesUnavailable()
}

/** The same for tests that start, stop and kill their own local processes. */
export function localProcessesUnavailable(): boolean {
  const missing = missingTools()
  if (missing === undefined) return false
  if (process.env.CI === 'true') throw new Error(missing)
  if (!told) process.stderr.write(`skipped: ${missing}\n`)
  told = true
  return true
}

async function find(): Promise<Services> {
  const given = fromEnvironment()
  if (given) return given
  if (await dockerAnswers()) return (await import('./docker.ts')).startInDocker()
  const missing = missingTools()
  if (missing !== undefined) throw new Error(missing)
  return fromSupervisor()
}

function fromEnvironment(): Services | undefined {
  const { KAFKA_BROKERS, REDIS_URL, SCHEMA_REGISTRY_URL } = process.env
  if (!KAFKA_BROKERS || !REDIS_URL || !SCHEMA_REGISTRY_URL) return undefined
  return { brokers: KAFKA_BROKERS, redisUrl: REDIS_URL, registryUrl: SCHEMA_REGISTRY_URL }
}

let docker: Promise<boolean> | undefined
function dockerAnswers(): Promise<boolean> {
  docker ??= promisify(execFile)('docker', ['info', '--format', '{{.ServerVersion}}'], { timeout: 5_000 }).then(
    ({ stdout }) => stdout.trim() !== '',
    () => false,
  )
  return docker
}

async function fromSupervisor(): Promise<Services> {
  const path = join(tmpdir(), `rtml-services-${process.getuid?.() ?? 0}.sock`)
  const socket = await attach(path)
  const answer = await firstLine(socket)
  // The open connection is what keeps the servers alive; it must not keep this process alive.
  socket.unref()
  const found = JSON.parse(answer) as Services & { error?: string }
  if (found.error) throw new Error(found.error)
  return found
}

async function attach(path: string): Promise<Socket> {
  const open = () =>
    new Promise<Socket>((resolve, reject) => {
      const socket = connect(path, () => resolve(socket)).once('error', reject)
    })
  const first = await open().catch(() => undefined)
  if (first) return first
  if (existsSync(path)) rmSync(path)
  const supervisor = fileURLToPath(new URL('supervisor.ts', import.meta.url))
  const pinned = fileURLToPath(new URL('../../node_modules/.bin/node', import.meta.url))
  spawn(existsSync(pinned) ? pinned : process.execPath, [supervisor, path], {
    detached: true,
    stdio: 'ignore',
  }).unref()
  let socket: Socket | undefined
  await until(async () => {
    socket = await open()
  }, 10_000)
  return socket!
}

function firstLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const deadline = setTimeout(() => reject(new Error('the services did not start in time')), START_DEADLINE_MS)
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end < 0) return
      clearTimeout(deadline)
      resolve(text.slice(0, end))
    })
    socket.on('close', () => reject(new Error('the services were stopped')))
  })
}
