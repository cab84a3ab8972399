import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  concat,
  integers,
  ProtoError,
  readFields,
  text,
  writeBytes,
  writeVarint,
} from '../../../processors/onnx/proto.ts'
import { fromHalf, toHalf } from '../../../processors/scorer/half.ts'
import { murmur3, unitHash } from '../../../processors/scorer/hash.ts'
import { outline } from '../../../processors/scorer/model-file.ts'
import { PreviousScores } from '../../../processors/scorer/previous-scores.ts'
import { identityModel } from './proto-writer.ts'
import { benchModel, testdata } from './support.ts'

describe('the protobuf reader', () => {
  it('gives back what was written, field by field', () => {
    const field = fc.oneof(
      fc.record({
        number: fc.integer({ min: 1, max: 536_870_911 }),
        value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      }),
      fc.record({ number: fc.integer({ min: 1, max: 536_870_911 }), bytes: fc.uint8Array({ maxLength: 300 }) }),
    )
    fc.assert(
      fc.property(fc.array(field, { maxLength: 30 }), (fields) => {
        const bytes = concat(
          fields.map((it) => ('value' in it ? writeVarint(it.number, it.value) : writeBytes(it.number, it.bytes))),
        )
        const read = readFields(bytes)
        expect(read.map((it) => it.number)).toEqual(fields.map((it) => it.number))
        for (const [i, it] of fields.entries()) {
          if ('value' in it) expect(read[i]?.varint).toBe(it.value)
          else expect([...(read[i]?.body ?? [])]).toEqual([...it.bytes])
        }
        expect(Buffer.from(concat(read.map((it) => it.raw))).equals(bytes)).toBe(true)
      }),
    )
  })

  it('refuses broken bytes with a ProtoError and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          outline(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtoError)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it('refuses a model with one byte changed, or reads it: it never hangs or reads out of bounds', () => {
    const model = testdata('pipeline_text.onnx')
    fc.assert(
      fc.property(fc.nat(model.length - 1), fc.nat(255), (at, byte) => {
        const broken = Uint8Array.from(model)
        broken[at] = byte
        try {
          outline(broken)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtoError)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('reads packed and single integers alike', () => {
    const packed = readFields(writeBytes(8, Uint8Array.from([1, 0x96, 0x01])))
    const single = readFields(concat([writeVarint(8, 1), writeVarint(8, 150)]))
    expect(integers(packed, 8)).toEqual([1n, 150n])
    expect(integers(single, 8)).toEqual([1n, 150n])
  })
})

describe('the outline of an ONNX file', () => {
  it('leaves a file of plain tensors as it is, byte for byte', () => {
    const bytes = benchModel()
    expect(outline(bytes)).toMatchObject({ irVersion: 8, exposed: [], opaque: [], classes: undefined })
    expect(outline(bytes).bytes).toBe(bytes)
  })

  it('takes the ZipMap out once: a second look finds nothing left to do', () => {
    const first = outline(testdata('logreg_zipmap_text.onnx'))
    expect(first.exposed).toEqual(['output_probability'])
    expect(first.classes).toEqual(['browse', 'leave', 'purchase'])
    const second = outline(first.bytes)
    expect(second.exposed).toEqual([])
    expect(second.bytes).toBe(first.bytes)
    expect(second.classes).toEqual(first.classes)
  })

  it('reads the classes from the classifier where there is no ZipMap', () => {
    expect(outline(testdata('logreg_nozipmap_text.onnx')).classes).toEqual(['browse', 'leave', 'purchase'])
    expect(outline(testdata('boosting_regressor.onnx')).classes).toBeUndefined()
  })

  it('opens a list of tensors into one output each', () => {
    expect(outline(testdata('multilabel_sequence.onnx')).exposed).toEqual(['probabilities[0]', 'probabilities[1]'])
  })

  it('keeps every other field of the file', () => {
    const before = readFields(identityModel({ padding: new TextEncoder().encode('kept') }))
    expect(text(readFields(before.find((it) => it.number === 7)?.body ?? new Uint8Array()), 10)).toBe('kept')
  })
})

describe('float16', () => {
  it('gives back each of the 65,536 words', () => {
    for (let word = 0; word < 65_536; word++) {
      const value = fromHalf(word)
      if (Number.isNaN(value)) expect(Number.isNaN(fromHalf(toHalf(value)))).toBe(true)
      else if (toHalf(value) !== word) expect.fail(`word ${word} came back as ${toHalf(value)}`)
    }
  })

  it('rounds as the engine does', () => {
    // The lib of this TypeScript target doesn't know the newer Math.f16round and its array.
    const { f16round } = Math as unknown as { f16round: (value: number) => number }
    fc.assert(
      fc.property(fc.float({ noNaN: true, min: -70_000, max: 70_000 }), (value) => {
        expect(fromHalf(toHalf(value))).toBe(f16round(value))
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('the hash', () => {
  it.each([
    // Published vectors of MurmurHash3 x86 32-bit, seed 0.
    ['', 0x00000000],
    ['test', 0xba6bd213],
    ['Hello, world!', 0xc0363e43],
    ['The quick brown fox jumps over the lazy dog', 0x2e4ff723],
  ])('of %j is the published one', (text, expected) => {
    expect(murmur3(new TextEncoder().encode(text))).toBe(expected)
  })

  it('is the same for short and long texts, whatever was hashed before', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 700 }), (text) => {
        expect(unitHash(text)).toBe(murmur3(new TextEncoder().encode(text)) / 2 ** 32)
      }),
    )
  })

  it('spreads profiles evenly', () => {
    let below = 0
    for (let i = 0; i < 20_000; i++) if (unitHash(`arm\nhome\nECID:${i}`) < 0.3) below++
    expect(below / 20_000).toBeCloseTo(0.3, 1)
    expect(Math.abs(below / 20_000 - 0.3)).toBeLessThan(0.015)
  })
})

describe('previous scores', () => {
  it('remembers at least half of its bound, and never more than all of it', () => {
    const previous = new PreviousScores(100)
    for (let i = 0; i < 1_000; i++) previous.set(`p${i}`, i)
    const known = Array.from({ length: 1_000 }, (_, i) => previous.get(`p${i}`)).filter((it) => it !== undefined)
    expect(known.length).toBeGreaterThanOrEqual(50)
    expect(known.length).toBeLessThanOrEqual(100)
    expect(previous.get('p999')).toBe(999)
    expect(previous.get('p0')).toBeUndefined()
  })

  it('keeps the newest score of a profile', () => {
    const previous = new PreviousScores(4)
    for (const [profile, score] of [
      ['a', 1],
      ['b', 2],
      ['a', 3],
      ['c', 4],
      ['a', 5],
    ] as const)
      previous.set(profile, score)
    expect(previous.get('a')).toBe(5)
  })
})
