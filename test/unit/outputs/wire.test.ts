import fc from 'fast-check'
import { expect, it } from 'vitest'
import { frame, unframe } from '../../../processors/outputs/wire.ts'

it('unframes what it framed, for every schema id', () => {
  fc.assert(
    fc.property(fc.nat({ max: 0xffff_ffff }), fc.uint8Array(), (schemaId, payload) => {
      expect(unframe(frame(schemaId, payload))).toEqual({ schemaId, payload: Buffer.from(payload) })
    }),
  )
})

it('writes the documented bytes', () => {
  expect(frame(258, Buffer.from('ab')).toString('hex')).toBe('00000001026162')
})

it.each([
  ['nothing', ''],
  ['JSON', '{"a":1}'],
  ['a frame that is cut', '\u0000\u0000\u0000\u0001'],
])('%s is not framed', (_, text) => {
  expect(unframe(Buffer.from(text))).toBeUndefined()
})
