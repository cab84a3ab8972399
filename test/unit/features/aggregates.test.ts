import { describe, expect, it } from 'vitest'
import { Distinct, rankOf } from '../../../processors/features/aggregates/distinct.ts'
import { Moments } from '../../../processors/features/aggregates/moments.ts'
import { aggregateOf } from '../../../processors/features/aggregates/registry.ts'
import { ByteReader, ByteWriter, boundText } from '../../../processors/features/bytes.ts'
import { hash48, SEED } from '../../../processors/features/hash.ts'
import { type Input, newInput } from '../../../processors/features/input.ts'
import { scaleOf } from '../../../processors/features/units.ts'

const input = (fields: Partial<Input>): Input => ({ ...newInput(), ...fields })

describe('distinct', () => {
  /** A column of `panes` panes that got values 0 … n − 1 in turn. */
  function filled(distinct: Distinct, n: number, panes: number) {
    const column = distinct.newColumn(0)
    for (let at = 0; at < panes; at++) distinct.open(column, at)
    for (let i = 0; i < n; i++) {
      distinct.add(column, i % panes, input({ size: 1, hashes: [hash48(`value ${i}`, SEED.text)] }))
    }
    return column
  }

  it.each([
    [10, 1_000, 1],
    [10, 2_500, 13],
    [10, 100_000, 13],
    [12, 9_000, 1],
    [14, 200_000, 2],
    [4, 100, 1],
  ])('of precision %i estimates %i values in %i panes within four standard errors', (precision, n, panes) => {
    const distinct = new Distinct(precision)
    const column = filled(distinct, n, panes)
    const error = Math.abs(distinct.fold(column, 0, panes) / n - 1)
    expect(error).toBeLessThan((4 * 1.04) / Math.sqrt(2 ** precision))
  })

  it('counts few values exactly', () => {
    const distinct = new Distinct(14)
    for (const n of [0, 1, 2, 10, 50]) expect(distinct.fold(filled(distinct, n, 3), 0, 3)).toBe(n)
  })

  it('has no seam where linear counting ends', () => {
    const distinct = new Distinct(10)
    let before = 0
    for (let n = 1_800; n < 2_400; n += 10) {
      const estimate = distinct.fold(filled(distinct, n, 1), 0, 1)
      expect(estimate).toBeGreaterThanOrEqual(before * 0.99)
      before = estimate
    }
  })

  it('keeps its union right while values come and panes go', () => {
    const distinct = new Distinct(10)
    const column = filled(distinct, 3_000, 3)
    distinct.fold(column, 0, 3)
    distinct.add(column, 1, input({ size: 1, hashes: [hash48('one more', SEED.text)] }))
    expect(distinct.fold(column, 0, 3)).toBe(distinct.fold(copy(distinct, column, 3), 0, 3))
    distinct.drop(column, 1)
    expect(distinct.fold(column, 0, 2)).toBe(distinct.fold(copy(distinct, column, 2), 0, 2))
    expect(distinct.fold(column, 1, 2)).toBeLessThan(distinct.fold(column, 0, 2))
    expect(distinct.fold(column, 2, 2)).toBe(0)
  })

  it.each([20, 200, 5_000])('joins two panes of %i values to what one would be', (n) => {
    const distinct = new Distinct(8)
    const column = filled(distinct, n, 2)
    distinct.join(column, 0)
    expect(packed(distinct, column, 1)).toEqual(packed(distinct, filled(distinct, n, 1), 1))
  })

  it('takes at most 6 bits a register', () => {
    const distinct = new Distinct(10)
    expect(packed(distinct, filled(distinct, 50_000, 1), 1).length).toBe(2 + 768)
    expect(packed(distinct, filled(distinct, 20, 1), 1).length).toBeLessThan(45)
  })

  it('ranks a hash by its trailing zeros above the register', () => {
    expect(rankOf(2 ** 10, 10)).toBe(1)
    expect(rankOf(2 ** 31, 10)).toBe(22)
    expect(rankOf(2 ** 32, 10)).toBe(23)
    expect(rankOf(2 ** 47, 10)).toBe(38)
    expect(rankOf(1023, 10)).toBe(39)
  })

  function packed(distinct: Distinct, column: ReturnType<Distinct['newColumn']>, panes: number): Buffer {
    const writer = new ByteWriter()
    writer.start()
    for (let at = 0; at < panes; at++) distinct.encode(column, at, writer)
    return writer.finish()
  }
  function copy(distinct: Distinct, column: ReturnType<Distinct['newColumn']>, panes: number) {
    const reader = new ByteReader()
    reader.start(packed(distinct, column, panes))
    const other = distinct.newColumn(panes)
    for (let at = 0; at < panes; at++) distinct.decode(other, at, reader)
    reader.finish()
    return other
  }
})

describe('moments', () => {
  const varianceOf = (values: readonly number[], panes = 1, scale = 1e6): number => {
    const moments = new Moments(scale)
    const column = moments.newColumn(0)
    for (let at = 0; at < panes; at++) moments.open(column, at)
    for (const [i, number] of values.entries()) moments.add(column, i % panes, input({ number }))
    return moments.fold(column, 0, panes)
  }

  it('give the variance of a small spread on a large mean, where Σx² − (Σx)²/n in float64 gives noise', () => {
    const values = [1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16]
    expect(varianceOf(values)).toBe(22.5)
    expect(varianceOf(values, 3)).toBe(22.5)
    // 1.7e12 is more than 2^53 millionths: a unit that such values have is as exact.
    expect(varianceOf([1.7e12 + 0.25, 1.7e12 + 0.75], 1, 4)).toBe(0.0625)
  })

  it('stay right over a million values', () => {
    const values = Array.from({ length: 1_000_000 }, (_, i) => 1e8 + (i % 2))
    expect(varianceOf(values, 12)).toBe(0.25)
  })

  it('of one value, or of equal ones, is 0; of none, missing', () => {
    expect(varianceOf([0.1])).toBe(0)
    expect(varianceOf([0.1, 0.1, 0.1])).toBe(0)
    expect(varianceOf([])).toBeNaN()
  })
})

describe('an aggregate', () => {
  it.each([
    'count',
    'total:1000000',
    'sum:100',
    'moments:1',
    'min',
    'max',
    'first:1:text',
    'last:5:number',
    'distinct:10',
    'frequencies:50:1',
    'decayed:1800000',
  ])('%s is made again from its id', (id) => expect(aggregateOf(id)?.id).toBe(id))
  it.each([
    '',
    'counts',
    'total',
    'total:0',
    'total:x',
    'last:5',
    'last:500:number',
    'first:2:text',
    'distinct:99',
    'frequencies:1e9:1',
    'decayed:-1',
    'toString',
    'count:1',
  ])('of id %j is unknown', (id) => expect(aggregateOf(id)).toBeUndefined())
})

describe('packed values', () => {
  const roundTrip = (write: (writer: ByteWriter) => void): ByteReader & { size: number } => {
    const writer = new ByteWriter()
    writer.start()
    write(writer)
    const bytes = writer.finish()
    const reader = new ByteReader()
    reader.start(bytes)
    return Object.assign(reader, { size: bytes.length })
  }

  it.each([0, 1, 127, 128, 2 ** 28 - 1, 2 ** 28, 2 ** 32, 2 ** 49, Number.MAX_SAFE_INTEGER])('varint %i', (value) => {
    expect(roundTrip((writer) => writer.varint(value)).varint()).toBe(value)
  })
  it.each([0, -1, 12.34, 0.1 + 0.2, 1e-300, -1e300, 2 ** 53, 0.000001, 2 ** 49 / 100, Number.NaN])(
    'number %d',
    (value) => {
      expect(roundTrip((writer) => writer.number(value)).number()).toBe(value)
    },
  )
  it.each([0, -1, 12_340_000, -5e6, 2 ** 53, -(2 ** 50) - 1, 1e200, 1e15])('units %d', (value) => {
    expect(roundTrip((writer) => writer.units(value)).units()).toBe(value)
  })
  it('writes 12.34 in millionths in two bytes', () => {
    expect(roundTrip((writer) => writer.units(12_340_000)).size).toBe(3)
    expect(roundTrip((writer) => writer.units(5_000_000)).size).toBe(1)
  })
  it('writes a text once, however many texts there are', () => {
    const texts = Array.from({ length: 40 }, (_, i) => `é-text-${i % 20}-${'x'.repeat(i % 20)}`)
    const reader = roundTrip((writer) => {
      for (const text of texts) writer.text(text)
    })
    expect(texts.map(() => reader.text())).toEqual(texts)
    expect(reader.size).toBeLessThan(20 * 34)
  })
  it('refuses integers that are too long or too large, and counts beyond what is there', () => {
    const reader = new ByteReader()
    reader.start(Buffer.alloc(40, 0xff))
    expect(() => reader.varint()).toThrow('an integer is too long')
    reader.start(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]))
    expect(() => reader.varint()).toThrow('an integer is too large')
    reader.start(Buffer.from([5, 0, 0]))
    expect(() => reader.count(1_000)).toThrow('a count of 5 is impossible')
    reader.start(Buffer.from([0, 3, 0xff, 0xff, 0xff]))
    expect(() => reader.text()).toThrow('a text is not UTF-8')
    reader.start(Buffer.from([9]))
    expect(() => reader.text()).toThrow('it refers to a text that it does not have')
  })
})

describe('a bounded text', () => {
  it('is cut at a whole code point within 256 bytes', () => {
    expect(boundText('x'.repeat(256))).toHaveLength(256)
    expect(boundText('x'.repeat(257))).toHaveLength(256)
    expect(boundText(`${'x'.repeat(255)}é`)).toBe('x'.repeat(255))
    expect(boundText(`${'x'.repeat(252)}😀!`)).toBe(`${'x'.repeat(252)}😀`)
    expect(boundText(`${'x'.repeat(253)}😀`)).toBe('x'.repeat(253))
  })
  it('has no lone surrogates', () => {
    expect(boundText('a\ud800b')).toBe('a\ufffdb')
  })
})

describe('units', () => {
  it.each([
    [1e-6, 1e6],
    [0.01, 100],
    [1, 1],
    [5, 0.2],
    [0.3, 1 / 0.3],
  ])('of %d: %d in 1', (unit, scale) => {
    expect(scaleOf(unit)).toBe(scale)
  })
})
