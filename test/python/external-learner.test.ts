/** The example of a learner outside of rtml, as a user runs it: export, retrain with scikit-learn, push back. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { rtml } from '../cli/rtml.ts'
import { APP, append, examples, openData, openModels, prepare, shop } from '../learning/harness.ts'
import { findPython } from '../unit/outputs/python.ts'

const ROOT = join(import.meta.dirname, '../..')
// The same versions as in the example's requirements.txt, in an environment that other tests have made already.
const REQUIREMENTS = join(ROOT, 'models/python/requirements.txt')

it('retrains on exported examples and comes back as a shadow', async ({ skip }) => {
  const python = await findPython(REQUIREMENTS)
  if (python.kind === 'missing') return skip(python.reason)
  await using folder = await shop(APP)
  const { dir, plan } = folder
  {
    await using engine = await openData(dir)
    await prepare(engine, plan)
    await append(engine, plan, examples({ count: 600 }))
  }
  const data = ['--data', join(dir, 'data')]
  const exported = await rtml(['export', 'examples', '--label', 'buy', '--out', 'examples.jsonl', ...data], {
    cwd: dir,
  })
  expect(exported.stderr).toContain('600 examples')

  const train = join(ROOT, 'examples/external-learner/train.py')
  const { stdout } = await promisify(execFile)(python.executable, [train, 'examples.jsonl', 'model.onnx'], { cwd: dir })
  const figures = JSON.parse(stdout)
  expect(figures).toMatchObject({ examples: 600, inputs: ['a', 'b'] })
  expect(figures.auc).toBeGreaterThan(0.85)

  await writeFile(
    join(dir, 'manifest.json'),
    JSON.stringify({ inputs: figures.inputs, output: { tensor: 'probabilities', class: 1 } }),
  )
  const push = ['push', 'model.onnx', '--for', 'retrained', '--service', 'buy', '--manifest', 'manifest.json']
  const pushed = await rtml(['models', ...push, '--version', '1', ...data], { cwd: dir })
  expect(pushed).toMatchObject({ code: 0, stderr: '' })
  await using engine = await openData(dir)
  const models = await openModels(engine, plan)
  const { roles } = models.gallery.service('buy')!.revisions.at(-1)!
  expect(roles).toContainEqual(expect.objectContaining({ model: 'retrained', version: '1', role: 'shadow' }))
}, 300_000)
