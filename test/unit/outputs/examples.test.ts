import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { epochMs } from '../../../processors/app/units.ts'
import type { Column } from '../../../processors/features/types.ts'
import {
  decodeExample,
  encodeExample,
  exampleColumns,
  exampleReader,
  examplesSchema,
  exampleVector,
  type TrainingExample,
} from '../../../processors/outputs/index.ts'

/** The years 0–9999 of RFC 3339. avsc's longs are wrong beyond ±2^52, the year 144,000. */
const time = fc.integer({ min: -62_167_219_200_000, max: 253_402_300_799_999 }).map(epochMs)
const example: fc.Arbitrary<TrainingExample> = fc.record({
  label: fc.string(),
  kind: fc.constantFrom('example', 'copy', 'settled'),
  eventId: fc.string({ unit: 'grapheme' }),
  pseudonym: fc.string(),
  eventTime: time,
  outcomeTime: fc.option(time),
  settledAt: time,
  value: fc.double(),
  weight: fc.double(),
  featureSetVersion: fc.constant('0123456789ab'),
  features: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  texts: fc.array(fc.string()),
  scores: fc.array(
    fc.record({
      model: fc.string(),
      version: fc.string(),
      role: fc.string(),
      output: fc.string(),
      score: fc.double(),
      fallback: fc.string(),
    }),
  ),
})

const column = (name: string, type: Column['type'], index: number): Column => ({ name, feature: name, type, index })
const COLUMNS = exampleColumns({
  version: '0123456789ab',
  columns: [column('spend', 'float', 1), column('last_type', 'string', 0), column('views_1h', 'float', 0)],
})

describe('the codec of training examples', () => {
  it('gives back what was written', () => {
    fc.assert(
      fc.property(example, (it) => {
        expect(decodeExample(encodeExample(it, 7))).toEqual(it)
      }),
    )
  })

  it('names the columns in the schema, numbers and texts in the order of their bytes', async () => {
    expect(COLUMNS).toEqual({
      featureSetVersion: '0123456789ab',
      features: ['views_1h', 'spend'],
      texts: ['last_type'],
    })
    const asked: number[] = []
    const read = exampleReader(async (id) => {
      asked.push(id)
      return JSON.parse(JSON.stringify(examplesSchema(COLUMNS))) as object
    })
    const [one] = fc.sample(example, { numRuns: 1, seed: 1 })
    expect(await read(encodeExample(one!, 7))).toEqual({ example: one, columns: COLUMNS })
    expect(await read(encodeExample(one!, 7))).toEqual({ example: one, columns: COLUMNS })
    expect(asked).toEqual([7])
  })

  it('refuses a record under the schema of another feature set', async () => {
    const read = exampleReader(async () => examplesSchema({ ...COLUMNS, featureSetVersion: 'other' }))
    const [one] = fc.sample(example, { numRuns: 1, seed: 1 })
    await expect(read(encodeExample(one!, 7))).rejects.toThrow('an example of feature set 0123456789ab under a schema')
  })

  it('gives the vector back whatever the alignment of the bytes, NaN and all', () => {
    const floats = new Float32Array([1.5, Number.NaN, -0])
    const shifted = Buffer.concat([Buffer.alloc(1), Buffer.from(floats.buffer)]).subarray(1)
    const vector = exampleVector({ features: shifted, texts: ['a'] })
    expect(Buffer.from(vector.floats.buffer)).toEqual(Buffer.from(floats.buffer))
    expect(vector.strings).toEqual(['a'])
  })
})
