import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DEFAULT_LIMITS } from '../../../processors/xdm/index.ts'
import { schema } from './default-schema.ts'
import { randomEvent } from './random-event.ts'

const HEAD = { _id: 'e', timestamp: '2026-03-02T17:22:10.000Z' }
const conform = (fields: object, limits?: object) =>
  schema.conform({ ...HEAD, ...fields }, { ...DEFAULT_LIMITS, ...limits })

describe('conform', () => {
  it('returns a well-formed event as it is, without a copy', () => {
    const event = { ...HEAD, commerce: { productViews: { value: 1 } }, productListItems: [{ SKU: '1' }] }
    expect(schema.conform(event).xdm).toBe(event)
  })

  it.each([
    ['a whole number written as 2.0', { device: { screenWidth: JSON.parse('2.0') } }, { device: { screenWidth: 2 } }],
    ['-0 of an integer', { device: { screenWidth: -0 } }, { device: { screenWidth: 0 } }],
    ['a bigint that fits', { device: { screenWidth: 7n } }, { device: { screenWidth: 7 } }],
    ['"true" for a flag', { device: { isPushOptIn: 'true' } }, { device: { isPushOptIn: true } }],
    [
      'an offset',
      { placeContext: { localTime: '2026-03-02T18:22:10+01:00' } },
      { placeContext: { localTime: '2026-03-02T17:22:10.000Z' } },
    ],
    [
      'microseconds',
      { placeContext: { localTime: '2026-03-02T17:22:10.123456Z' } },
      { placeContext: { localTime: '2026-03-02T17:22:10.123Z' } },
    ],
    [
      'a Date',
      { placeContext: { localTime: new Date(0) } },
      { placeContext: { localTime: '1970-01-01T00:00:00.000Z' } },
    ],
    ['null, as absent', { web: null, device: { model: null } }, { device: {} }],
    ['undefined, as absent', { web: undefined }, {}],
    ['an empty text, as present', { device: { model: '' } }, { device: { model: '' } }],
  ])('takes %s', (_, fields, expected) => {
    const { xdm, problems } = conform(fields)
    expect(problems).toEqual([])
    expect(xdm).toStrictEqual({ ...HEAD, ...expected })
  })

  it.each([
    ['text for a number', { commerce: { order: { priceTotal: '12' } } }, 'MAP_TYPE', 'commerce.order.priceTotal'],
    ['a number for text', { productListItems: [{ SKU: 42 }] }, 'MAP_TYPE', 'productListItems[0].SKU'],
    ['an integer beyond 2^53', { device: { screenWidth: 2 ** 53 } }, 'MAP_TYPE', 'device.screenWidth'],
    ['a bigint beyond 2^53', { device: { screenWidth: 2n ** 53n + 1n } }, 'MAP_TYPE', 'device.screenWidth'],
    ['NaN', { commerce: { order: { priceTotal: Number.NaN } } }, 'MAP_TYPE', 'commerce.order.priceTotal'],
    [
      'Infinity',
      { commerce: { order: { priceTotal: Number.POSITIVE_INFINITY } } },
      'MAP_TYPE',
      'commerce.order.priceTotal',
    ],
    ['null in an array', { _shop: { tags: ['a', null] } }, 'MAP_TYPE', '_shop.tags[1]'],
    ['an object for an array', { productListItems: { SKU: '1' } }, 'MAP_TYPE', 'productListItems'],
    ['an array for an object', { web: [] }, 'MAP_TYPE', 'web'],
    ['a local time', { timestamp: '2026-03-02T17:22:10' }, 'MAP_TYPE', 'timestamp'],
    ['the 30th of February', { timestamp: '2026-02-30T00:00:00Z' }, 'MAP_TYPE', 'timestamp'],
    ['no id', { _id: undefined }, 'MAP_REQUIRED', '_id'],
    ['an empty id', { _id: '' }, 'XDM_INVALID', '_id'],
    ['no time', { timestamp: null }, 'MAP_REQUIRED', 'timestamp'],
    ['half a surrogate pair', { device: { model: 'a\ud800' } }, 'XDM_INVALID', 'device.model'],
    [
      'an identity state outside the list',
      { identityMap: { A: [{ id: '1', authenticatedState: 'yes' }] } },
      'XDM_INVALID',
      'identityMap.A[0].authenticatedState',
    ],
    ['an identity map of bare ids', { identityMap: { A: '1' } }, 'MAP_TYPE', 'identityMap.A'],
    ['a key with a dot', { _shop: { odds: { 'a.b': 'x' } } }, 'MAP_TYPE', '_shop.odds.a\\.b'],
  ])('refuses %s', (_, fields, code, path) => {
    const { problems } = conform(fields)
    expect(problems).toEqual([expect.objectContaining({ code, path })])
    expect(problems[0]!.message).not.toBe('')
  })

  it.each([
    ['stringLength', { device: { model: 'x'.repeat(65) } }, { stringLength: 64 }, 'device.model'],
    ['elements of an array', { _shop: { tags: ['a', 'b', 'c'] } }, { elements: 2 }, '_shop.tags'],
    ['entries of a map', { _shop: { labels: { a: 'a', b: 'b', c: 'c' } } }, { elements: 2 }, '_shop.labels'],
    ['depth', { web: { webPageDetails: { pageViews: { value: 1 } } } }, { depth: 3 }, 'web.webPageDetails.pageViews'],
    [
      'identities',
      { identityMap: { A: [{ id: '1' }, { id: '2' }], B: [{ id: '3' }] } },
      { identities: 2 },
      'identityMap',
    ],
  ])('holds the limit: %s', (_, fields, limits, path) => {
    expect(conform(fields, limits).problems).toEqual([expect.objectContaining({ code: 'LIMIT', path })])
    expect(conform(fields).problems).toEqual([])
  })

  it('drops what it does not know, with its path', () => {
    const { xdm, problems, dropped } = conform({ foo: 1, web: { 'a.b': {}, webPageDetails: { name: 'x', nam: 'y' } } })
    expect(xdm).toEqual({ ...HEAD, web: { webPageDetails: { name: 'x' } } })
    expect(problems).toEqual([])
    expect(dropped).toEqual(['foo', 'web.a\\.b', 'web.webPageDetails.nam'])
  })

  it('bounds its reports', () => {
    const unknown = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`x${i}${'y'.repeat(300)}`, i]))
    const { dropped } = conform(unknown)
    expect(dropped).toHaveLength(100)
    expect(Math.max(...dropped.map((it) => it.length))).toBeLessThan(140)
    expect(conform({ _shop: { tags: new Array(900).fill(1) } }).problems).toHaveLength(100)
  })

  it('is not fooled by __proto__, constructor, or inherited fields', () => {
    const hostile = JSON.parse(
      '{"__proto__":{"web":{}},"constructor":1,"_shop":{"labels":{"__proto__":"x","toString":"y"}}}',
    ) as object
    const { xdm, problems, dropped } = schema.conform(Object.assign(hostile, HEAD))
    expect(problems).toEqual([])
    expect(dropped).toEqual(['__proto__', 'constructor', '_shop.labels.__proto__'])
    expect(Object.getPrototypeOf(xdm)).toBe(Object.prototype)
    expect((xdm as { _shop?: { labels?: object } })._shop?.labels).toStrictEqual({ toString: 'y' })

    const inherited = Object.assign(Object.create({ commerce: {} }) as object, HEAD)
    expect(schema.conform(inherited).xdm).toStrictEqual(HEAD)
  })

  it('refuses what is no object', () => {
    for (const input of [[], new Date(0)]) {
      expect(schema.conform(input).problems).toEqual([expect.objectContaining({ code: 'MAP_TYPE', path: '' })])
    }
  })

  it('accepts random events of the schema, as validation by JSON Schema does', () => {
    fc.assert(
      fc.property(randomEvent(schema.root), (event) => {
        const { xdm, problems, dropped } = schema.conform(event)
        expect(problems).toEqual([])
        expect(dropped).toEqual([])
        expect(xdm).toEqual(event)
        expect(schema.validate(xdm)).toEqual([])
      }),
      { numRuns: 400 },
    )
  })

  it('lets through only what validation accepts, whatever comes in', () => {
    const junk = fc.oneof(
      fc.anything({ maxDepth: 2 }),
      fc.constantFrom('true', 2.5, -1, 'EUR', '2026-01-01', null, [], {}),
    )
    const damaged = fc
      .tuple(randomEvent(schema.root), fc.array(fc.tuple(fc.nat(), junk), { maxLength: 4 }))
      .map(([event, damage]) => {
        const copy = structuredClone(event)
        for (const [at, value] of damage) plant(copy, at, value)
        return copy
      })
    fc.assert(
      fc.property(damaged, (event) => {
        const { xdm, problems } = schema.conform(event)
        const head = new Set(['_id', 'timestamp', 'identityMap'])
        const left = schema.validate(xdm).filter((it) => !head.has(it.path))
        expect(left).toEqual([])
        if (problems.length === 0) expect(schema.validate(xdm)).toEqual([])
      }),
      { numRuns: 600 },
    )
  })
})

/** Puts a value somewhere into a tree: the n-th place of all, counted depth first. */
function plant(tree: object, n: number, value: unknown): void {
  const places: [Record<string, unknown>, string][] = []
  const visit = (node: object): void => {
    for (const [key, child] of Object.entries(node)) {
      places.push([node as Record<string, unknown>, key])
      if (typeof child === 'object' && child !== null) visit(child)
    }
  }
  visit(tree)
  const place = places[n % places.length]
  if (place) place[0][place[1]] = value
}
