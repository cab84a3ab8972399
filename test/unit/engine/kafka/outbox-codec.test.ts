import fc from 'fast-check'
import { expect, it } from 'vitest'
import { offset } from '../../../../processors/app/units.ts'
import { decodeOutboxEntry, encodeOutboxEntry } from '../../../../processors/engine/kafka/outbox-codec.ts'
import type { NewRecord } from '../../../../processors/engine/ports.ts'

const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
const record = fc.record(
  {
    topic: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
    key: fc.option(bytes),
    value: fc.option(bytes),
    partition: fc.integer({ min: 0, max: 100_000 }),
    headers: fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 10 }), bytes, { minKeys: 1, maxKeys: 3 }),
  },
  { requiredKeys: ['topic', 'key', 'value'] },
) as fc.Arbitrary<NewRecord>

it('reads the outbox entries that it writes', () => {
  const position = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
  fc.assert(
    fc.property(position, position, fc.array(record, { maxLength: 30 }), (from, to, records) => {
      const entry = decodeOutboxEntry(encodeOutboxEntry(offset(from), offset(to), records))
      expect(entry).toEqual({ from, to, records })
    }),
  )
})

it('refuses an entry of another format', () => {
  expect(() => decodeOutboxEntry(Buffer.alloc(40, 9))).toThrow('STORE_BEHIND')
  expect(() => decodeOutboxEntry(Buffer.from([1, 2]))).toThrow('STORE_BEHIND')
})
