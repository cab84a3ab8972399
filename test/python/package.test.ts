/** The Python package as its own tools see it: tests, types, lint, format, wheel. */
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { executableOf, findPython, type Python } from '../unit/outputs/python.ts'

const PACKAGE = join(import.meta.dirname, '../../models/python')
const run = promisify(execFile)

describe('models/python', () => {
  let python: Python
  let out: string
  beforeAll(async () => {
    python = await findPython(join(PACKAGE, 'requirements.txt'))
    out = await mkdtemp(join(tmpdir(), 'rtml-python-'))
  }, 300_000)
  afterAll(() => rm(out, { recursive: true, force: true }))

  async function tool(...args: string[]): Promise<string> {
    const env = { ...process.env, PYTHONPATH: join(PACKAGE, 'src'), RTML_NODE: process.execPath }
    const options = { cwd: PACKAGE, env, timeout: 170_000, maxBuffer: 16_777_216 }
    const { stdout } = await run(executableOf(python), ['-m', ...args], options).catch((error) => {
      throw new Error(`${args.join(' ')}\n${error.stdout}\n${error.stderr}`)
    })
    return stdout
  }

  it('passes its own tests', async ({ skip }) => {
    if (python.kind === 'missing') return skip(python.reason)
    expect(await tool('pytest', '-q', '-p', 'no:cacheprovider')).toMatch(/\d+ passed/)
  }, 180_000)

  it('has no type errors', async ({ skip }) => {
    if (python.kind === 'missing') return skip(python.reason)
    expect(await tool('mypy', '--cache-dir', join(out, 'mypy'))).toContain('Success')
  }, 180_000)

  it('is linted and formatted', async ({ skip }) => {
    if (python.kind === 'missing') return skip(python.reason)
    expect(await tool('ruff', 'check', '--no-cache', '.')).toContain('All checks passed')
    expect(await tool('ruff', 'format', '--no-cache', '--check', '.')).toContain('already formatted')
  }, 60_000)

  it('builds a wheel with all its packages and the schema', async ({ skip }) => {
    if (python.kind === 'missing') return skip(python.reason)
    await tool('build', '--wheel', '--no-isolation', '--outdir', out)
    const [wheel] = (await readdir(out)).filter((name) => name.endsWith('.whl'))
    const names = (await tool('zipfile', '-l', join(out, wheel ?? ''))).split('\n').map((line) => line.split(' ')[0])
    for (const name of [
      'rtml/graph.schema.json',
      'rtml/py.typed',
      'rtml_sdk/edge/utils.py',
      'rtml_nodelibs/core/nodefactory.py',
      'platform_sdk/dataset_reader.py',
    ])
      expect(names).toContain(name)
  }, 120_000)
})
