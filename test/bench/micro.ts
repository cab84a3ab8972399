import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** Benchmarks of single steps: scripts of this folder that print `[{ name | expression, microseconds | ns }]` for --json. */
const NOT_MICRO = new Set(['edge.ts', 'main.ts', 'micro.ts', 'profile.ts', 'report.ts', 'services.ts'])

export interface Micro {
  readonly suite: string
  readonly name: string
  readonly microseconds: number
}

/** Runs all of them, one after the other, each in its own process, and prints one table or one line of JSON. */
export async function runMicro({ isJson }: { isJson: boolean }): Promise<void> {
  const folder = fileURLToPath(new URL('.', import.meta.url))
  const files = (await readdir(folder)).filter((it) => /^[\w-]+\.ts$/.test(it) && !NOT_MICRO.has(it)).sort()
  const results: Micro[] = []
  for (const file of files) {
    process.stderr.write(`bench: ${file}\n`)
    const { stdout } = await promisify(execFile)(process.execPath, [`${folder}${file}`, '--json'])
    results.push(...resultsOf(file.replace(/\.ts$/, ''), JSON.parse(stdout) as Printed[]))
  }
  if (isJson) return void process.stdout.write(`${JSON.stringify(results)}\n`)
  for (const { suite, name, microseconds } of results)
    process.stdout.write(`${microseconds.toFixed(3).padStart(9)} µs  ${suite}: ${name}\n`)
}

type Printed = { name?: string; expression?: string; microseconds?: number; ns?: number }

const resultsOf = (suite: string, printed: readonly Printed[]): Micro[] =>
  printed.map(({ name, expression, microseconds, ns }) => ({
    suite,
    name: name ?? expression ?? '',
    microseconds: microseconds ?? (ns ?? Number.NaN) / 1_000,
  }))
