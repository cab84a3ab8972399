import fc from 'fast-check'
import { expect, it } from 'vitest'
import { epochMs, offset } from '../../../processors/app/units.ts'
import { deadLetter, parseDeadLetter, type RefusedRecord } from '../../../processors/outputs/dead-letters.ts'
import { frame } from '../../../processors/outputs/wire.ts'

const RECORD: RefusedRecord = {
  topic: 'raw.web',
  partition: 3,
  offset: offset(918),
  timestamp: epochMs(1_700_000_000_000),
  key: Buffer.from('k'),
  value: Buffer.from('{"price":"12,50"}'),
  headers: { 'content-type': Buffer.from('application/json') },
}
const REJECTION = {
  code: 'MAP_TYPE',
  path: 'commerce.order.priceTotal',
  message: 'expected number, got "12,50"',
} as const

it('keeps key, value and headers as they were, and says why and where from in headers', () => {
  const letter = deadLetter(RECORD, REJECTION, 'dlq.raw')
  expect(letter.topic).toBe('dlq.raw')
  expect(letter.key).toBe(RECORD.key)
  expect(letter.value).toBe(RECORD.value)
  expect(Object.fromEntries(Object.entries(letter.headers).map(([name, value]) => [name, value.toString()]))).toEqual({
    'content-type': 'application/json',
    'rtml-code': 'MAP_TYPE',
    'rtml-path': 'commerce.order.priceTotal',
    'rtml-message': 'expected number, got "12,50"',
    'rtml-topic': 'raw.web',
    'rtml-partition': '3',
    'rtml-offset': '918',
    'rtml-timestamp': '1700000000000',
  })
})

const bytes = fc.uint8Array().map((value) => Buffer.from(value))
const anyRecord: fc.Arbitrary<RefusedRecord> = fc.record({
  topic: fc.stringMatching(/^[a-zA-Z0-9._-]{1,40}$/),
  partition: fc.nat(),
  offset: fc.maxSafeNat().map(offset),
  timestamp: fc.integer().map(epochMs),
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), bytes),
})

it('is read back in full', () => {
  fc.assert(
    fc.property(anyRecord, fc.string({ maxLength: 200 }), fc.string({ maxLength: 200 }), (record, path, message) => {
      fc.pre(path.isWellFormed() && message.isWellFormed())
      const letter = parseDeadLetter(deadLetter(record, { code: 'DECODE', path, message }, 'dlq.raw'))
      const { headers, ...rest } = record
      expect(letter).toMatchObject({ ...rest, rejection: { code: 'DECODE', path, message } })
      expect({ ...letter?.headers }).toEqual({ ...headers })
    }),
  )
})

it('names the schema id of a framed value', () => {
  const letter = deadLetter({ ...RECORD, value: frame(77, Buffer.from('x')) }, REJECTION, 'dlq.raw')
  expect(parseDeadLetter(letter)?.schemaId).toBe(77)
  expect(parseDeadLetter(deadLetter(RECORD, REJECTION, 'dlq.raw'))?.schemaId).toBeUndefined()
})

it('cuts a long message at 1 KiB, not inside a character', () => {
  for (const text of ['é', '€', '😀', 'a', 'a😀']) {
    const letter = deadLetter(RECORD, { ...REJECTION, message: text.repeat(2_000) }, 'dlq.raw')
    const message = letter.headers['rtml-message']!
    expect(message.length).toBeLessThanOrEqual(1_024)
    expect(message.length).toBeGreaterThan(1_020)
    expect(message.toString()).not.toContain('\ufffd')
  }
})

it('replaces the reason when a replayed dead letter fails again', () => {
  const first = deadLetter(RECORD, REJECTION, 'dlq.raw')
  const again = deadLetter(
    { ...RECORD, headers: first.headers, offset: offset(5) },
    { ...REJECTION, code: 'IDENTITY' },
    'dlq.raw',
  )
  const letter = parseDeadLetter(again)
  expect([letter?.rejection.code, letter?.offset, letter?.headers]).toEqual(['IDENTITY', 5, RECORD.headers])
})

it.each(['rtml-code', 'rtml-topic', 'rtml-partition', 'rtml-offset', 'rtml-timestamp'])(
  'is none without %s',
  (name) => {
    const { [name]: _, ...headers } = deadLetter(RECORD, REJECTION, 'dlq.raw').headers
    expect(parseDeadLetter({ key: null, value: null, headers })).toBeUndefined()
  },
)
