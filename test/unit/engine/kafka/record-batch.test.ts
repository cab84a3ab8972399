import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { epochMs, offset } from '../../../../processors/app/units.ts'
import { decompress } from '../../../../processors/engine/kafka/protocol/compression.ts'
import { crc32c } from '../../../../processors/engine/kafka/protocol/crc32c.ts'
import {
  decodeRecords,
  encodeBatch,
  recordBytesMax,
} from '../../../../processors/engine/kafka/protocol/record-batch.ts'
import type { NewRecord } from '../../../../processors/engine/ports.ts'

const now = epochMs(1_800_000_000_123)
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const records = fc.array(
  fc.record({
    topic: fc.constant('t'),
    key: fc.option(bytes),
    value: fc.option(bytes),
    headers: fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 8 }), bytes, { maxKeys: 3 }),
  }),
  { minLength: 1, maxLength: 40 },
) as fc.Arbitrary<NewRecord[]>

const plain = ({ key, value, headers }: Pick<NewRecord, 'key' | 'value' | 'headers'>) => ({
  key: key?.toString('hex') ?? null,
  value: value?.toString('hex') ?? null,
  headers: Object.entries(headers ?? {}).map(([name, header]) => [name, header.toString('hex')]),
})

/** A batch as the broker keeps it: with its first offset. */
function at(first: number, batch: Buffer): Buffer {
  const kept = Buffer.from(batch)
  kept.writeBigInt64BE(BigInt(first), 0)
  return kept
}

/** A batch that ends a transaction. */
function marker(first: number, producerId: number, kind: 'abort' | 'commit'): Buffer {
  const key = Buffer.from([0, 0, 0, kind === 'abort' ? 0 : 1])
  const stamp = { producerId, producerEpoch: 0, firstSequence: -1 }
  const batch = encodeBatch([{ topic: 't', key, value: Buffer.alloc(6) }], now, { stamp })
  batch.writeInt16BE(0x30, 21)
  batch.writeUInt32BE(crc32c(batch, 21), 17)
  return at(first, batch)
}

describe('record batches', () => {
  it.each(['none', 'gzip', 'zstd'] as const)('reads what it writes, compressed with %s', (compression) => {
    fc.assert(
      fc.property(records, fc.integer({ min: 0, max: 2 ** 50 }), (all, first) => {
        const batch = at(first, encodeBatch(all, now, { compression }))
        const decoded = decodeRecords('t', 3, batch, offset(first), [])
        expect(decoded.next).toBe(first + all.length)
        expect(decoded.records.map(plain)).toEqual(all.map(plain))
        expect(decoded.records.map((record) => record.offset)).toEqual(all.map((_, i) => first + i))
        expect(decoded.records.every((record) => record.timestamp === now && record.partition === 3)).toBe(true)
        if (compression === 'none') {
          expect(batch.length).toBeLessThanOrEqual(61 + all.reduce((sum, record) => sum + recordBytesMax(record), 0))
        }
      }),
    )
  })

  it('gives nothing before the asked position, and leaves a batch that is cut off for the next fetch', () => {
    const some = ['a', 'b', 'c'].map((text) => ({ topic: 't', key: null, value: Buffer.from(text) }))
    const set = Buffer.concat([at(10, encodeBatch(some, now)), at(13, encodeBatch(some, now)).subarray(0, 70)])
    const { records: read, next } = decodeRecords('t', 0, set, offset(11), [])
    expect(read.map((record) => [record.offset, record.value?.toString()])).toEqual([
      [11, 'b'],
      [12, 'c'],
    ])
    expect(next).toBe(13)
    expect(decodeRecords('t', 0, set.subarray(0, 30), offset(11), [])).toEqual({ records: [], next: 11, bytes: 0 })
  })

  it('shows what was committed and skips what was aborted, with the markers', () => {
    const one = (text: string, producerId: number) => {
      const stamp = { producerId, producerEpoch: 0, firstSequence: 0 }
      return encodeBatch([{ topic: 't', key: null, value: Buffer.from(text) }], now, { stamp })
    }
    const set = Buffer.concat([
      ...[at(0, one('aborted', 1)), at(1, one('committed', 2)), at(2, one('aborted', 1)), marker(3, 1, 'abort')],
      ...[at(4, one('later of the same producer', 1)), marker(5, 2, 'commit'), marker(6, 1, 'commit')],
    ])
    const { records: read, next } = decodeRecords('t', 0, set, offset(0), [{ producerId: 1, firstOffset: 0 }])
    expect(read.map((record) => record.value?.toString())).toEqual(['committed', 'later of the same producer'])
    expect(next).toBe(7)
  })

  it('moves on over holes and batches that compaction has emptied', () => {
    const empty = Buffer.alloc(61)
    empty.writeInt32BE(49, 8)
    empty.writeInt8(2, 16)
    empty.writeInt32BE(9, 23)
    empty.writeUInt32BE(crc32c(empty, 21), 17)
    expect(decodeRecords('t', 0, at(20, empty), offset(5), [])).toEqual({ records: [], next: 30, bytes: 61 })
  })

  it('refuses damaged bytes', () => {
    const batch = encodeBatch([{ topic: 't', key: null, value: Buffer.from('value') }], now)
    batch[batch.length - 3]! ^= 1
    expect(() => decodeRecords('t', 0, batch, offset(0), [])).toThrow('checksum')
  })
})

describe('checksum', () => {
  // Source: RFC 3720 appendix B.4.
  it.each([
    [Buffer.alloc(32), 0x8a9136aa],
    [Buffer.alloc(32, 0xff), 0x62a8ab43],
    [Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
    [Buffer.from('123456789'), 0xe3069283],
    [Buffer.alloc(0), 0],
  ])('of known bytes', (input, expected) => {
    expect(crc32c(input)).toBe(expected)
    expect(crc32c(Buffer.concat([Buffer.from('x'), input, Buffer.from('y')]), 1, input.length + 1)).toBe(expected)
  })
})

describe('compressed batches of other producers', () => {
  const text = 'Wikipedia is a free, web-based, collaborative, multilingual encyclopedia project.'
  it.each([
    ['gzip', 1, gzipSync(Buffer.from(text))],
    // Made with cramjam 2 (Rust's snap and lz4): raw, as the Java client frames it, and an LZ4 frame.
    [
      'snappy',
      2,
      Buffer.from(
        '8wHwQ1dpa2lwZWRpYSBpcyBhIGZyZWUsIHdlYi1iYXNlZCwgY29sbGFib3JhdGl2ZSwgbXVsdGlsaW5ndWFsIGVuY3ljbG9wBT8ccHJvamVjdC7+UQD+UQCGUQA=',
        'base64',
      ),
    ],
    [
      'snappy, framed',
      2,
      Buffer.from(
        'glNOQVBQWQAAAAABAAAAAQAAAFV58ENXaWtpcGVkaWEgaXMgYSBmcmVlLCB3ZWItYmFzZWQsIGNvbGxhYm9yYXRpdmUsIG11bHRpbGluZ3VhbCBlbmN5Y2xvcAU/HHByb2plY3QunlEAAAAAVXqwYXRpdmUsIG11bHRpbGluZ3VhbCBlbmN5Y2xvcGVkaWEgcHJvamVjdC5XaWtpCRJ8aXMgYSBmcmVlLCB3ZWItYmFzZWQsIGNvbGxhYm9yYXSaUQA=',
        'base64',
      ),
    ],
    [
      'lz4',
      3,
      Buffer.from(
        'BCJNGFRArlkAAADyNFdpa2lwZWRpYSBpcyBhIGZyZWUsIHdlYi1iYXNlZCwgY29sbGFib3JhdGl2ZSwgbXVsdGlsaW5ndWFsIGVuY3ljbG8/AI9wcm9qZWN0LlEAilBqZWN0LuLc4oUAAAAALfGL/w==',
        'base64',
      ),
    ],
  ])('unpacks %s', (_, codec, packed) => {
    expect(decompress(packed, codec).toString()).toBe(text.repeat(codec === 1 ? 1 : 3))
  })

  it('refuses damaged ones and unknown codecs', () => {
    expect(() => decompress(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7f, 1]), 2)).toThrow()
    expect(() => decompress(Buffer.from([5, 0xf0]), 2)).toThrow()
    expect(() => decompress(Buffer.alloc(20), 3)).toThrow('LZ4')
    expect(() => decompress(Buffer.alloc(20), 5)).toThrow('unknown')
  })
})
