import { describe, expect, it } from 'vitest'
import { composeSchema, describeType, EVENT_TYPES, FIELD_GROUPS, parsePath } from '../../../processors/xdm/index.ts'
import { schema } from './default-schema.ts'
import type { Event } from './testdata/event.ts'

describe('the composed schema', () => {
  it.each([
    ['_id', 'string'],
    ['timestamp', 'date-time'],
    ['commerce.order.priceTotal', 'number'],
    ['productListItems', 'object[]'],
    ['productListItems[].SKU', 'string'],
    ['productListItems[0].quantity', 'integer'],
    ['productListItems[*].selectedOptions[].value', 'string'],
    ['identityMap', 'map<object[]>'],
    ['identityMap.ECID[].id', 'string'],
    ['identityMap.a\\.b[0].primary', 'boolean'],
    ['segmentMembership.ns.seg.status', 'existing | realized | exited'],
    ['environment.ipV4', 'ipv4'],
    ['placeContext.geo._schema.latitude', 'number'],
    ['_shop.score.at', 'date-time'],
    ['_shop.tags', 'string[]'],
    ['_shop.odds', 'map<number>'],
    ['_shop.odds.any', 'number'],
    ['_shop.sourceEvent', 'string'],
    ['_shop.payload', 'string'],
  ])('knows %s as %s', (path, type) => {
    expect(describeType(schema.typeAt(path)!)).toBe(type)
  })

  it.each([
    '',
    '.',
    'a..b',
    'commerce.',
    'commerce.order.total',
    'productListItems.SKU',
    'web[]',
    '_id.x',
    'web[x]',
    '__proto__',
    'constructor',
  ])('does not know %j', (path) => {
    expect(schema.typeAt(path)).toBeUndefined()
    expect(schema.isRequired(path)).toBe(false)
  })

  it.each([
    ['commerce.order.priceTotl', 'commerce.order.priceTotal'],
    ['web.webPageDetails.url', 'web.webPageDetails.URL'],
    ['productListItems[].sku', 'productListItems[].SKU'],
    ['eventtype', 'eventType'],
    ['webPageDetails.name', 'web.webPageDetails.name'],
    ['zzzzzzzzzzzzzzzzzzzzzz', undefined],
  ])('takes %s for %s', (wrong, right) => {
    expect(schema.nearest(wrong)).toBe(right)
  })

  it('knows what is required', () => {
    expect(schema.isRequired('_id')).toBe(true)
    expect(schema.isRequired('timestamp')).toBe(true)
    expect(schema.isRequired('productListItems[].SKU')).toBe(true)
    expect(schema.isRequired('eventType')).toBe(false)
  })

  it('lists its leaves with type and title, each of which it finds again', () => {
    const paths = schema.paths()
    expect(paths.length).toBeGreaterThan(900)
    for (const { path, type } of paths) expect(describeType(schema.typeAt(path.replaceAll('.*', '.key'))!)).toBe(type)
    expect(paths).toContainEqual({
      path: 'productListItems[].priceTotal',
      type: 'number',
      title: 'Price total',
      description: 'Price of the line: unit price times quantity',
      required: false,
    })
    expect(paths.find((it) => it.path === 'identityMap.*[].id')).toMatchObject({ required: true })
  })

  it('takes only the chosen field groups', () => {
    const small = composeSchema({ tenant: '_rtml', fieldGroups: ['web'], fields: {} })
    expect([...small.root.fields.keys()]).toEqual([
      '_id',
      'timestamp',
      'eventType',
      'eventMergeId',
      'producedBy',
      'identityMap',
      'web',
      '_rtml',
    ])
    expect(small.typeAt('commerce')).toBeUndefined()
  })

  it.each(['comerce', 'experienceevent-commerce', 'Commerce'])(
    'says the nearest name for the field group %s',
    (group) => {
      expect(() => composeSchema({ tenant: '_rtml', fieldGroups: [group], fields: {} })).toThrow(
        `CONFIG schema.fieldGroups: there is no field group "${group}". Did you mean "commerce"?`,
      )
    },
  )

  it.each([
    [{ 'a-b': 'string' }, 'schema.fields.a-b'],
    [{ __proto__x: 'string', 'a..b': 'string' }, 'schema.fields.a..b'],
    [{ a: 'string', 'a.b': 'number' }, '"a" is defined already'],
    [{ 'a.b': 'string', a: 'number' }, '"a" is defined already'],
    [{ payload: 'string' }, '"payload" is defined already'],
    [{ 'a.b.c.d.e.f.g.h.i': 'string' }, 'schema.fields.a.b.c.d.e.f.g.h.i'],
  ] as const)('refuses tenant fields %j', (fields, message) => {
    expect(() => composeSchema({ tenant: '_rtml', fields: { ...fields } })).toThrow(message)
  })

  it('keeps apart tenant records whose paths read alike', () => {
    const twins = composeSchema({ tenant: '_rtml', fields: { 'aB.x': 'string', 'a.b.y': 'number' } })
    const xdm = { _id: '1', timestamp: '2026-01-01T00:00:00.000Z', _rtml: { aB: { x: 't' }, a: { b: { y: 1 } } } }
    expect(twins.conform(xdm)).toEqual({ xdm, problems: [], dropped: [] })
    expect(twins.decode(twins.encode({ id: '', ts: 0 as never, key: '', xdm })).xdm).toEqual(xdm)
  })

  it('knows the standard event types and all field groups', () => {
    expect(EVENT_TYPES).toHaveLength(88)
    expect(EVENT_TYPES).toContain('commerce.productViews')
    expect([...EVENT_TYPES].sort()).toEqual(EVENT_TYPES)
    expect(FIELD_GROUPS).toContain('media-analytics')
  })

  it('gives TypeScript that compiles', async () => {
    await expect(schema.toTypeScript('Event')).toMatchFileSnapshot('testdata/event.ts')
    const event: Event = {
      _id: '1',
      timestamp: '2026-01-01T00:00:00.000Z',
      identityMap: { ECID: [{ id: '1', authenticatedState: 'ambiguous' }] },
      productListItems: [{ SKU: '1', selectedOptions: [{ attribute: 'a', value: 'b' }] }],
      web: { webReferrer: { type: 'internal' } },
      _shop: { labels: { a: 'b' }, score: { value: 1 } },
    }
    expect(schema.conform(event).problems).toEqual([])
  })
})

describe('a path', () => {
  it.each([
    ['a.b', ['a', 'b']],
    ['a[].b', ['a', '[]', 'b']],
    ['a[*][3]', ['a', '[]', '[]']],
    ['First\\.Name.x', ['First.Name', 'x']],
  ])('%s splits', (path, segments) => {
    expect(parsePath(path)).toEqual(segments)
  })

  it.each(['', 'a.', '.a', 'a[', 'a]', 'a[-1]', '[]'])('%j is none', (path) => {
    expect(parsePath(path)).toBeUndefined()
  })
})
