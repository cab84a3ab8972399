import { describe, expect, it } from 'vitest'
import { RtmlError } from '../../../processors/app/errors.ts'
import type { XdmEvent } from '../../../processors/app/event.ts'
import { epochMs } from '../../../processors/app/units.ts'
import { createExpressions } from '../../../processors/expressions/index.ts'
import { murmur3 } from '../../../processors/features/hash.ts'
import { createFeatureSet, type FeatureSet, type KeyState, type Lookups } from '../../../processors/features/index.ts'
import { application, event } from './arbitraries.ts'

const expressions = createExpressions({ replayable: true })
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const create = (parts: Parameters<typeof application>[0]) => createFeatureSet(application(parts), expressions)

/** Applies a log of one profile and reads all columns by name. */
function read(
  set: FeatureSet,
  log: readonly XdmEvent[],
  options: { at?: number; states?: Map<string, KeyState>; lookups?: Lookups } = {},
): Record<string, number | string> {
  const kernel = set.entities.get('profile')!
  const state = kernel.empty()
  for (const it of log) kernel.update(state, it)
  const states = options.states ?? new Map([['profile', state]])
  const vector = set.newVector()
  const lookups = options.lookups ?? { get: () => undefined }
  const last = log.at(-1)!
  set.vector({ event: last, states, lookups, at: epochMs(options.at ?? Math.max(last.ts, state.time)) }, vector)
  return Object.fromEntries(
    set.columns.map(({ name, type, index }) => [
      name,
      type === 'float' ? vector.floats[index]! : vector.strings[index]!,
    ]),
  )
}

describe('a window', () => {
  it('includes the event itself and reaches back to the hop that it starts in', () => {
    const set = create({ features: { n: { kind: 'count', window: '1h' } } })
    const at = 10 * HOUR + 299_999
    const log = [event('a', 9 * HOUR - 1), event('b', 9 * HOUR), event('c', at)]
    expect(read(set, log)).toEqual({ n: 2 })
    expect(read(set, [...log, event('d', at + 1)])).toEqual({ n: 2 })
  })

  it('moves on without an event when it is read later', () => {
    const set = create({ features: { n: { kind: 'count', window: '1h' } } })
    expect(read(set, [event('a', 0)], { at: HOUR + 299_999 })).toEqual({ n: 1 })
    expect(read(set, [event('a', 0)], { at: HOUR + 300_000 })).toEqual({ n: 0 })
  })

  it('takes a late event into its pane and refuses one beyond the lateness', () => {
    const set = create({ features: { n: { kind: 'count', window: '24h' } }, events: { lateness: '1h' } })
    const kernel = set.entities.get('profile')!
    const state = kernel.empty()
    expect(kernel.update(state, event('a', 5 * HOUR))).toBe('applied')
    expect(kernel.update(state, event('b', 4 * HOUR))).toBe('applied')
    const before = kernel.encode(state)
    expect(kernel.update(state, event('c', 4 * HOUR - 1))).toBe('late')
    expect(kernel.update(state, event('a', 9 * HOUR))).toBe('duplicate')
    expect(kernel.update(state, event('d', Number.NaN))).toBe('late')
    expect(kernel.update(state, event('d', 2 ** 53))).toBe('late')
    expect(kernel.encode(state)).toEqual(before)
    expect(state.time).toBe(5 * HOUR)
  })
})

describe('the ring of ids', () => {
  const after = (events: object, log: [string, number][]) => {
    const kernel = create({ features: {}, events }).entities.get('profile')!
    const state = kernel.empty()
    return log.map(([id, ts]) => kernel.update(state, event(id, ts))).at(-1)
  }
  it('remembers the last ids in order of arrival', () => {
    const three: [string, number][] = [
      ['a', 3],
      ['b', 1],
      ['c', 2],
    ]
    expect(after({ dedup: { ids: 2 } }, [...three, ['b', 9]])).toBe('duplicate')
    expect(after({ dedup: { ids: 2 } }, [...three, ['a', 9]])).toBe('applied')
    expect(after({ dedup: { ids: 0 } }, [...three, ['c', 9]])).toBe('applied')
  })
  it('forgets an id when the key is the dedup window, and up to 1/120 of it, past it', () => {
    expect(
      after({ dedup: { window: '2m' } }, [
        ['a', 0],
        ['b', 120_999],
        ['a', 121_000],
      ]),
    ).toBe('duplicate')
    expect(
      after({ dedup: { window: '2m' } }, [
        ['a', 0],
        ['b', 121_000],
        ['a', 121_000],
      ]),
    ).toBe('applied')
  })
})

describe('a silent key', () => {
  const set = create({ features: { n: { kind: 'count' }, r: { kind: 'recency' } }, events: { ttl: '2h' } })
  const kernel = set.entities.get('profile')!

  it('expires after its ttl, and not at it', () => {
    expect(read(set, [event('a', 0)], { at: 2 * HOUR })).toEqual({ n: 1, r: 7_200 })
    expect(read(set, [event('a', 0)], { at: 2 * HOUR + 1 })).toEqual({ n: 0, r: Number.NaN })
    const state = kernel.empty()
    kernel.update(state, event('a', 0))
    expect(kernel.isExpired(state, epochMs(2 * HOUR))).toBe(false)
    expect(kernel.isExpired(state, epochMs(2 * HOUR + 1))).toBe(true)
    expect(kernel.isExpired(kernel.empty(), epochMs(0))).toBe(true)
  })
  it('starts anew with its next event', () => {
    expect(read(set, [event('a', 0), event('b', 2 * HOUR)])).toEqual({ n: 2, r: 0 })
    expect(read(set, [event('a', 0), event('b', 2 * HOUR + 1)])).toEqual({ n: 1, r: 0 })
  })
  it('has no ages', () => {
    const inputs = { event: event('a', 0), states: new Map(), lookups: { get: () => undefined }, at: epochMs(0) }
    expect(set.ages(inputs)).toEqual([
      { feature: 'n', ageMs: undefined },
      { feature: 'r', ageMs: undefined },
    ])
  })
})

describe('values', () => {
  it('that are no numbers count in nothing: no text, no NaN, no infinity, nothing beyond float32', () => {
    const numbers = ['sum', 'mean', 'min', 'max', 'variance', 'last', 'first']
    const set = create({ features: Object.fromEntries(numbers.map((kind) => [kind, { kind, value: 'n' }])) })
    const bad = ['5', Number.NaN, Number.POSITIVE_INFINITY, 1e39, null, undefined, {}, []]
    const log = bad.map((n, i) => event(`bad${i}`, i, { n }))
    const missing = Number.NaN
    const empty = { mean: missing, min: missing, max: missing, variance: missing, last: missing, first: missing }
    expect(read(set, log)).toEqual({ sum: 0, ...empty })
    const good = [event('x', 50, { n: true }), event('y', 51, { n: 4 })]
    const wanted = { sum: 5, mean: 2.5, min: 1, max: 4, variance: 2.25, last: 4, first: 1 }
    expect(read(set, [...log, ...good])).toEqual(wanted)
  })

  it('missing or failing match nothing, and so do filters', () => {
    const set = create({
      features: {
        failing: { kind: 'count', where: '1 / n > 0' },
        missing: { kind: 'count', where: 'a.b.c == "x"' },
        number: { kind: 'count', where: 'n' },
        value: { kind: 'last', value: 'a.b.c', type: 'text', default: 'none' },
      },
    })
    expect(read(set, [event('a', 0, { n: 0 })])).toEqual({ failing: 0, missing: 0, number: 0, value: 'none' })
  })

  it('are evaluated once an event, however many features and entities ask', () => {
    let evaluations = 0
    const counting: typeof expressions = {
      compile: (source, options) => {
        const compiled = expressions.compile(source, options)
        const evaluate: typeof compiled.evaluate = (root, variables) => {
          evaluations++
          return compiled.evaluate(root, variables)
        }
        return { ...compiled, evaluate, test: (root, variables) => evaluate(root, variables) === true }
      },
    }
    const features = Object.fromEntries(
      ['sum', 'mean', 'max'].flatMap((kind) =>
        ['1h', '24h'].map((window) => [`${kind}_${window}`, { kind, value: 'n', where: 'n > 1', window }]),
      ),
    )
    const set = createFeatureSet(
      application({ features: { ...features, now: { kind: 'event', value: 'n' } } }),
      counting,
    )
    read(set, [event('a', 0, { n: 5 })])
    expect(evaluations).toBe(2)
    expect((set.entities.get('profile')!.layout.tracks as unknown[]).length).toBe(2)
  })
})

describe('columns', () => {
  const words = ['a', 'b']
  const set = create({
    features: {
      text: { kind: 'last', value: 't', type: 'text' },
      byDefault: { kind: 'event', value: 't', default: 'none' },
      number: { kind: 'last', value: 't' },
      index: { kind: 'last', value: 't', encode: { vocabulary: words } },
      hot: { kind: 'last', value: 't', encode: { onehot: words }, default: 'b' },
      bucket: { kind: 'last', value: 't', encode: { hash: 10 } },
      three: { kind: 'lastN', value: 't', n: 3, encode: { vocabulary: words } },
      two: { kind: 'topK', value: 't', k: 2, type: 'text', default: '-' },
      per: { kind: 'buckets', by: 't', keys: words },
      same: { kind: 'buckets', by: 't', read: 't' },
    },
  })

  it('are named after the feature, its place and its word', () => {
    expect(set.columns.map(({ name, type }) => `${name} ${type}`)).toEqual([
      'text string',
      'byDefault string',
      'number float',
      'index float',
      'hot=a float',
      'hot=b float',
      'bucket float',
      'three[0] float',
      'three[1] float',
      'three[2] float',
      'two[0] string',
      'two[1] string',
      'per=a float',
      'per=b float',
      'same float',
    ])
    expect([set.floatCount, set.stringCount]).toEqual([11, 4])
    expect(set.resolve('three')!.map(({ name }) => name)).toEqual(['three[0]', 'three[1]', 'three[2]'])
    expect(set.resolve('three[1]')!.map(({ index }) => index)).toEqual([6])
    expect(set.resolve('text')!.map(({ index }) => index)).toEqual([0])
    expect(set.resolve('nothing')).toBeUndefined()
  })

  it('hold what their encoding says', () => {
    const log = ['a', 'zzz', 'b', 'b'].map((t, i) => event(`e${i}`, i, { t }))
    expect(read(set, log)).toEqual({
      ...{ text: 'b', byDefault: 'b', number: Number.NaN, index: 2, 'hot=a': 0, 'hot=b': 1 },
      ...{ bucket: murmur3('b') % 10, 'three[0]': 2, 'three[1]': 2, 'three[2]': 0, 'two[0]': 'b', 'two[1]': 'a' },
      ...{ 'per=a': 1, 'per=b': 2, same: 2 },
    })
  })

  it('hold defaults, or NaN and the empty text, where there is no value', () => {
    expect(read(set, [event('e', 0)])).toEqual({
      ...{ text: '', byDefault: 'none', number: Number.NaN, index: 0, 'hot=a': 0, 'hot=b': 1 },
      ...{ bucket: Number.NaN, 'three[0]': 0, 'three[1]': 0, 'three[2]': 0, 'two[0]': '-', 'two[1]': '-' },
      ...{ 'per=a': 0, 'per=b': 0, same: 0 },
    })
  })
})

describe('a ratio', () => {
  // Worked rows of Metarank's documentation: global 100 impressions to 10 clicks, this item 2 to 1 (and 10 to 3).
  it.each([
    [10, 2, 1, 0.1078],
    [1, 2, 1, 0.1667],
    [10, 10, 3, 0.1182],
  ])('with a prior of weight %i, %i impressions and %i clicks is %d', (weight, impressions, clicks, wanted) => {
    const prior = { numerator: weight, denominator: (weight * 100) / 10 }
    const set = create({ features: { r: { kind: 'ratio', numerator: 'click', denominator: 'view', prior } } })
    const log = Array.from({ length: impressions }, (_, i) => event(`e${i}`, i, { view: true, click: i < clicks }))
    expect(read(set, log).r).toBeCloseTo(wanted, 4)
  })
  it('of nothing is missing without a prior, the prior rate with one', () => {
    const ratio = { kind: 'ratio', numerator: 'click', denominator: 'view' }
    const prior = { numerator: 1, denominator: 4 }
    const set = create({ features: { bare: ratio, zero: { ...ratio, default: 0 }, smooth: { ...ratio, prior } } })
    expect(read(set, [event('e', 0)])).toEqual({ bare: Number.NaN, zero: 0, smooth: 0.25 })
  })
})

describe('order', () => {
  it('of events of one millisecond comes from their ids, not from their arrival', () => {
    const set = create({ features: { l: { kind: 'lastN', value: 'n', n: 4 }, f: { kind: 'first', value: 'n' } } })
    const log = [1, 2, 3, 4].map((n) => event(`id-${n}`, 5, { n }))
    const one = read(set, log)
    expect(read(set, log.toReversed())).toEqual(one)
    expect([one['l[0]'], one['l[1]'], one['l[2]'], one['l[3]']].toSorted()).toEqual([1, 2, 3, 4])
    expect(one.f).toBe(one['l[3]'])
  })

  it('does not matter to a session that a late event joins', () => {
    const set = create({
      features: {
        n: { kind: 'session', gap: '10m' },
        s: { kind: 'session', gap: '10m', measure: 'seconds' },
        v: { kind: 'session', gap: '10m', measure: 'sum', value: 'n' },
      },
    })
    const [a, b, c] = [0, 8, 16].map((minute, i) => event(`e${i}`, minute * MINUTE, { n: 10 ** i }))
    expect(read(set, [a!, c!])).toEqual({ n: 1, s: 0, v: 100 })
    expect(read(set, [a!, c!, b!])).toEqual({ n: 3, s: 960, v: 111 })
    expect(read(set, [a!, b!, c!])).toEqual({ n: 3, s: 960, v: 111 })
    expect(read(set, [a!, b!, c!], { at: 26 * MINUTE })).toEqual({ n: 3, s: 960, v: 111 })
    expect(read(set, [a!, b!, c!], { at: 26 * MINUTE + 1 })).toEqual({ n: 0, s: 0, v: 0 })
  })

  it('does matter beyond the capacity of a map: the least goes, the newcomer stays', () => {
    const set = create({ features: { t: { kind: 'topK', value: 't', type: 'text', k: 3, capacity: 2 } } })
    const log = ['a', 'a', 'b', 'c', 'b'].map((t, i) => event(`e${i}`, i, { t }))
    expect(read(set, log)).toEqual({ 't[0]': 'a', 't[1]': 'b', 't[2]': '' })
  })
})

describe('entities', () => {
  const set = create({
    entities: {
      item: { key: 'productListItems.map(i, i.SKU)', ttl: '1h' },
      pair: { key: ['profile', 'productListItems.map(i, i.SKU)'] },
    },
    features: {
      own: { kind: 'count' },
      views: { kind: 'count', entity: 'item' },
      mine: { kind: 'count', entity: 'pair' },
      price: { kind: 'lookup', table: 'prices', key: 'productListItems[0].SKU', field: 'price' },
      nested: { kind: 'lookup', table: 'prices', key: 'productListItems[0].SKU', field: 'tax.rate', default: 19 },
    },
  })
  const items = (...skus: unknown[]) => ({ productListItems: skus.map((SKU) => ({ SKU })) })

  it('have the keys that the event gives: fanned out, crossed without ambiguity, or none', () => {
    const keys = (entity: string, fields: object, key = 'ECID:1') =>
      set.entities.get(entity)!.keys(event('e', 0, fields, key))
    expect(keys('profile', {})).toEqual(['ECID:1'])
    expect(keys('item', items('a', 'b', 'a', 7, '', null))).toEqual(['a', 'b', '7'])
    expect(keys('item', {})).toEqual([])
    expect(keys('pair', items('a', 'b'))).toEqual(['ECID:1|a', 'ECID:1|b'])
    expect(keys('pair', items('x|y'), 'A')).not.toEqual(keys('pair', items('y'), 'A|x'))
    expect(keys('pair', {})).toEqual([])
    expect(keys('item', items(...Array.from({ length: 300 }, (_, i) => `s${i}`)))).toHaveLength(100)
  })

  it('each have their state; a value newer than the profile is read as it is', () => {
    const item = set.entities.get('item')!
    const views = item.empty()
    item.update(views, event('x', 5 * MINUTE, items('a')))
    item.update(views, event('y', 6 * MINUTE, items('a')))
    const states = new Map<string, KeyState>([['item', views]])
    const lookups: Lookups = {
      get: (table, key) => (table === 'prices' && key === 'a' ? { price: 2.5, tax: { rate: 7 } } : undefined),
    }
    const log = [event('e', 0, items('a'))]
    expect(read(set, log, { states, lookups })).toEqual({ own: 0, views: 2, mine: 0, price: 2.5, nested: 7 })
    const later = { states, at: HOUR + 6 * MINUTE + 1 }
    expect(read(set, log, later)).toEqual({ own: 0, views: 0, mine: 0, price: Number.NaN, nested: 19 })
  })

  it('come in the order of the application, after the profile', () => {
    expect([...set.entities.keys()]).toEqual(['profile', 'item', 'pair'])
  })
})

describe('the version', () => {
  const version = (features: object, events: object = {}) => create({ features, events }).version
  it('is that of the definitions, their order, the lateness and the dedup', () => {
    const a = { kind: 'count', window: '1h' }
    const b = { kind: 'recency' }
    expect(version({ a, b })).toMatch(/^[0-9a-f]{12}$/)
    expect(version({ a: { ...a, description: 'hourly' }, b })).toBe(version({ a, b }))
    expect(version({ a: { window: '1h', kind: 'count' }, b })).toBe(version({ a, b }))
    const others = [
      version({ b, a }),
      version({ a }),
      version({ a, b }, { lateness: '2h' }),
      version({ a, b }, { dedup: { ids: 3 } }),
      version({ a, b: { ...b, default: 0 } }),
    ]
    expect(new Set([version({ a, b }), ...others]).size).toBe(6)
  })
})

describe('a definition that makes no sense', () => {
  it.each([
    [{ kind: 'count', entity: 'itme' }, 'features.f.entity: there is no entity "itme". Known: profile'],
    [{ kind: 'count', where: 'a ==' }, 'features.f.where: '],
    [{ kind: 'sum', value: ')' }, 'features.f.value: '],
    [{ kind: 'ratio', numerator: 'a', denominator: '(' }, 'features.f.denominator: '],
    [{ kind: 'lookup', table: 't', key: 'b c', field: 'f' }, 'features.f.key: '],
    [{ kind: 'sum', value: 'n', unit: 1e-20 }, 'features.f.unit: 1e-20 is not within 1e-12 and 1e12'],
    [{ kind: 'session', gap: '1m', measure: 'sum' }, 'features.f.value: measure: sum needs a value to sum'],
    [{ kind: 'session', gap: '1m', value: 'n' }, 'features.f.value: measure: count reads no value.'],
    [{ kind: 'buckets', by: 't' }, 'features.f.keys: buckets need keys (one column each) or read'],
    [{ kind: 'buckets', by: 't', keys: ['a', 'a'] }, 'features.f: two columns would be called f=a'],
    [{ kind: 'last', value: 't', type: 'text', default: 5 }, 'features.f.default: a text feature needs a text'],
    [{ kind: 'last', value: 't', type: 'number', default: 'x' }, 'features.f.default: a number feature needs a number'],
    [{ kind: 'last', value: 't', type: 'number', encode: { hash: 9 } }, 'features.f.encode: only texts are encoded'],
    [
      { kind: 'event', value: 't', encode: { onehot: ['a'] }, default: 1 },
      'features.f.default: a one-hot feature needs',
    ],
  ])('is refused with its place: %j', (definition, message) => {
    const make = () => create({ features: { f: definition } })
    expect(make).toThrow(RtmlError)
    expect(make).toThrow(`CONFIG ${message}`)
  })
  it('of an entity is refused, too', () => {
    expect(() => create({ features: {}, entities: { item: { key: '(' } } })).toThrow('CONFIG entities.item.key: ')
    expect(() => create({ features: {}, entities: { profile: { key: 'a' } } })).toThrow('CONFIG entities.profile: ')
  })
})
