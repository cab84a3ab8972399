import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '../../..')
const run = promisify(execFile)

interface Figures {
  readonly labels: number
  readonly auc: number
  readonly logLoss: number
  readonly accuracy: number
  readonly f1: number
  readonly rmse: number
  readonly calibrationError: number
}
interface Result extends Figures {
  readonly events: number
  readonly eventsPerSecond: number
  readonly curve: readonly Figures[]
  readonly baselines: { readonly prior: Figures; readonly noChange: Figures }
  readonly learners: Readonly<Record<string, Result>>
  readonly slices?: Readonly<Record<string, Figures>>
  readonly leaks: readonly { readonly feature: string }[]
  readonly joins: Readonly<Record<string, { readonly settled: number }>>
}

/** Runs the command as a user would. */
async function rtml(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    const { stdout, stderr } = await run(process.execPath, [join(ROOT, 'bin/rtml.js'), ...args], {
      cwd: ROOT,
      maxBuffer: 67_108_864,
      timeout: 110_000,
    })
    return { code: 0, stdout, stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, stdout, stderr }
  }
}

async function evaluate(...args: string[]): Promise<Result> {
  const { code, stdout, stderr } = await rtml('evaluate', ...args, '--json')
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return JSON.parse(stdout) as Result
}

describe('rtml evaluate', () => {
  const dir = { path: '' }
  beforeAll(async () => {
    dir.path = await mkdtemp(join(tmpdir(), 'rtml-evaluate-'))
  })
  afterAll(() => rm(dir.path, { recursive: true }))
  const file = async (name: string, text: string): Promise<string> => {
    const path = join(dir.path, name)
    await writeFile(path, text)
    return path
  }

  it('beats the published online figures on phishing', async () => {
    const result = await evaluate(
      '--app',
      'examples/phishing/rtml.yaml',
      '--input',
      'examples/phishing/phishing.csv.gz',
    )
    expect(result).toMatchObject({ events: 1_250, labels: 1_250, leaks: [] })
    const { linear, network, forest } = result.learners
    // River: StandardScaler + LogisticRegression, AUC 95.04 %; StandardScaler + FTRLProximal, F1 87.56 %.
    expect(linear!.auc).toBeGreaterThan(0.9504)
    expect(linear!.f1).toBeGreaterThan(0.8756)
    expect(network!.auc).toBeGreaterThan(0.9504)
    expect(forest!.auc).toBeGreaterThan(0.9504)
    // The published learning curve, at 200 … 1,000 labels.
    const published = { 200: 0.898, 400: 0.9209, 600: 0.9313, 800: 0.9399, 1000: 0.9474 }
    for (const [labels, auc] of Object.entries(published)) {
      expect(linear!.curve.find((point) => point.labels === Number(labels))!.auc).toBeGreaterThan(auc)
    }
    expect(linear!.baselines.prior.auc).toBeLessThan(0.55)
    expect(linear!.baselines.noChange.accuracy).toBeLessThan(0.6)
    expect(result.eventsPerSecond).toBeGreaterThan(0)
  })

  it('is deterministic, and worse when labels come later', async () => {
    const phishing = ['--app', 'examples/phishing/rtml.yaml', '--input', 'examples/phishing/phishing.csv.gz']
    const args = [...phishing, '--learner', 'linear']
    const [first, second, delayed] = [
      await evaluate(...args),
      await evaluate(...args),
      await evaluate(...args, '--delay', '300'),
    ]
    const timeless = ({ eventsPerSecond: _, ...rest }: Result) => ({ ...rest, seconds: 0 })
    expect(timeless(first)).toEqual(timeless(second))
    expect(delayed.labels).toBe(1_250)
    expect(delayed.auc).toBeLessThan(first.auc)
  })

  it('learns bank marketing without the duration of the call, above both baselines', async () => {
    const result = await evaluate(
      '--app',
      'examples/bank/rtml.yaml',
      '--input',
      'examples/bank/bank-additional-full.csv.gz',
      '--learner',
      'linear',
      '--slice',
      '_rtml.contact',
    )
    expect(result).toMatchObject({ events: 41_188, labels: 41_188, leaks: [] })
    expect(result.auc).toBeGreaterThan(0.795)
    expect(result.auc).toBeGreaterThan(result.baselines.prior.auc + 0.02)
    expect(result.logLoss).toBeLessThan(result.baselines.noChange.logLoss - 0.05)
    expect(result.calibrationError).toBeLessThan(0.02)
    expect(Object.keys(result.slices!).sort()).toEqual(['cellular', 'telephone'])
  }, 120_000)

  it('joins the outcomes of the demo’s visitors', async () => {
    const result = await evaluate('--app', 'examples/luma/rtml.yaml', '--input', 'examples/luma/luma_events.jsonl.gz')
    expect(result.events).toBe(23_055)
    expect(result.joins.purchase!.settled).toBe(result.labels)
    expect(result.auc).toBeGreaterThan(result.baselines.prior.auc + 0.05)
    expect(result.logLoss).toBeLessThan(result.baselines.prior.logLoss)
    expect(result.logLoss).toBeLessThan(result.baselines.noChange.logLoss)
  }, 120_000)

  it('takes any other table with an application file alone: quantities, classes, counts, out of order, no learner named', async () => {
    const app = await file(
      'app.yaml',
      `rtml: 1
name: table
schema: { fields: { size: number, colour: string, price: number, kind: string, visits: integer } }
sources:
  rows:
    mapping:
      mapping: rows
      format: csv
      fields:
        _id: id
        timestamp: at
        identityMap.Row: id
        $tenant.size: to_decimal(size)
        $tenant.colour: colour
        $tenant.price: to_decimal(price)
        $tenant.kind: kind
        $tenant.visits: to_integer(visits)
features:
  size: { kind: event, value: _rtml.size }
  colour: { kind: event, value: _rtml.colour, encode: { hash: 32 } }
labels:
  price: { type: number, value: _rtml.price }
  kind: { type: classes, classes: [small, middle, large], value: _rtml.kind }
  visits: { type: count, value: _rtml.visits }
`,
    )
    const rows = Array.from({ length: 1_000 }, (_, i) => {
      const size = (i * 7_919) % 100
      const kind = size < 33 ? 'small' : size < 66 ? 'middle' : 'large'
      const colour = ['red', 'green', 'blue'][i % 3]!
      const at = new Date(1_700_000_000_000 + i * 60_000).toISOString()
      return `r${i},${at},${size},${colour},${size * 10 + (i % 3) * 100},${kind},${Math.floor(size / 10)}`
    })
    // The file is in another order than time.
    const text = ['id,at,size,colour,price,kind,visits', ...rows.toReversed()].join('\n')
    const { learners, labels } = await evaluate('--app', app, '--input', await file('rows.csv', text))
    expect(labels).toBe(1_000)
    expect(learners.price!.rmse).toBeLessThan(learners.price!.baselines.prior.rmse / 4)
    expect(learners.visits!.rmse).toBeLessThan(learners.visits!.baselines.prior.rmse / 2)
    expect(learners.kind!.accuracy).toBeGreaterThan(0.85)
    expect(learners.kind!.auc).toBeNull()
  })

  it('runs the example of its own page', async () => {
    const page = await readFile(join(ROOT, 'docs/evaluate.md'), 'utf8')
    const app = await file('fraud.yaml', /```yaml\n([\s\S]*?)```/.exec(page)![1]!)
    const rows = Array.from({ length: 600 }, (_, i) => {
      const at = new Date(1_700_000_000_000 + i * 60_000).toISOString()
      const country = ['DE', 'FR', 'XX', 'IT'][i % 4]!
      return `${at},u${i % 17},${(i * 31) % 100},${country},${country === 'XX' ? 'yes' : 'no'}`
    })
    const input = await file('fraud.csv', ['at,user,amount,country,fraud', ...rows].join('\n'))
    const { events, auc, baselines } = await evaluate('--app', app, '--input', input)
    expect(events).toBe(600)
    expect(auc).toBeGreaterThan(0.95)
    expect(baselines.prior.auc).toBeLessThan(0.6)
  })

  it('flags a feature that gives the answer away', async () => {
    const app = await file(
      'leak.yaml',
      `rtml: 1
name: leak
schema: { fields: { a: number, y: number } }
sources:
  rows: { mapping: { mapping: rows, format: csv, fields: { timestamp: raw.time, identityMap.Row: raw.place, $tenant.a: to_decimal(a), $tenant.y: to_decimal(y) } } }
features:
  a: { kind: event, value: _rtml.a }
  answer: { kind: event, value: _rtml.y }
labels: { y: { value: _rtml.y } }
`,
    )
    const rows = Array.from({ length: 400 }, (_, i) => `${(i * 37) % 50},${(i * 13) % 5 === 0 ? 1 : 0}`)
    const { leaks } = await evaluate('--app', app, '--input', await file('leak.csv', ['a,y', ...rows].join('\n')))
    expect(leaks.map(({ feature }) => feature)).toEqual(['answer'])
  })

  it.each([
    ['no file', ['--app', 'examples/phishing/rtml.yaml', '--input', 'nowhere.csv'], 1, /nowhere\.csv/],
    [
      'no labels',
      ['--app', 'test/bench/j1/rtml.yaml', '--input', 'package.json'],
      1,
      /nothing to compare predictions with/,
    ],
    [
      'an unknown learner',
      ['--app', 'examples/phishing/rtml.yaml', '--input', 'examples/phishing/phishing.csv.gz', '--learner', 'x'],
      2,
      /there is no learner "x". Learners: linear, network, forest/,
    ],
    [
      'a file of something else',
      ['--app', 'examples/phishing/rtml.yaml', '--input', 'package.json'],
      1,
      /no event|no event got a label/,
    ],
  ])('says what is wrong with %s', async (_, args, code, message) => {
    const result = await rtml('evaluate', ...args)
    expect(result.stderr).toMatch(message)
    expect(result.code).toBe(code)
  })
})
