/** The notebooks run clean, against an engine that each starts itself. RTML_NOTEBOOKS=all: also those that take longer. */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rtml } from '../cli/rtml.ts'
import { executableOf, findPython } from '../unit/outputs/python.ts'

const ROOT = join(import.meta.dirname, '../..')
const NOTEBOOKS = join(ROOT, 'models/notebooks')
const QUICK = ['1-author-from-scratch', '2-bring-your-own-onnx', '4-custom-operator']
const run = promisify(execFile)

const python = await findPython(join(ROOT, 'models/python/requirements.txt'))

describe.skipIf(python.kind === 'missing')('notebooks', async () => {
  const names = (await readdir(NOTEBOOKS)).filter((name) => name.endsWith('.ipynb')).map((name) => name.slice(0, -6))
  const hasTorch =
    python.kind === 'ready' &&
    (await run(python.executable, ['-c', 'import torch']).then(
      () => true,
      () => false,
    ))
  const chosen =
    process.env.RTML_NOTEBOOKS === 'all' ? names.filter((name) => hasTorch || !name.startsWith('3')) : QUICK
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rtml-notebooks-'))
    await cp(NOTEBOOKS, dir, { recursive: true })
  })
  afterAll(() => rm(dir, { recursive: true, force: true }))

  it.each(chosen)(
    '%s',
    async (name) => {
      const env = {
        ...process.env,
        PYTHONPATH: join(ROOT, 'models/python/src'),
        PYTHONWARNINGS: 'ignore',
        RTML_NODE: process.execPath,
        RTML_MODEL_STORE: join(dir, 'store'),
      }
      const args = ['-m', 'nbconvert', '--to', 'notebook', '--execute', '--inplace', `${name}.ipynb`]
      await run(executableOf(python), args, { cwd: dir, env, timeout: 150_000, maxBuffer: 16_777_216 })
      const { cells } = JSON.parse(await readFile(join(dir, `${name}.ipynb`), 'utf8')) as {
        cells: { outputs?: { output_type: string }[] }[]
      }
      expect(cells.flatMap(({ outputs = [] }) => outputs).filter(({ output_type }) => output_type === 'error')).toEqual(
        [],
      )
    },
    160_000,
  )

  it.each(names)('%s is kept with its outputs, and names no folder of the machine that made them', async (name) => {
    const text = await readFile(join(NOTEBOOKS, `${name}.ipynb`), 'utf8')
    const { cells } = JSON.parse(text) as { cells: { cell_type: string; execution_count?: number | null }[] }
    expect(cells.filter((it) => it.cell_type === 'code').every(({ execution_count }) => execution_count)).toBe(true)
    expect(text).not.toMatch(/\/(tmp|root|home|work)\//)
  })

  it('rtml notebook says what the Python lacks, and how to install it', async () => {
    const empty = await mkdtemp(join(tmpdir(), 'rtml-notebook-'))
    try {
      const result = await rtml(['notebook', '--check', '--python', executableOf(python)], { cwd: empty })
      expect(result.code).toBe(1)
      expect(result.stderr).toMatch(/has no rtml, jupyterlab.*pip install '.*models\/python\[sklearn,notebook\]'/)
    } finally {
      await rm(empty, { recursive: true, force: true })
    }
  }, 60_000)
})
