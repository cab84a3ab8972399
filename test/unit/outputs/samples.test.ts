import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { decodeSamples, encodeSamples, SampleBatch, type Samples } from '../../../processors/outputs/samples.ts'
import { findPython, runPython } from './python.ts'
import { expected, LAYOUT, sampleRows } from './sample-rows.ts'

const ROWS = sampleRows(101)
const python = await findPython()

function batchOf(rows: readonly ReturnType<typeof sampleRows>[number][], capacity = rows.length): SampleBatch {
  const batch = new SampleBatch(LAYOUT, capacity)
  for (const row of rows) batch.add(row)
  return batch
}

/** The decoded columns in the form of `expected`. */
function found({ table }: Samples): Record<string, unknown[]> {
  return Object.fromEntries(
    table.schema.fields.map((field) => {
      const column = table.getChild(field.name)!
      const { type } = LAYOUT.columns.find(({ name }) => name === field.name) ?? {}
      if (type === 'float') {
        const values = column.toArray() as Float32Array
        return [field.name, [...new Uint32Array(values.buffer, values.byteOffset, values.length)]]
      }
      const plain = [...column].map((value: unknown) =>
        typeof value === 'bigint' ? (field.name === 'pseudonym' ? String(value) : Number(value)) : value,
      )
      return [field.name, plain]
    }),
  )
}

describe('a batch of samples', () => {
  it('is read back as it was written, float bits, nulls and all', () => {
    const samples = decodeSamples(encodeSamples(batchOf(ROWS)))
    expect(samples.rows).toBe(101)
    expect(found(samples)).toEqual(expected(ROWS))
  })

  it('says which application, feature set and models it is of', () => {
    const { app, featureSetVersion, models } = decodeSamples(encodeSamples(batchOf(ROWS)))
    expect({ app, featureSetVersion, models }).toEqual({
      app: 'shop',
      featureSetVersion: '0123456789ab',
      models: { propensity: ['3', '4'], basket: ['1'] },
    })
  })

  it('can be used again: nothing of the batch before is left', () => {
    const batch = batchOf(ROWS, 200)
    const first = encodeSamples(batch)
    const kept = Buffer.from(first)
    batch.clear()
    for (const row of ROWS.slice(60, 63)) batch.add(row)
    expect(found(decodeSamples(encodeSamples(batch)))).toEqual(expected(ROWS.slice(60, 63)))
    expect(encodeSamples(batch).equals(encodeSamples(batchOf(ROWS.slice(60, 63))))).toBe(true)
    expect(first.equals(kept)).toBe(true)
  })

  it('may have any number of rows, none included', () => {
    for (let count = 0; count <= 33; count++) {
      const rows = ROWS.slice(0, count)
      expect(found(decodeSamples(encodeSamples(batchOf(rows, 40))))).toEqual(expected(rows))
    }
  })

  it('says what each event is to a label: a sample, an outcome, what must match', () => {
    const labels = [
      { name: 'purchase', hasMatch: true },
      { name: 'spend', hasMatch: false },
    ]
    const batch = new SampleBatch({ ...LAYOUT, labels }, 20)
    const marks = (index: number) => [
      {
        isSample: index % 3 === 0,
        value: index % 2 === 0 ? Number.NaN : 1,
        match: index % 5 === 0 ? '' : `"s${index}"`,
      },
      { isSample: true, value: index / 4, match: '' },
    ]
    const check = (rows: number) => {
      const { table } = decodeSamples(encodeSamples(batch))
      const columns = Object.fromEntries(
        table.schema.fields
          .filter(({ name }) => name.startsWith('label.'))
          .map(({ name }) => [name, [...table.getChild(name)!]]),
      )
      const each = (value: (index: number) => unknown) => Array.from({ length: rows }, (_, index) => value(index))
      expect(columns).toEqual({
        'label.purchase.sample': each((i) => i % 3 === 0),
        'label.purchase.value': each((i) => (i % 2 === 0 ? null : 1)),
        'label.purchase.match': each((i) => (i % 5 === 0 ? null : `"s${i}"`)),
        'label.spend.sample': each(() => true),
        'label.spend.value': each((i) => i / 4),
      })
    }
    for (const [index, row] of ROWS.slice(0, 19).entries()) batch.add({ ...row, labels: marks(index) })
    check(19)
    batch.clear()
    for (const [index, row] of ROWS.slice(0, 3).entries()) batch.add({ ...row, labels: marks(index) })
    check(3)
  })

  it('has a bound in rows and in bytes', () => {
    const batch = batchOf(ROWS.slice(0, 2))
    expect(batch.isFull).toBe(true)
    expect(() => batch.add(ROWS[2]!)).toThrow(/at most 2 rows/)
    const wide = new SampleBatch(LAYOUT, 10_000)
    const row = { ...ROWS[1]!, vector: { ...ROWS[1]!.vector, strings: ['x'.repeat(10_000), ''] } }
    while (!wide.isFull) wide.add(row)
    expect(wide.rows).toBeLessThan(100)
    expect(encodeSamples(wide).length).toBeLessThan(1_000_000)
    expect(Math.abs(wide.sizeBytes / encodeSamples(wide).length - 1)).toBeLessThan(0.05)
  })

  it('of another format is refused', () => {
    expect(() => decodeSamples(Buffer.from('not arrow at all'))).toThrow()
  })
})

describe.skipIf(python.kind === 'missing')('pyarrow, pandas and DuckDB', () => {
  it('read what was written, bit for bit', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'rtml-samples-'))
    try {
      const batches = [0, 1, 101].map((count) => ROWS.slice(0, count))
      const files = await Promise.all(
        batches.map(async (rows) => {
          const file = join(folder, `${rows.length}.arrow`)
          await writeFile(file, encodeSamples(batchOf(rows, 101)))
          return file
        }),
      )
      const found = (await runPython(python, join(import.meta.dirname, 'read_samples.py'), files)) as Record<
        string,
        unknown
      >[]
      for (const [index, rows] of batches.entries()) {
        const wanted = expected(rows)
        expect(found[index]?.arrow).toEqual(wanted)
        expect(found[index]?.pandas).toEqual(wanted)
        expect(found[index]?.duckdb).toEqual(wanted)
      }
      const read = found[2]!
      expect(read.types).toMatchObject({
        event_id: 'string',
        event_ts: 'timestamp[ms, tz=UTC]',
        position: 'int64',
        pseudonym: 'uint64',
        views_1h: 'float',
        category: 'string',
        'score.propensity': 'double',
      })
      expect(read.metadata).toEqual({
        'rtml.format': '1',
        'rtml.app': 'shop',
        'rtml.feature_set': '0123456789ab',
        'rtml.vector': '3 2',
        'rtml.models': '{"propensity":["3","4"],"basket":["1"]}',
      })
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
