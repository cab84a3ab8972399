import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { RtmlError } from '../app/errors.ts'
import { type LoadedApplication, loadApplication } from '../app/load.ts'
import { READY_MAPPINGS } from '../mapper/index.ts'
import type { PlanOptions } from '../topology.ts'
import { PACKAGE_ROOT } from './package-root.ts'

export const DEFAULT_FILE = 'rtml.yaml'

export type Env = Readonly<Record<string, string | undefined>>

export interface OpenedApplication extends LoadedApplication {
  /** As it was named. */
  readonly file: string
  /** What `planApplication` needs besides. */
  readonly planOptions: PlanOptions
}

/** Reads and validates an application file from disk. @throws RtmlError CONFIG */
export function openApplicationFile(file: string, env: Env): OpenedApplication {
  const path = resolve(file)
  const baseDir = dirname(path)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const message = `can't be read (${(cause as NodeJS.ErrnoException).code}). Name one with --app, or make one: rtml init`
    throw new RtmlError('CONFIG', message, { place: file, cause })
  }
  const lookUp = (name: string) => env[name]
  const loaded = loadApplication(text, {
    file: relative('.', path) || file,
    env: lookUp,
    mappings: READY_MAPPINGS,
    readFile: (name) => readText(join(baseDir, name)),
  })
  return { ...loaded, file, planOptions: planOptions(loaded, baseDir, env) }
}

export function planOptions({ app }: Pick<LoadedApplication, 'app'>, baseDir: string, env: Env): PlanOptions {
  return {
    app,
    env: (name) => env[name],
    readFile: (name) =>
      readFile(name.startsWith('schemas/mappings/') ? join(PACKAGE_ROOT, name) : resolve(baseDir, name), 'utf8'),
    models: { baseDir, fetch: globalThis.fetch, readFile: (name) => readFile(name) },
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
