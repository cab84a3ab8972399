/** A Python with the packages of a requirements.txt, in node_modules/.cache, made once for each version of that file. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '../../..')
const REQUIREMENTS = join(import.meta.dirname, 'requirements.txt')
const LIMITS = { timeout: 280_000, maxBuffer: 64 * 1_048_576 }

export type Python =
  | { readonly kind: 'ready'; readonly executable: string }
  | { readonly kind: 'missing'; readonly reason: string }

/** @throws Error when Python is missing where CI is set: there the tests must run */
export async function findPython(requirements: string = REQUIREMENTS): Promise<Python> {
  const python = await prepare(requirements).catch(
    (error: Error): Python => ({ kind: 'missing', reason: error.message.split('\n').slice(0, 3).join(' ') }),
  )
  if (python.kind === 'missing') {
    if (process.env.CI) throw new Error(`Python tests must run in CI: ${python.reason}`)
    process.stderr.write(`Python tests are left out: ${python.reason}\n`)
  }
  return python
}

async function prepare(requirements: string): Promise<Python> {
  const digest = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex')
    .slice(0, 12)
  const cache = join(ROOT, 'node_modules/.cache/rtml-python')
  const home = join(cache, digest)
  const executable = join(home, 'bin/python')
  if (existsSync(join(home, 'complete'))) return { kind: 'ready', executable }
  await mkdir(cache, { recursive: true })
  // Made aside and moved: two test processes may do this at the same time.
  const aside = join(cache, `${digest}-${process.pid}`)
  await run('python3', ['-m', 'venv', aside], LIMITS)
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements]
  await run(join(aside, 'bin/python'), pip, LIMITS)
  await run('touch', [join(aside, 'complete')])
  await rename(aside, home).catch(() => rm(aside, { recursive: true, force: true }))
  return { kind: 'ready', executable }
}

/** @throws Error with the reason when there is no Python */
export function executableOf(python: Python): string {
  if (python.kind === 'missing') throw new Error(python.reason)
  return python.executable
}

/** Runs a script and reads its standard output as JSON. @throws Error with its standard error when it fails */
export async function runPython(python: Python, script: string, args: readonly string[]): Promise<unknown> {
  const { stdout } = await run(executableOf(python), [script, ...args], { ...LIMITS, cwd: ROOT })
  return JSON.parse(stdout)
}
