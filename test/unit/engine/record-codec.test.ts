import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { epochMs, offset } from '../../../processors/app/units.ts'
import type { Headers, LogRecord, NewRecord } from '../../../processors/engine/ports.ts'
import {
  HEADER_BYTES,
  packedSize,
  packRecords,
  packSparse,
  readHeader,
  unpackRecords,
  writeHeader,
} from '../../../processors/engine/record-codec.ts'

const SOURCE = { topic: 't', partition: 2 }
const bytes = fc.uint8Array({ maxLength: 300 }).map((value) => Buffer.from(value))
const headers = fc.dictionary(
  fc.string({ unit: 'grapheme', maxLength: 20 }).filter((name) => name !== '__proto__'),
  bytes,
  { maxKeys: 4 },
)
const record = fc.record({
  topic: fc.constant('t'),
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.option(headers),
})
const toRecord = ({ headers, ...rest }: Omit<NewRecord, 'headers'> & { headers: Headers | null }): NewRecord =>
  headers ? { ...rest, headers } : rest
const records = fc.array(record.map(toRecord), { maxLength: 40 })

function packed(list: readonly NewRecord[], timestamp = 1_234): Buffer {
  const batch = packRecords(list, 0, list.length)
  writeHeader(batch, { count: list.length, span: list.length, sparse: false, timestamp: epochMs(timestamp) })
  return batch
}

function unpacked(batch: Buffer, base: number, from = 0, until = Number.POSITIVE_INFINITY): LogRecord[] {
  const into: LogRecord[] = []
  unpackRecords(batch, SOURCE, base, from, until, into)
  return into
}

describe('record codec', () => {
  it('gives back what was packed, numbered from the base', () => {
    fc.assert(
      fc.property(records, fc.nat({ max: 2 ** 45 }), (list, base) => {
        const expected = list.map(({ key, value, headers = {} }, i) => ({
          ...SOURCE,
          offset: base + i,
          timestamp: 1_234,
          key,
          value,
          headers: { ...headers },
        }))
        expect(unpacked(packed(list), base).map((r) => ({ ...r, headers: { ...r.headers } }))).toEqual(expected)
      }),
    )
  })

  it('knows the size of a record before it is packed', () => {
    fc.assert(
      fc.property(records, (list) => {
        expect(packed(list).length).toBe(HEADER_BYTES + list.reduce((sum, one) => sum + packedSize(one), 0))
      }),
    )
  })

  it('keeps the offsets of what compaction leaves', () => {
    fc.assert(
      fc.property(records, fc.infiniteStream(fc.boolean()), fc.nat({ max: 2 ** 45 }), (list, keep, base) => {
        const all = unpacked(packed(list), base)
        const kept = all.filter(() => keep.next().value)
        const info = readHeader(packed(list))
        const sparse = packSparse(kept, base, info)
        expect(unpacked(sparse, base)).toEqual(kept)
        expect(readHeader(sparse)).toEqual({ ...info, sparse: true, count: kept.length })
      }),
    )
  })

  it('gives only the offsets that are asked for', () => {
    const list = Array.from({ length: 10 }, (_, i) => ({ topic: 't', key: null, value: Buffer.from([i]) }))
    const offsets = (from: number, until: number) => unpacked(packed(list), 100, from, until).map((r) => r.offset)
    expect(offsets(103, 106)).toEqual([103, 104, 105].map(offset))
    expect(offsets(0, 101)).toEqual([100])
    expect(offsets(110, 200)).toEqual([])
  })

  it('refuses bytes that are not a batch, or end inside a record', () => {
    expect(() => readHeader(Buffer.from('not a batch at all'))).toThrow('not a batch')
    expect(() => readHeader(Buffer.alloc(3))).toThrow('not a batch')
    const batch = packed([{ topic: 't', key: null, value: Buffer.alloc(50) }])
    expect(() => unpacked(batch.subarray(0, batch.length - 1), 0)).toThrow('ends inside a record')
  })
})
