/** `rtml export` as a user runs it, over the data of an application that has run; Parquet as pandas sees it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Cell } from '../../processors/host/export-rows.ts'
import { writeParquet } from '../../processors/host/parquet-file.ts'
import { folder, openData, PATIENCE, range, settled, start } from '../e2e/harness.ts'
import { BOUGHT, closing, examplesIn, labelShop, rawOf, START } from '../e2e/labels.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { findPython, runPython } from '../unit/outputs/python.ts'
import { rtml } from './rtml.ts'

const python = await findPython()
const READER = join(import.meta.dirname, '../unit/outputs/read_export.py')

interface Read {
  readonly types: Record<string, string>
  readonly rows: Record<string, unknown>[]
  readonly frame: [number, string[]]
  readonly groups: number
  readonly notes: Record<string, string>
}

const FEATURES = `  paid: { kind: mean, value: commerce.order.priceTotal, where: 'eventType == "buy"' }
  what: { kind: event, value: eventType, type: text }
models:`

/** A shop whose data lie in its folder: twenty views and two purchases, all settled. */
async function shop() {
  const place = await folder(labelShop(`{ ${BOUGHT} }`).replace('models:', FEATURES))
  await using engine = await openData(join(place.dir, '.rtml'))
  await using running = await start(place.file, engine)
  const views = range(0, 20).map((n) => ({ id: `v${n}`, at: n * 60, customer: `c${n % 5}`, type: 'view' }) as const)
  const buys = [3, 9].map(
    (n) => ({ id: `b${n}`, at: n * 60 + 5, customer: `c${n % 5}`, type: 'buy', total: 2.5 }) as const,
  )
  await engine.log.append(rawOf([...views, ...buys].sort((a, b) => a.at - b.at)))
  await settled(running)
  await engine.log.append(rawOf(closing(100_000)))
  await settled(running)
  await eventually('all views are settled', PATIENCE, async () => (await examplesIn(engine)).length >= 20)
  return place
}

const lines = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)

describe('rtml export', () => {
  it(
    'gives the same rows as JSON lines and as Parquet, by time and by label',
    async () => {
      await using place = await shop()
      const cwd = place.dir
      const day = ['--from', '2026-01-01', '--to', '2026-01-02']
      const asLines = await rtml(['export', 'examples', '--label', 'bought', ...day], { cwd })
      expect([asLines.code, asLines.stderr]).toEqual([0, '20 examples\n'])
      const rows = lines(asLines.stdout)
      expect(rows.find(({ event_id }) => event_id === 'v3')).toMatchObject({
        label: 'bought',
        kind: 'example',
        pseudonym: expect.stringMatching(/^[0-9a-f]{16}$/),
        event_ts: '2026-01-01T10:03:00.000Z',
        outcome_ts: '2026-01-01T10:03:05.000Z',
        value: 1,
        weight: 1,
        events_1h: 1,
        spend: 1,
        paid: null,
        what: 'view',
        'score.score': 1,
        'version.score': '1',
        'role.score': 'champion',
        'fallback.score': 'none',
      })
      expect(
        rows
          .filter(({ value }) => value === 1)
          .map(({ event_id }) => event_id)
          .sort(),
      ).toEqual(['v3', 'v4', 'v9'])

      const half = ['--to', new Date(START + 600_000).toISOString()]
      const samples = await rtml(['export', 'samples', ...half, '--out', 'samples.jsonl'], { cwd })
      expect([samples.code, samples.stderr, samples.stdout]).toEqual([0, '12 samples\n', ''])
      const written = lines(await readFile(join(cwd, 'samples.jsonl'), 'utf8'))
      expect(written.find(({ event_id }) => event_id === 'b3')).toMatchObject({
        spend: 3.5,
        paid: 2.5,
        'label.bought.sample': false,
        'label.bought.value': 1,
      })

      if (python.kind === 'missing') return
      for (const [what, file, expected] of [
        ['examples', 'examples.parquet', rows],
        ['samples', 'samples.parquet', written],
      ] as const) {
        const span = what === 'examples' ? day : half
        const { code, stderr } = await rtml(['export', what, ...span, '--format', 'parquet', '--out', file], { cwd })
        expect([code, stderr]).toEqual([0, `${expected.length} ${what}\n`])
        const read = (await runPython(python, READER, [join(cwd, file)])) as Read
        const times = new Set(['event_ts', 'outcome_ts', 'settled_at', 'processed_at'])
        const plain = read.rows.map((row) =>
          Object.fromEntries(
            Object.entries(row).map(([name, value]) => [
              name,
              times.has(name) && value ? new Date(value as string).toISOString() : value,
            ]),
          ),
        )
        expect(plain).toEqual(expected)
        expect(read.frame).toEqual([expected.length, Object.keys(expected[0]!)])
        expect(read.types).toMatchObject({ event_ts: 'timestamp[ms, tz=UTC]', events_1h: 'float', what: 'string' })
        expect(read.notes).toEqual({ 'rtml.app': 'shop', 'rtml.feature_set': expected[0]!.feature_set })
      }
    },
    PATIENCE.testMs * 2,
  )

  it(
    'says what is wrong with a command, and leaves rows of other features out',
    async () => {
      await using place = await shop()
      const cwd = place.dir
      const fails = async (...args: string[]) => (await rtml(['export', ...args], { cwd })).stderr.trim()
      expect(await fails('scores')).toContain('"scores" can\'t be exported. Write samples or examples.')
      expect(await fails('examples', '--label', 'sold')).toContain('there is no label "sold". Labels: bought')
      expect(await fails('samples', '--label', 'bought')).toContain('--label is for examples')
      expect(await fails('samples', '--format', 'parquet')).toContain('a Parquet file wants --out FILE')
      expect(await fails('samples', '--from', 'yesterday')).toContain('"yesterday" is not a time')
      expect(await fails('samples', '--from', '2026-02-01', '--to', '2026-01-01')).toContain('--from must be before')
      expect(await fails('examples', '--feature-set', 'abc')).toMatch(
        /no row has feature set abc; there are [0-9a-f]{12} \(20 rows\)/,
      )
    },
    PATIENCE.testMs * 2,
  )
})

it.skipIf(python.kind === 'missing')(
  'writes a Parquet file of several row groups, and one without rows',
  async () => {
    await using place = await folder()
    const columns = [
      { name: 'n', type: 'integer' },
      { name: 'a.b[0]=c', type: 'float' },
      { name: 'text', type: 'text' },
      { name: 'flag', type: 'flag' },
    ] as const
    async function* rows(count: number): AsyncGenerator<Cell[]> {
      for (const n of range(0, count))
        yield [n, n % 7 === 0 ? Number.NaN : n / 4, n % 3 === 0 ? null : `ü${n}`, n % 2 === 0]
    }
    for (const [count, groups] of [
      [50_000, 3],
      [0, 0],
    ] as const) {
      const file = join(place.dir, `${count}.parquet`)
      expect(await writeParquet(file, columns, rows(count), {})).toBe(count)
      const read = (await runPython(python, READER, [file])) as Read
      expect([read.frame, read.groups]).toEqual([[count, columns.map(({ name }) => name)], groups])
      expect(read.rows.slice(0, 4)).toEqual(
        [
          { n: 0, 'a.b[0]=c': null, text: null, flag: true },
          { n: 1, 'a.b[0]=c': 0.25, text: 'ü1', flag: false },
          { n: 2, 'a.b[0]=c': 0.5, text: 'ü2', flag: true },
          { n: 3, 'a.b[0]=c': 0.75, text: null, flag: false },
        ].slice(0, count),
      )
    }
  },
  PATIENCE.testMs * 2,
)
