import avsc from 'avsc'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Xdm, XdmEvent } from '../../../processors/app/event.ts'
import { epochMs } from '../../../processors/app/units.ts'
import { toAvsc } from '../../../processors/xdm/avro-codec.ts'
import { composeSchema, primaryKey } from '../../../processors/xdm/index.ts'
import { schema } from './default-schema.ts'
import { randomEvent } from './random-event.ts'

const eventOf = (xdm: Xdm): XdmEvent => ({
  id: xdm._id,
  ts: epochMs(Date.parse(xdm.timestamp)),
  key: primaryKey(xdm) ?? '',
  xdm,
})
const HEAD: Xdm = { _id: 'e', timestamp: '2026-03-02T17:22:10.000Z' }

describe('the Avro codec', () => {
  const oracle = toAvsc(schema.avroSchema)
  const resolve = schema.resolver(schema.avroSchema)

  it('gives back every conforming event, and writes the bytes that avsc writes', () => {
    fc.assert(
      fc.property(randomEvent(schema.root), (input) => {
        const { xdm } = schema.conform(input)
        const event = eventOf(xdm)
        const bytes = schema.encode(event)
        expect(schema.decode(bytes)).toEqual(event)
        expect(bytes.equals(oracle.toBuffer(xdm))).toBe(true)
        expect(resolve(bytes)).toEqual(event)
      }),
      { numRuns: 300 },
    )
  })

  it('writes whole numbers of every size as avsc does', () => {
    const edges = [27, 28, 30, 31, 32, 34, 35, 41, 42, 48, 52, 53].flatMap((n) => [2 ** n - 2, 2 ** n - 1, 2 ** n])
    const sizes = edges.flatMap((it) => [it, -it]).filter((it) => it >= -(2 ** 52) && it <= 2 ** 53 - 2)
    for (const screenWidth of [0, -1, 63, 64, -64, -65, ...sizes]) {
      const xdm: Xdm = { ...HEAD, device: { screenWidth } }
      const bytes = schema.encode(eventOf(xdm))
      expect(bytes.equals(oracle.toBuffer(xdm))).toBe(true)
      expect(schema.decode(bytes).xdm).toEqual(xdm)
    }
  })

  it('keeps texts of any length', () => {
    for (const length of [0, 23, 24, 25, 63, 64, 65, 8_191, 8_192, 200_000]) {
      for (const unit of ['a', 'é', '€', '😀']) {
        const xdm: Xdm = { ...HEAD, device: { model: unit.repeat(length) } }
        expect(schema.decode(schema.encode(eventOf(xdm))).xdm).toEqual(xdm)
      }
    }
  })

  it('costs one byte for each absent field of the event', () => {
    const fields = schema.root.fields.size
    const headBytes = 1 + HEAD._id.length + 6 // length and text of the id, six bytes of milliseconds
    expect(schema.encode(eventOf(HEAD)).length).toBe(headBytes + fields - 2)
  })

  it('refuses bytes that are not an event, without running away', () => {
    const bytes = schema.encode(eventOf({ ...HEAD, productListItems: [{ SKU: '1' }] }))
    for (let end = 0; end < bytes.length; end++) {
      expect(() => schema.decode(bytes.subarray(0, end))).toThrow(/^DECODE the bytes are not an event/)
    }
    expect(() => schema.decode(Buffer.concat([bytes, Buffer.from([0])]))).toThrow(/1 bytes follow/)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (junk) => {
        try {
          schema.decode(Buffer.from(junk))
        } catch (error) {
          expect(error).toMatchObject({ code: 'DECODE' })
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it('does not mix a failed event into the next one', () => {
    const broken = {
      _id: 'x',
      identityMap: { A: [{ id: '1' }] },
      web: { webPageDetails: { name: 'secret' } },
    } as unknown as Xdm
    expect(() => schema.encode({ ...eventOf(HEAD), xdm: broken })).toThrow(/XDM_INVALID.*timestamp is missing/)
    expect(schema.decode(schema.encode(eventOf(HEAD))).xdm).toEqual(HEAD)
  })

  it('takes key and time from the event itself', () => {
    const identityMap = { Email: [{ id: 'a@b.c' }], ECID: [{ id: '1' }, { id: '2', primary: true }] }
    expect(schema.decode(schema.encode(eventOf({ ...HEAD, identityMap })))).toMatchObject({
      id: 'e',
      ts: Date.parse(HEAD.timestamp),
      key: 'ECID:2',
    })
    expect(primaryKey({ identityMap: { Email: [{ id: 'a@b.c' }], ECID: [{ id: '1' }] } })).toBe('Email:a@b.c')
    expect(primaryKey({})).toBeUndefined()
    expect(primaryKey({ identityMap: { ECID: [] } })).toBeUndefined()
  })
})

describe('the Avro schema', () => {
  it('is the documented one', async () => {
    const { avroSchema } = composeSchema({ tenant: '_rtml', fields: {} })
    await expect(`${JSON.stringify(avroSchema, null, 1)}\n`).toMatchFileSnapshot('../../../schemas/avro/xdm-event.avsc')
  })

  it('puts null first with default null, names its namespace, and keeps the XDM path', () => {
    const { name, namespace, fields } = schema.avroSchema as {
      name: string
      namespace: string
      fields: Record<string, unknown>[]
    }
    expect(`${namespace}.${name}`).toBe('rtml.xdm.Event')
    expect(fields.find((it) => it.name === '_id')).toMatchObject({ type: 'string' })
    expect(fields.find((it) => it.name === 'timestamp')).toMatchObject({
      type: { type: 'long', logicalType: 'timestamp-millis' },
    })
    const web = fields.find((it) => it.name === 'web')!
    expect(web).toMatchObject({
      type: ['null', { type: 'record', name: 'EventWeb' }],
      default: null,
      'xdm.path': 'web',
    })
    expect(JSON.stringify(web)).toContain('"xdm.path":"web.webPageDetails.URL"')
  })

  it('is read by a plain Avro library', () => {
    const bytes = schema.encode(eventOf({ ...HEAD, device: { screenWidth: 3 } }))
    const plain = avsc.Type.forSchema(schema.avroSchema as avsc.Schema).fromBuffer(bytes) as {
      timestamp: number
      device: unknown
    }
    expect(plain.timestamp).toBe(Date.parse(HEAD.timestamp))
    expect(plain.device).toMatchObject({ screenWidth: 3, model: null })
  })
})

describe('events of another version of the schema', () => {
  const old = composeSchema({
    tenant: '_shop',
    fieldGroups: ['web'],
    fields: { plan: 'string', gone: 'string', 'a.at': 'date-time' },
  })
  const now = composeSchema({
    tenant: '_shop',
    fieldGroups: ['web', 'commerce'],
    fields: { plan: 'string', 'a.at': 'date-time', 'a.n': 'number' },
  })
  const xdm: Xdm = {
    ...HEAD,
    web: { webPageDetails: { name: 'x', pageViews: { value: 1 } } },
    _shop: { plan: 'p', a: { at: HEAD.timestamp } },
  }

  it('are read with new fields absent and deleted ones skipped', () => {
    const written = old.encode(eventOf({ ...xdm, _shop: { ...(xdm._shop as object), gone: 'y' } }))
    expect(now.resolver(old.avroSchema)(written)).toEqual(eventOf(xdm))
  })

  it('are read by the older version too', () => {
    const written = now.encode(eventOf({ ...xdm, commerce: { promotionID: '1' } }))
    expect(old.resolver(now.avroSchema)(written)).toEqual(eventOf(xdm))
  })

  it('are refused where the types cannot meet, or the bytes are broken', () => {
    const other = { type: 'record', name: 'Event', namespace: 'rtml.xdm', fields: [{ name: '_id', type: 'boolean' }] }
    expect(() => now.resolver(other)).toThrow(/^SCHEMA_ID/)
    expect(() => now.resolver({ type: 'nonsense' })).toThrow(/^SCHEMA_ID/)
    expect(() => now.resolver(old.avroSchema)(Buffer.from([1, 2, 3]))).toThrow(/^DECODE/)
  })
})
