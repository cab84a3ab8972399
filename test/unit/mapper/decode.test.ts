import avsc from 'avsc'
import { describe, expect, it } from 'vitest'
import { RtmlError } from '../../../processors/app/errors.ts'
import { headers, mapperOf, record } from './harness.ts'

/** Events are looked into freely here. */
// biome-ignore lint/suspicious/noExplicitAny: the shape is what the tests are about
type Loose = Record<string, any>

/** Maps what it finds under fixed names, so that a test sees what the decoder gave. */
const probe = {
  fields: {
    _id: 'id',
    timestamp: 'coalesce(t, raw.time)',
    'identityMap.CRMID': 'coalesce(user, "u")',
    'web.webPageDetails.name': 'name',
    'commerce.order.priceTotal': 'amount',
  },
}
const mapped = async (value: unknown, setup = {}, mapping = {}) =>
  (await mapperOf({ ...probe, ...mapping }, setup)).map(record(value))
const only = async (value: unknown, setup = {}, mapping = {}) => {
  const result = await mapped(value, setup, mapping)
  return { xdm: result.events[0]?.xdm as Loose | undefined, rejected: result.rejected[0], result }
}

describe('JSON', () => {
  it('accepts a byte order mark', async () => {
    expect((await only(Buffer.from('\ufeff{"id":"1"}'))).xdm?._id).toBe('1')
  })

  it('keeps every digit of integers beyond 2^53, in any position', async () => {
    const { xdm } = await only(
      '{"id": 9007199254740993, "user": -123456789012345678901234567890, "amount": 9007199254740991}',
    )
    expect(xdm?._id).toBe('9007199254740993')
    expect(xdm?.identityMap.CRMID[0].id).toBe('-123456789012345678901234567890')
    expect(xdm?.commerce.order.priceTotal).toBe(9007199254740991)
  })

  it('leaves digits in texts, fractions and 16-digit safe integers alone', async () => {
    const { xdm } = await only('{"id":"12345678901234567890","amount":0.30000000000000004,"user":1234567890123456}')
    expect(xdm?._id).toBe('12345678901234567890')
    expect(xdm?.commerce.order.priceTotal).toBe(0.30000000000000004)
    expect(xdm?.identityMap.CRMID[0].id).toBe('1234567890123456')
  })

  it('takes the last of repeated keys', async () => {
    expect((await only('{"id":"first","id":"last"}')).xdm?._id).toBe('last')
  })

  it.each(['{"id":NaN}', '{"id":"x","amount":-Infinity}'])('refuses %s, which is no JSON', async (text) => {
    const { rejected } = await only(text)
    expect(rejected).toMatchObject({ code: 'DECODE', path: '' })
    expect(rejected?.message).toContain('NaN and Infinity')
  })

  it.each(['{"amount":1e400}', `{"amount":-1${'0'.repeat(400)}.5}`])(
    'refuses a number that overflows',
    async (text) => {
      expect((await only(text)).rejected).toMatchObject({ code: 'DECODE' })
    },
  )

  it('takes exponents that fit', async () => {
    expect((await only('{"id":"1","amount":1.25e2}')).xdm?.commerce.order.priceTotal).toBe(125)
  })

  it.each([
    ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0x69, 0x22, 0x3a, 0x22, 0xc3, 0x28, 0x22, 0x7d])],
    ['UTF-16', Buffer.from('\ufeff{"id":"1"}', 'utf16le')],
    ['an empty value', Buffer.alloc(0)],
    ['no value', null],
    ['a text', '"hello"'],
    ['a number', '42'],
    ['null', 'null'],
    ['a truncated object', '{"id":"1"'],
    ['single quotes', "{'id':'1'}"],
    ['two objects', '{"id":"1"}{"id":"2"}'],
  ])('refuses %s with DECODE', async (_, value) => {
    const { rejected, result } = await only(value)
    expect(rejected?.code).toBe('DECODE')
    expect(result.events).toEqual([])
  })

  it('does not let __proto__ or constructor reach anything', async () => {
    const { xdm } = await only(
      '{"id":"1","__proto__":{"name":"evil"},"constructor":{"prototype":{"x":1}},"a":{"\\u005f_proto__":{"y":1}}}',
    )
    expect(xdm?.web).toBeUndefined()
    expect([Reflect.get({}, 'x'), Reflect.get({}, 'y'), Reflect.get({}, 'name')]).toEqual([
      undefined,
      undefined,
      undefined,
    ])
  })

  it('reads no inherited names: a missing constructor is missing', async () => {
    const { xdm } = await only(
      '{"id":"1"}',
      {},
      {
        fields: {
          ...probe.fields,
          'web.webPageDetails.server': 'constructor.name',
          'web.webPageDetails.URL': 'toString',
        },
      },
    )
    expect(xdm?.web).toBeUndefined()
  })

  it('replaces half a surrogate pair and keeps the event', async () => {
    expect((await only('{"id":"1","name":"cut \\ud83d"}')).xdm?.web.webPageDetails.name).toBe('cut \ufffd')
  })

  it.each([
    ['depth', `${'['.repeat(65)}${']'.repeat(65)}`, 'limits.depth'],
    ['a text', JSON.stringify({ id: '1', name: 'x'.repeat(65_537) }), 'limits.stringLength'],
    ['the record', JSON.stringify({ id: 'x'.repeat(1_048_576) }), 'limits.recordBytes'],
    ['a batch', JSON.stringify(Array.from({ length: 1_001 }, () => ({}))), 'limits.eventsPerRecord'],
  ])('bounds %s', async (_, value, limit) => {
    const { rejected } = await only(value)
    expect(rejected?.code).toBe('LIMIT')
    expect(rejected?.message).toContain(limit)
  })

  it('brackets in texts are not depth', async () => {
    expect((await only(JSON.stringify({ id: '1', name: `${'['.repeat(100)}\\"${'{'.repeat(100)}` }))).xdm?._id).toBe(
      '1',
    )
  })

  it('maps the good elements of a batch with bad ones in it', async () => {
    const result = await mapped('[{"id":"1"},null,7,"x",[],{"id":"2","t":"not a time"},{"id":"3"}]')
    expect(result.events.map((it) => it.id)).toEqual(['1', '3'])
    expect(result.rejected.map((it) => [it.code, it.path])).toEqual([
      ['DECODE', '[1]'],
      ['DECODE', '[2]'],
      ['DECODE', '[3]'],
      ['DECODE', '[4]'],
      ['MAP_TYPE', '[5].timestamp'],
    ])
  })

  it('counts an empty batch as skipped', async () => {
    expect(await mapped('[]')).toMatchObject({ events: [], rejected: [], skipped: 1 })
  })

  it('reads JSON that a schema serializer framed', async () => {
    const framed = Buffer.concat([Buffer.from([0, 0, 0, 0, 9]), Buffer.from('{"id":"1"}')])
    expect((await only(framed)).xdm?._id).toBe('1')
  })
})

describe('CSV and TSV', () => {
  const csv = { format: 'csv', fields: { ...probe.fields, 'commerce.order.priceTotal': 'to_decimal(amount)' } }

  it('reads quotes, separators inside them, doubled quotes, line breaks, CRLF and a byte order mark', async () => {
    const text = '\ufeffid,name,amount\r\n1,"Cup, ""blue""\nlarge",2.5\r\n2,plain,3\r\n'
    const result = await mapped(text, {}, csv)
    expect(result.events.map((it) => (it.xdm as Loose).web.webPageDetails.name)).toEqual([
      'Cup, "blue"\nlarge',
      'plain',
    ])
  })

  it.each([';', '\t', '|', ','])('finds the separator %j of the header', async (separator) => {
    expect((await only(`${['id', 'name'].join(separator)}\n${['7', 'x'].join(separator)}`, {}, csv)).xdm?._id).toBe('7')
  })

  it('tells an empty text from a missing one by its quotes', async () => {
    const result = await mapped('id,name,amount\n1,"",\n2,,\n', {}, csv)
    expect((result.events[0]!.xdm as Loose).web.webPageDetails.name).toBe('')
    expect((result.events[1]!.xdm as Loose).web).toBeUndefined()
  })

  it('keeps leading zeros', async () => {
    expect((await only('id,name\n00042,x', {}, csv)).xdm?._id).toBe('00042')
  })

  it('refuses a row of another length and keeps the others', async () => {
    const result = await mapped('id,name,amount\n1,a,1\n2,b\n3,c,3', {}, csv)
    expect(result.events.map((it) => it.id)).toEqual(['1', '3'])
    expect(result.rejected).toMatchObject([{ code: 'DECODE', path: '[1]' }])
  })

  it.each([
    ['an unclosed quote', 'id,name\n1,"x'],
    ['a repeated column', 'id,id\n1,2'],
    ['a header alone', 'id,name\n'],
    ['blanks only', '\n\n'],
  ])('refuses %s', async (_, text) => {
    expect((await only(text, {}, csv)).rejected?.code).toBe('DECODE')
  })

  it('takes column names from the mapping for files without a header', async () => {
    expect(
      (await only('5\tname\t1.5', {}, { ...csv, format: 'tsv', columns: ['id', 'name', 'amount'] })).xdm,
    ).toMatchObject({ _id: '5', commerce: { order: { priceTotal: 1.5 } } })
  })
})

describe('Confluent Avro', () => {
  const schema = {
    type: 'record',
    name: 'Order',
    namespace: 'shop',
    fields: [
      { name: 'id', type: 'long' },
      {
        name: 'user',
        type: ['null', 'string', { type: 'record', name: 'Person', fields: [{ name: 'name', type: 'string' }] }],
      },
      { name: 't', type: { type: 'long', logicalType: 'timestamp-micros' } },
      { name: 'name', type: ['null', { type: 'enum', name: 'Kind', symbols: ['A', 'B'] }], default: null },
      { name: 'amount', type: ['null', 'double'], default: null },
      { name: 'price', type: { type: 'bytes', logicalType: 'decimal', precision: 10, scale: 2 } },
      { name: 'lines', type: { type: 'array', items: { type: 'map', values: 'int' } } },
      { name: 'next', type: ['null', 'Order'], default: null },
    ],
  }
  // avsc writes the bytes; our reader must agree with it
  const type = avsc.Type.forSchema(structuredClone(schema) as never, { wrapUnions: true })
  const zigzag = (value: bigint) => {
    const bytes: number[] = []
    let rest = value >= 0n ? value * 2n : -value * 2n - 1n
    for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
    return Buffer.from([...bytes, Number(rest)])
  }
  // avsc has no longs beyond 2^53: it writes a 0 (one byte) for the first field, the wanted one is put in its place
  const written = ({ id = 9007199254740993n, ...over }: Record<string, unknown> = {}) =>
    Buffer.concat([
      zigzag(id as bigint),
      type
        .toBuffer({
          id: 0,
          user: { string: 'u-1' },
          t: 1_700_000_000_123_456,
          name: { 'shop.Kind': 'B' },
          amount: { double: 12.5 },
          price: Buffer.from([0xff, 0x38]),
          lines: [{ a: 1 }, {}],
          next: null,
          ...over,
        })
        .subarray(1),
    ])
  const framed = (body: Buffer, id = 7) => {
    const header = Buffer.alloc(5)
    header.writeUInt32BE(id, 1)
    return Buffer.concat([header, body])
  }
  const schemaById = async (id: number) => {
    if (id === 7) return schema
    if (id === 8) return { type: 'array', items: 'null' }
    if (id === 9) throw new RtmlError('REGISTRY_DOWN', 'away')
    throw new RtmlError('SCHEMA_ID', 'unknown')
  }
  const avro = {
    format: 'avro',
    fields: {
      ...probe.fields,
      'commerce.order.taxAmount': 'to_decimal(price)',
      'siteSearch.numberOfResults': 'lines[0].a',
    },
  }
  const decoded = async (value: Buffer) => {
    const mapper = await mapperOf({ ...avro }, { schemaById })
    await mapper.prepare([record(value)])
    return mapper.map(record(value))
  }

  it('unwraps unions, keeps longs and decimals exact, and turns logical times into RFC 3339', async () => {
    const result = await decoded(framed(written()))
    expect(result.rejected).toEqual([])
    expect(result.events[0]?.xdm).toMatchObject({
      _id: '9007199254740993',
      timestamp: '2023-11-14T22:13:20.123Z',
      identityMap: { CRMID: [{ id: 'u-1', primary: true }] },
      web: { webPageDetails: { name: 'B' } },
      commerce: { order: { priceTotal: 12.5, taxAmount: -2 } },
      siteSearch: { numberOfResults: 1 },
    })
  })

  it.each([
    [0n, '0'],
    [-1n, '-1'],
    [64n, '64'],
    [2n ** 48n, '281474976710656'],
    [-(2n ** 53n) - 1n, '-9007199254740993'],
    [2n ** 63n - 1n, '9223372036854775807'],
    [-(2n ** 63n), '-9223372036854775808'],
  ])('reads the long %s exactly', async (value, text) => {
    expect((await decoded(framed(written({ id: value })))).events[0]?.id).toBe(text)
  })

  it('refuses every truncation with DECODE', async () => {
    const whole = framed(written())
    for (let length = 5; length < whole.length; length++) {
      const result = await decoded(whole.subarray(0, length))
      expect(result.events).toEqual([])
      expect(result.rejected[0]?.code).toBe('DECODE')
    }
  })

  it('refuses left-over bytes: they were written with another schema', async () => {
    expect((await decoded(framed(Buffer.concat([written(), Buffer.from([1])])))).rejected[0]?.code).toBe('DECODE')
  })

  it('refuses an unknown id, and a value without framing', async () => {
    expect((await decoded(framed(written(), 99))).rejected[0]).toMatchObject({ code: 'SCHEMA_ID' })
    expect((await decoded(Buffer.from('{"id":1}'))).rejected[0]).toMatchObject({ code: 'DECODE' })
  })

  it('refuses a schema whose lists have no bounded size', async () => {
    const result = await decoded(framed(Buffer.from([0xfe, 0xff, 0xff, 0xff, 0xff, 0x7f, 0]), 8))
    expect(result.rejected[0]?.code).toBe('SCHEMA_ID')
  })

  it('does not allocate what a list only claims to have', async () => {
    const body = written({ lines: [] })
    // the empty list is the last byte but one: claim 2^40 items instead
    const claim = Buffer.concat([body.subarray(0, -2), Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0])])
    expect((await decoded(framed(claim))).rejected[0]?.code).toBe('DECODE')
  })

  it('bounds recursion', async () => {
    let value: unknown = null
    for (let i = 0; i < 80; i++)
      value = {
        'shop.Order': {
          id: 1,
          user: null,
          t: 0,
          name: null,
          amount: null,
          price: Buffer.from([0]),
          lines: [],
          next: value,
        },
      }
    expect((await decoded(framed(written({ next: value })))).rejected[0]?.code).toBe('LIMIT')
  })

  it('waits when the registry is away', async () => {
    const mapper = await mapperOf({ ...avro }, { schemaById })
    await expect(mapper.prepare([record(framed(written(), 9))])).rejects.toThrow('REGISTRY_DOWN')
  })

  it('asks again for an id that was unknown', async () => {
    let knows = false
    const mapper = await mapperOf(
      { ...avro },
      { schemaById: async () => (knows ? schema : Promise.reject(new RtmlError('SCHEMA_ID', 'no'))) },
    )
    const value = record(framed(written()))
    await mapper.prepare([value])
    expect(mapper.map(value).rejected[0]?.code).toBe('SCHEMA_ID')
    knows = true
    await mapper.prepare([value])
    expect(mapper.map(value).events).toHaveLength(1)
  })
})

describe('CloudEvents', () => {
  const binary = (extra: Record<string, string>) =>
    headers({ ce_specversion: '1.0', ce_id: '1', ce_source: '/s', ce_type: 't', ...extra })
  it.each([
    ['no id', { ce_id: '' }],
    ['an unknown version', { ce_specversion: '11.8' }],
  ])('refuses %s', async (_, extra) => {
    const mapper = await mapperOf('cloudevents')
    expect(mapper.map(record('{"userId":"u"}', { headers: binary(extra) })).rejected[0]?.code).toBe('DECODE')
  })

  it('takes a binary event without data', async () => {
    const mapper = await mapperOf('cloudevents')
    const result = mapper.map(record(null, { headers: binary({ ce_subject: 'who', ce_time: '2024-01-01T00:00:00Z' }) }))
    expect(result.events[0]).toMatchObject({ id: '/s#1', key: 'CloudEventSubject:who' })
  })

  it('reads Avro data with its schema', async () => {
    const schema = { type: 'record', name: 'D', fields: [{ name: 'userId', type: 'string' }] }
    const mapper = await mapperOf('cloudevents', { schemaById: async () => schema })
    const value = Buffer.concat([
      Buffer.from([0, 0, 0, 0, 3]),
      avsc.Type.forSchema(schema as never).toBuffer({ userId: 'av' }),
    ])
    const raw = record(value, {
      headers: binary({ 'content-type': 'application/avro', ce_time: '2024-01-01T00:00:00Z' }),
    })
    await mapper.prepare([raw])
    expect(mapper.map(raw).events[0]?.key).toBe('CRMID:av')
  })
})

describe('Snowplow lines', () => {
  it.each([
    ['too few fields', 'two\tfields'],
    ['broken contexts', Array.from({ length: 131 }, (_, i) => (i === 52 ? 'bad' : '')).join('\t')],
    [
      'an unstruct event without a schema',
      Array.from({ length: 131 }, (_, i) => (i === 58 ? '{"data":{"data":{}}}' : '')).join('\t'),
    ],
  ])('refuses %s', async (_, line) => {
    const mapper = await mapperOf('snowplow')
    expect(mapper.map(record(line)).rejected[0]?.code).toBe('DECODE')
  })
})
