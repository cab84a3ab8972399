/** What the local processes need from the machine, and where the jars are kept. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const here = fileURLToPath(new URL('..', import.meta.url))

export const KAFKA_VERSION = '3.9.1'
export const REGISTRY_VERSION = '2.6.13.Final'

const cache = process.env.RTML_SERVICES_CACHE ?? join(homedir(), '.cache', 'rtml-services')
const MAVEN_DEADLINE_MS = 300_000

function onPath(command: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, command)))
}

/** One line that says what to install, or undefined when local processes can run. */
export function missingTools(): string | undefined {
  const jars =
    existsSync(join(cache, `kafka-${KAFKA_VERSION}`)) && existsSync(join(cache, `apicurio-${REGISTRY_VERSION}`))
  const missing = [
    onPath('java') ? '' : 'openjdk-17-jre-headless',
    jars || onPath('mvn') ? '' : 'maven',
    onPath('redis-server') ? '' : 'redis-server',
    onPath('openssl') ? '' : 'openssl',
  ].filter((name) => name !== '')
  if (missing.length === 0) return undefined
  return `service tests need Docker, or: apt-get install -y ${missing.join(' ')} (or set KAFKA_BROKERS, REDIS_URL and SCHEMA_REGISTRY_URL)`
}

/** Folder of the broker's jars; fetched from Maven Central on first use. */
export async function kafkaJars(): Promise<string> {
  return cached(`kafka-${KAFKA_VERSION}`, (folder) =>
    maven('kafka', 'copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${folder}`),
  )
}

/** Folder of the registry's distribution. */
export async function registryHome(): Promise<string> {
  return cached(`apicurio-${REGISTRY_VERSION}`, (folder) =>
    maven('registry', 'unpack-dependencies', `-DoutputDirectory=${folder}`),
  )
}

/** Fills a folder once, atomically: two processes may race, one of them wins. */
export async function cached(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cache, name)
  if (existsSync(folder)) return folder
  await mkdir(cache, { recursive: true })
  const draft = await mkdtemp(join(cache, `${name}-draft-`))
  await fill(draft)
  await rename(draft, folder).catch(async (error: unknown) => {
    await rm(draft, { recursive: true, force: true })
    if (!existsSync(folder)) throw error
  })
  return folder
}

/** Runs a goal of the dependency plugin on `test/services/<pom>/pom.xml`. */
async function maven(pom: string, goal: string, ...options: string[]): Promise<void> {
  const args = ['-q', '-B', '-f', join(here, pom, 'pom.xml'), `dependency:${goal}`, ...options]
  await run('mvn', args, { timeout: MAVEN_DEADLINE_MS })
}

export async function java(args: readonly string[]): Promise<void> {
  await run('java', [...args], { timeout: 60_000 })
}

/** A new folder for one server's data. */
export async function dataFolder(name: string): Promise<string> {
  return mkdtemp(join(tmpdir(), `rtml-${name}-`))
}
