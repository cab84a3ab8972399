import { createHash, createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { mapperOf, NOW, record, type Setup } from './harness.ts'

// biome-ignore lint/suspicious/noExplicitAny: events are looked into freely here
type Loose = Record<string, any>

const base = { _id: 'id', timestamp: 't', 'identityMap.CRMID': 'user' }
const event = { id: '1', t: '2024-05-01T08:00:00.250Z', user: 'u' }
const map = async (value: Loose, mapping: Loose = {}, setup: Setup = {}) => {
  const { fields, ...rest } = mapping
  const result = (await mapperOf({ ...rest, fields: { ...base, ...fields } }, setup)).map(record(value))
  return { ...result, result, xdm: result.events[0]?.xdm as Loose | undefined, rejection: result.rejected[0] }
}

describe('fields', () => {
  it('take numbers and booleans as text, without loss', async () => {
    const { xdm } = await map(
      { ...event, n: 12.5, b: true },
      { fields: { 'web.webPageDetails.name': 'n', 'web.webPageDetails.server': 'b' } },
    )
    expect(xdm?.web.webPageDetails).toEqual({ name: '12.5', server: 'true' })
  })

  it('do not take a text as a number; the message says how to', async () => {
    const { rejection } = await map(
      { ...event, total: '12,50' },
      { fields: { 'commerce.order.priceTotal': { from: 'total', onError: 'reject' } } },
    )
    expect(rejection).toEqual({
      code: 'MAP_TYPE',
      path: 'commerce.order.priceTotal',
      message: 'expected number, got "12,50". Add to_decimal(…) or set onError: null.',
    })
  })

  it('become null and are counted where the schema does not require them', async () => {
    const { xdm, nulled } = await map(
      { ...event, total: '12,50', qty: 1.5, country: 'Germany' },
      {
        fields: {
          'commerce.order.priceTotal': 'to_decimal(total)',
          'productListItems[0].SKU': 'id',
          'productListItems[0].quantity': 'qty',
          'placeContext.geo.countryCode': 'country',
        },
      },
    )
    expect(xdm?.commerce).toBeUndefined()
    expect(xdm?.productListItems).toEqual([{ SKU: '1' }])
    expect(Object.fromEntries(nulled)).toEqual({
      'commerce.order.priceTotal': 1,
      'productListItems[].quantity': 1,
      'placeContext.geo.countryCode': 1,
    })
  })

  it('follow their own policy: reject and default', async () => {
    const fields = { 'placeContext.geo.countryCode': { from: 'country', onError: 'reject' } }
    expect((await map({ ...event, country: 'Germany' }, { fields })).rejection).toMatchObject({
      code: 'XDM_INVALID',
      path: 'placeContext.geo.countryCode',
    })
    const withDefault = { 'commerce.order.priceTotal': { from: 'to_decimal(total)', default: 0, onError: 'default' } }
    const { xdm, nulled } = await map({ ...event, total: 'x' }, { fields: withDefault })
    expect(xdm?.commerce.order.priceTotal).toBe(0)
    expect(nulled.get('commerce.order.priceTotal')).toBe(1)
  })

  it('take a default when there is no value, and nothing where when is false', async () => {
    const fields = {
      'commerce.order.currencyCode': { from: 'currency', default: 'EUR' },
      'commerce.order.purchaseID': { from: 'order', when: 'paid == true', default: 'none' },
    }
    expect((await map(event, { fields })).xdm?.commerce.order).toEqual({ currencyCode: 'EUR' })
    expect((await map({ ...event, paid: true }, { fields })).xdm?.commerce.order.purchaseID).toBe('none')
  })

  it('take constants, look-ups and named values', async () => {
    const { xdm } = await map(
      { ...event, kind: 'buy' },
      {
        let: { type: { from: 'kind', table: { buy: 'commerce.purchases' } }, twice: 'type + type' },
        fields: {
          eventType: 'type',
          'commerce.purchases': { from: 'type', table: { 'commerce.purchases': 1 } },
          'web.webPageDetails.isHomePage': { const: false },
          'web.webPageDetails.name': 'twice',
        },
      },
    )
    expect(xdm).toMatchObject({
      eventType: 'commerce.purchases',
      commerce: { purchases: { value: 1 } },
      web: { webPageDetails: { isHomePage: false, name: 'commerce.purchasescommerce.purchases' } },
    })
  })

  it('fan arrays out, nested ones too, and drop elements that the schema can not hold', async () => {
    const { xdm, nulled } = await map(
      {
        ...event,
        lines: [{ s: 'a', q: 2, o: ['x', null, 'y'] }, null, { q: 1 }, { s: 'b', p: '1.10' }],
      },
      {
        fields: {
          productListItems: {
            each: 'lines',
            fields: {
              SKU: 'item.s',
              quantity: 'item.q',
              priceTotal: 'to_decimal(item.p) * 3',
              selectedOptions: { each: 'item.o', fields: { attribute: { const: 'o' }, value: 'item' } },
              name: 'string(index)',
            },
          },
        },
      },
    )
    expect(xdm?.productListItems).toEqual([
      {
        SKU: 'a',
        quantity: 2,
        name: '0',
        selectedOptions: [
          { attribute: 'o', value: 'x' },
          { attribute: 'o', value: 'y' },
        ],
      },
      { SKU: 'b', name: '3', priceTotal: 3.3 },
    ])
    expect(nulled.get('productListItems[].SKU')).toBe(1)
  })

  it('make lists of plain values', async () => {
    const fields = { 'siteSearch.suggestions': { each: 'tags', from: 'item.name' } }
    const { xdm } = await map({ ...event, tags: [{ name: 'a' }, {}, { name: 2 }] }, { fields })
    expect(xdm?.siteSearch.suggestions).toEqual(['a', '2'])
  })

  it('copy a parent, with single fields laid over it, and never change the record', async () => {
    const source = { ...event, w: { webPageDetails: { name: 'old', server: 's' }, webReferrer: { URL: 'r' }, odd: 1 } }
    const before = JSON.stringify(source)
    const { xdm, dropped } = await map(source, { fields: { web: 'w', 'web.webPageDetails.name': '"new"' } })
    expect(xdm?.web).toEqual({ webPageDetails: { name: 'new', server: 's' }, webReferrer: { URL: 'r' } })
    expect([...dropped.keys()]).toEqual(['web.odd'])
    expect(JSON.stringify(source)).toBe(before)
  })

  it('reach names with dots and blanks', async () => {
    const { xdm } = await map(
      { ...event, 'emp.var.rate': 'x', 'First Name': 'y' },
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the expressions' own notation
      { fields: { 'web.webPageDetails.name': '${emp\\.var\\.rate}', 'web.webPageDetails.server': '${First Name}' } },
    )
    expect(xdm?.web.webPageDetails).toEqual({ name: 'x', server: 'y' })
  })

  it('tell an empty text from a missing one, and leave nulls out of lists', async () => {
    const { xdm } = await map(
      { ...event, name: '', list: [null, 'a', ''] },
      { fields: { 'web.webPageDetails.name': 'name', 'siteSearch.suggestions': 'list' } },
    )
    expect(xdm?.web.webPageDetails.name).toBe('')
    expect(xdm?.siteSearch.suggestions).toEqual(['a', ''])
  })
})

describe('time', () => {
  it.each([
    ['seconds', 1714550402, {}, '2024-05-01T08:00:02.000Z'],
    ['milliseconds', 1714550402123, {}, '2024-05-01T08:00:02.123Z'],
    ['microseconds as text', '1714550402123456', {}, '2024-05-01T08:00:02.123Z'],
    ['a unit that the range would not tell', 1000, { timeUnit: 'ms' }, '1970-01-01T00:00:01.000Z'],
    ['an offset', '2024-05-01T08:00:02+05:30', {}, '2024-05-01T02:30:02.000Z'],
    ['a local time with a zone', '2024-05-01 08:00:02', { timeZone: 'Europe/Paris' }, '2024-05-01T06:00:02.000Z'],
    ['a time before 1970', '1969-12-31T23:59:59.999Z', {}, '1969-12-31T23:59:59.999Z'],
  ])('reads %s', async (_, t, source, expected) => {
    const { xdm, events } = await map({ ...event, t }, {}, { source })
    expect(xdm?.timestamp).toBe(expected)
    expect(events[0]?.ts).toBe(Date.parse(expected))
  })

  it.each([
    ['a local time without a zone', '2024-05-01 08:00:02', 'MAP_TYPE'],
    ['no time', null, 'MAP_REQUIRED'],
    ['a day that does not exist', '2024-02-30T00:00:00Z', 'MAP_TYPE'],
    ['2038, when that is the future', '2038-01-19T03:14:07Z', 'FUTURE'],
  ])('refuses %s', async (_, t, code) => {
    expect((await map({ ...event, t })).rejection).toMatchObject({ code, path: 'timestamp' })
  })

  it('allows the configured skew and not more', async () => {
    const ahead = (ms: number) => new Date(NOW + ms).toISOString()
    expect((await map({ ...event, t: ahead(600_000) })).events).toHaveLength(1)
    expect((await map({ ...event, t: ahead(600_001) })).rejection?.code).toBe('FUTURE')
    expect((await map({ ...event, t: ahead(600_001) }, {}, { source: { maxFutureSkew: '1h' } })).events).toHaveLength(1)
  })
})

describe('ids', () => {
  const fields = { _id: { from: 'id' }, timestamp: 'coalesce(t, raw.time)' }
  const idOf = async (value: Loose, over = {}, name = 'shop') =>
    (await mapperOf({ fields: { ...base, ...fields } }, { name })).map(record(value, over)).events[0]?.id

  it('are stable for the same bytes of the same source, wherever they are read', async () => {
    const { id: _, ...anonymous } = event
    const first = await idOf(anonymous)
    expect(await idOf(anonymous, { place: 'raw.shop[3]@99' })).toBe(first)
    expect(await idOf({ ...anonymous, x: 1 })).not.toBe(first)
    expect(await idOf(anonymous, {}, 'other')).not.toBe(first)
  })

  it('of events without id and time differ by place: equal clicks are not one click', async () => {
    expect(await idOf({ user: 'u' }, { place: 'a' })).not.toBe(await idOf({ user: 'u' }, { place: 'b' }))
  })

  it('differ inside a batch', async () => {
    const mapper = await mapperOf({ fields: base })
    const ids = mapper
      .map(
        record([
          { ...event, id: null },
          { ...event, id: null },
        ]),
      )
      .events.map((it) => it.id)
    expect(new Set(ids).size).toBe(2)
  })
})

describe('identity', () => {
  const fields = {
    'identityMap.CRMID': 'crm',
    'identityMap.Email': 'email',
    'identityMap.Phone': 'phone',
    'identityMap.IDFA': 'idfa',
  }
  const keyOf = async (value: Loose, identity: Loose = {}, mapping: Loose = {}) => {
    const { user: _, ...rest } = event
    const { result, xdm, rejection } = await map({ ...rest, ...value }, { fields, ...mapping }, { app: { identity } })
    return { key: result.events[0]?.key, xdm, rejection, nulled: Object.fromEntries(result.nulled) }
  }

  it.each([
    [{ email: ' Ann.Lee+News@Example.COM ' }, 'Email:ann.lee+news@example.com'],
    [{ phone: '+49 (30) 1234-567' }, 'Phone:+49301234567'],
    [{ phone: '0049 30 1234567' }, 'Phone:+49301234567'],
    [{ phone: 'tel:+1.202.555.0123' }, 'Phone:+12025550123'],
    [{ crm: 42 }, 'CRMID:42'],
    [{ crm: '00042' }, 'CRMID:00042'],
  ])('normalises %j to %s', async (value, key) => {
    expect((await keyOf(value)).key).toBe(key)
  })

  it.each([
    { phone: '555-1212' },
    { email: 'not an address' },
    { idfa: '00000000-0000-0000-0000-000000000000' },
    { crm: 'null' },
    { crm: '' },
    {},
  ])('refuses an event whose only identity is %j', async (value) => {
    expect((await keyOf(value)).rejection?.code).toBe('IDENTITY')
  })

  it('chooses by priority, else the marked one, else the first', async () => {
    const both = { crm: '1', email: 'a@b.cc' }
    expect((await keyOf(both)).key).toBe('CRMID:1')
    expect((await keyOf(both, { priority: ['Phone', 'Email'] })).key).toBe('Email:a@b.cc')
    const marked = { fields: { ...fields, 'identityMap.Email[0].primary': { const: true } } }
    const { key, xdm } = await keyOf(both, {}, marked)
    expect(key).toBe('Email:a@b.cc')
    expect(xdm?.identityMap).toEqual({ CRMID: [{ id: '1' }], Email: [{ id: 'a@b.cc', primary: true }] })
  })

  it('refuses two primaries unless priority decides', async () => {
    const mapping = { fields: { identityMap: 'ids' } }
    const ids = { A: [{ id: '1', primary: true }], B: [{ id: '2', primary: 'true' }] }
    expect((await keyOf({ ids }, {}, mapping)).rejection).toMatchObject({ code: 'IDENTITY', path: 'identityMap' })
    const decided = await keyOf({ ids }, { priority: ['B'] }, mapping)
    expect(decided.key).toBe('B:2')
    expect(decided.xdm?.identityMap.A).toEqual([{ id: '1' }])
  })

  it('keeps allowed namespaces only, and bounds their number', async () => {
    const { xdm, nulled } = await keyOf({ crm: '1', email: 'a@b.cc' }, { allowed: ['Email'] })
    expect(Object.keys(xdm?.identityMap)).toEqual(['Email'])
    expect(nulled).toEqual({ 'identityMap.CRMID': 1 })
    const many = Array.from({ length: 21 }, (_, i) => `id-${i}`)
    expect((await keyOf({ crm: many })).rejection?.code).toBe('IDENTITY')
  })

  it('takes a namespace that is called like an inherited property', async () => {
    const { key } = await keyOf({ ids: { constructor: [{ id: '1' }] } }, {}, { fields: { identityMap: 'ids' } })
    expect(key).toBe('constructor:1')
  })

  it('joins repeated ids and standard namespaces in any case', async () => {
    const mapping = { fields: { identityMap: 'ids' } }
    const ids = { email: [{ id: 'A@b.cc' }], Email: [{ id: 'a@B.cc', authenticatedState: 'authenticated' }] }
    expect((await keyOf({ ids }, {}, mapping)).xdm?.identityMap).toEqual({ Email: [{ id: 'a@b.cc', primary: true }] })
  })
})

describe('consent', () => {
  const mapping = { fields: { 'consents.collect.val': 'c' } }
  it.each(['n', 'dn'])('skips an event with collect %s', async (c) => {
    expect((await map({ ...event, c }, mapping)).result).toMatchObject({ events: [], rejected: [], skipped: 1 })
  })
  it.each(['y', 'dy', 'LI', 'CT', 'CP', 'VI', 'PI'])('takes an event with collect %s', async (c) => {
    expect(
      (await map({ ...event, c }, mapping, { app: { consent: { collect: { undecided: 'refuse' } } } })).events,
    ).toHaveLength(1)
  })
  it.each(['p', 'u', null, 'nonsense'])('leaves %s to the policy', async (c) => {
    expect((await map({ ...event, c }, mapping)).events).toHaveLength(1)
    const refusing = { app: { consent: { collect: { undecided: 'refuse' } } } }
    expect((await map({ ...event, c }, mapping, refusing)).skipped).toBe(1)
  })
})

describe('privacy', () => {
  const mapping = {
    fields: {
      'identityMap.Email': 'mail',
      'productListItems[0].SKU': '"s"',
      'productListItems[0].name': 'n',
      'web.webPageDetails.URL': 'url',
    },
  }
  const source = { ...event, user: null, mail: 'Ann@Example.com', n: 'secret', url: 'https://x' }

  it('drops paths, through lists', async () => {
    const { xdm } = await map(source, mapping, { app: { privacy: { drop: ['productListItems.name', 'web'] } } })
    expect(xdm?.productListItems).toEqual([{ SKU: 's' }])
    expect(xdm?.web).toBeUndefined()
  })

  it('hashes normalised texts, the key of the event with them', async () => {
    const plain = createHash('sha256').update('ann@example.com').digest('hex')
    expect(
      (await map(source, mapping, { app: { privacy: { hash: [{ path: 'identityMap.Email.id' }] } } })).events[0]?.key,
    ).toBe(`Email:${plain}`)
    const keyed = createHmac('sha256', 'k').update('ann@example.com').digest('hex')
    const setup = {
      app: { privacy: { hash: [{ path: 'identityMap.Email.id', keyEnv: 'PII' }] } },
      secrets: { PII: 'k' },
    }
    const { events, xdm } = await map(source, mapping, setup)
    expect(events[0]?.key).toBe(`Email:${keyed}`)
    expect(JSON.stringify(xdm).toLowerCase()).not.toContain('ann@')
  })

  it.each([
    ['an unknown path', { drop: ['web.webPageDetails.nmae'] }, 'Did you mean "web.webPageDetails.name"'],
    ['a required one', { drop: ['timestamp'] }, 'required'],
    ['a missing key', { hash: [{ path: 'web.webPageDetails.URL', keyEnv: 'NOPE' }] }, 'NOPE'],
  ])('refuses %s when the mapper is made', async (_, privacy, text) => {
    await expect(map(source, mapping, { app: { privacy } })).rejects.toThrow(text)
  })
})

describe('events of one record', () => {
  const mapping = {
    each: 'events',
    when: 'item.skip == null',
    fields: {
      _id: 'item.id',
      timestamp: 'coalesce(item.t, t)',
      'commerce.order.priceTotal': { from: 'item.v', onError: 'reject' },
    },
  }
  it('do not affect each other', async () => {
    const { events, rejected, skipped } = await map(
      {
        ...event,
        events: [
          { id: 'a' },
          { id: 'b', v: 'x' },
          7,
          { id: 'c', t: 'never' },
          { id: 'd', skip: true },
          { id: 'e', v: 1 },
        ],
      },
      mapping,
    )
    expect(events.map((it) => it.id)).toEqual(['a', 'e'])
    expect(rejected.map((it) => [it.code, it.path])).toEqual([
      ['MAP_TYPE', '[1].commerce.order.priceTotal'],
      ['DECODE', '[2]'],
      ['MAP_TYPE', '[3].timestamp'],
    ])
    expect(skipped).toBe(1)
  })

  it('must be a list', async () => {
    expect((await map(event, mapping)).rejection).toMatchObject({ code: 'MAP_REQUIRED' })
    expect((await map({ ...event, events: [] }, mapping)).skipped).toBe(1)
  })

  it('are bounded', async () => {
    const events = Array.from({ length: 1_001 }, (_, i) => ({ id: `${i}` }))
    expect((await map({ ...event, events }, mapping)).rejection?.code).toBe('LIMIT')
  })
})

describe('a mapping that can not work is refused when the mapper is made', () => {
  it.each([
    ['an unknown path', { fields: { 'commerce.order.pricetotal': 'x' } }, 'Did you mean "commerce.order.priceTotal"?'],
    ['a syntax error', { fields: { eventType: 'a ==' } }, 'fields.eventType'],
    ['an unknown function', { fields: { eventType: 'lcasee(a)' } }, 'lcase'],
    ['a constant of another type', { fields: { 'commerce.order.priceTotal': { const: 'x' } } }, 'expected number'],
    [
      'a table value of another type',
      { fields: { 'commerce.order.priceTotal': { from: 'x', table: { a: 'b' } } } },
      'table.a',
    ],
    ['each on a path that is no list', { fields: { web: { each: 'x', fields: {} } } }, 'each makes a list'],
    ['nothing to take', { fields: { eventType: { when: 'true' } } }, 'needs from'],
    ['both from and const', { fields: { eventType: { from: 'a', const: 'b' } } }, 'keep one'],
  ])('%s', async (_, mapping, text) => {
    await expect(map(event, mapping)).rejects.toThrow(text)
    await expect(map(event, mapping)).rejects.toThrow('CONFIG sources.shop')
  })
})
