/** A model of every kind: trained, exported, and scored equal to its Python original, by Python's runtime and by the scorer. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { executableOf, findPython } from '../unit/outputs/python.ts'
import { type Replayed, replayKinds } from './kinds.ts'

const PACKAGE = join(import.meta.dirname, '../../models/python')
const KINDS = [
  'boosting-regressor',
  'column-transformer',
  'decision-tree',
  'gradient-boosting',
  'hist-gradient-boosting',
  'k-means',
  'lightgbm',
  'linear-regression',
  'logistic-regression',
  'quantised',
  'random-forest',
  'standard-scaler',
  'svm',
  'svm-classifier',
  'text-hashing',
]
/** Int8 has its price; everything else is equal. */
const LOSS = new Map([['quantised', 0.1]])

interface Trained {
  readonly kind: string
  readonly rows: number
  readonly maxAbsDifference: number
  readonly 'shareAbove1e-5': number
}

const python = await findPython(join(PACKAGE, 'requirements.txt'))

describe.skipIf(python.kind === 'missing')('model kinds', () => {
  let out: string
  let trained: Map<string, Trained>
  let replayed: Map<string, Replayed>
  beforeAll(async () => {
    out = await mkdtemp(join(tmpdir(), 'rtml-kinds-'))
    const env = { ...process.env, PYTHONPATH: join(PACKAGE, 'src') }
    const { stdout } = await promisify(execFile)(executableOf(python), [join(PACKAGE, 'kinds.py'), out], {
      env,
      timeout: 280_000,
    })
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Trained)
    trained = new Map(lines.map((line) => [line.kind, line]))
    replayed = new Map((await replayKinds(out)).map((line) => [line.kind, line]))
  }, 300_000)
  afterAll(() => rm(out, { recursive: true, force: true }))

  it('trains all of them', () => {
    expect([...trained.keys()].sort()).toEqual(KINDS)
  })

  it.each(KINDS)('%s: 1,000 rows as the Python original scores them', (kind) => {
    const { rows, maxAbsDifference, 'shareAbove1e-5': share } = trained.get(kind)!
    expect(rows).toBe(1_000)
    const loss = LOSS.get(kind)
    if (loss === undefined) expect(share).toBe(0)
    else expect(maxAbsDifference).toBeLessThan(loss)
    expect(replayed.get(kind)).toMatchObject({ rows: 1_000, difference: undefined })
    expect(replayed.get(kind)!.largest).toBeLessThan(1e-5)
  })
})
