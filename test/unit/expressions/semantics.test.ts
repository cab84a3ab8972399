// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is how the expression language writes odd names
import { describe, expect, it } from 'vitest'
import { createExpressions } from '../../../processors/expressions/index.ts'

const expressions = createExpressions()
const ROOT = {
  eventType: 'purchase',
  price: 2.5,
  quantity: 3,
  a: { b: 'x', none: null, 'street.name': 'Main', 'odd name': 'odd' },
  tags: ['red', null, 'blue'],
  items: [{ sku: '1', q: 2, sizes: ['s', 'm'] }, { sku: '2', q: 3, sizes: ['l'] }, { q: 1 }],
  id: '9007199254740993',
  big: 9007199254740993n,
  'First.Name': 'Ann',
  'First Name': 'Bo',
  prénom: 'Cé',
  $cost: 7,
  in: 'keyword',
  package: 'reserved',
  size: 'a field, not the function',
  payload: JSON.parse('{"__proto__": {"x": 1}, "constructor": "own"}') as object,
  zero: 0,
}

const evaluate = (source: string, variables: Record<string, unknown> = {}) =>
  expressions.compile(source, { variables: Object.keys(variables) }).evaluate(ROOT, variables)

describe('a missing field', () => {
  it.each([
    ['a.b', 'x'],
    ['a.z', null],
    ['z.y.x', null],
    ['a.b.c', null],
    ['a.none', null],
    ['a.none.deeper', null],
    ['a.z == "x"', null],
    ['a.z != "x"', null],
    ['a.z == a.y', null],
    ['a.z == null', true],
    ['null == a.none', true],
    ['a.b != null', true],
    ['a.z > 1', null],
    ['a.z + 1', null],
    ['-a.z', null],
    ['!a.z', null],
    ['!(a.z == "x")', null],
    ['a.z == "x" || true', true],
    ['a.z == "x" && false', false],
    ['a.z == "x" || false', null],
    ['a.z == "x" && true', null],
    ['true && true && a.z == 1', null],
    ['a.z in ["x"]', false],
    ['a.z in ["x", null]', true],
    ['"x" in a.z', false],
    ['a.z ? 1 : 2', 2],
    ['iif(a.z == "x", 1, 2)', 2],
    ['coalesce(a.z, a.none, a.b, "never")', 'x'],
    ['coalesce(tags)', 'red'],
    ['has(a.b)', true],
    ['has(a.none)', true],
    ['has(a.z)', false],
    ['has(z.y)', false],
    ['lower(a.z)', null],
    ['concat("a", a.z)', null],
    ['a.z.startsWith("x")', null],
    ['size(a.z)', null],
    ['a.z.map(x, x)', null],
    ['a.z.filter(x, true)', null],
    ['a.z.exists(x, true)', null],
    ['a.z.all(x, true)', null],
    ['[a.z, 1]', [null, 1]],
    ['{"k": a.z}', { k: null }],
  ])('%s → %o', (source, result) => {
    expect(evaluate(source)).toEqual(result)
  })

  it('makes a condition false, and so does an error', () => {
    const holds = (source: string) => expressions.compile(source).test(ROOT)
    expect(holds('a.z == "x"')).toBe(false)
    expect(holds('a.z != "x"')).toBe(false)
    expect(holds('price + "x" == 1')).toBe(false)
    expect(holds('a.b')).toBe(false)
    expect(holds('a.b == "x"')).toBe(true)
  })
})

describe('numbers', () => {
  it.each([
    ['price * 2', 5],
    ['quantity + 1', 4],
    ['quantity / 2', 1.5],
    ['7 / 2', 3.5],
    ['7 % 4', 3],
    ['-quantity', -3],
    ['1 == 1.0', true],
    ['quantity == 3', true],
    ['quantity in [1, 3.0]', true],
    ['quantity > 2.5 && price < 3', true],
    ['0xFF + 1u', 256],
    ['id', '9007199254740993'],
    ['big + 1', 9007199254740994n],
    ['big == 9007199254740993', true],
    ['big - 9007199254740992', 1],
    ['big / 2 > 1', true],
    ['1 == "1"', false],
    ['int(-2.7)', -2],
    ['string(12.0)', '12'],
    ['"a" + "b"', 'ab'],
    ['[1] + [2, 3]', [1, 2, 3]],
    ['[1, 2].map(x, x / 4)', [0.25, 0.5]],
  ])('%s → %o', (source, result) => {
    expect(evaluate(source)).toEqual(result)
  })

  it.each(['1 / 0', 'price % 0', '1e308 * 10', 'price / zero'])('%s is refused, not infinite', (source) => {
    expect(() => evaluate(source)).toThrow(/Division by zero|finite/)
  })
})

describe('logic', () => {
  it('lets the deciding operand win over an error beside it, on either side, as CEL does', () => {
    expect(evaluate('price + "x" == 1 || true')).toBe(true)
    expect(evaluate('true || price + "x" == 1')).toBe(true)
    expect(evaluate('price + "x" == 1 && false')).toBe(false)
    expect(() => evaluate('price + "x" == 1 && true')).toThrow('has no meaning')
    expect(evaluate('items.exists(i, i.q + "" == "" || i.q == 3)')).toBe(true)
  })

  it('evaluates only the branch that is taken', () => {
    expect(evaluate('zero == 0 ? 0 : 1 / zero')).toBe(0)
    expect(evaluate('iif(zero == 0, 0, 1 / zero)')).toBe(0)
    expect(evaluate('decode(zero, 0, "none", 1 / zero, "x")')).toBe('none')
    expect(evaluate('coalesce(1, 1 / zero)')).toBe(1)
  })
})

describe('paths', () => {
  it.each([
    ['items[0].sku', '1'],
    ['items[9].sku', null],
    ['items[-1]', null],
    ['items[*].sku', ['1', '2', null]],
    ['items[*].sizes[*]', ['s', 'm', 'l']],
    ['items[*].sizes[0]', ['s', 'l', null]],
    ['items[*]', ROOT.items],
    ['items[ * ].q', [2, 3, 1]],
    ['a[*].b', null],
    ['missing[*].b', null],
    ['size(items[*].sku)', 3],
    ['items.map(i, i.sizes[*])', [['s', 'm'], ['l'], null]],
    ['${First\\.Name}', 'Ann'],
    ['${First Name}', 'Bo'],
    ['root["First.Name"]', 'Ann'],
    ['a.street\\.name', 'Main'],
    ['a.${odd name}', 'odd'],
    ['${a.odd name}', 'odd'],
    ['a["odd name"]', 'odd'],
    ['${items[1].sku}', '2'],
    ['${in}', 'keyword'],
    ['${package}', 'reserved'],
    ['prénom + "!"', 'Cé!'],
    ['$cost + 1', 8],
    ['size', 'a field, not the function'],
    ['"${First Name}"', '${First Name}'],
    ['r"a\\.b[*]" // ${comment', 'a\\.b[*]'],
    ['items.map(i, ${i.sku})', ['1', '2', null]],
    ['root.root', null],
  ])('%s → %o', (source, result) => {
    expect(evaluate(source)).toEqual(result)
  })

  it.each([
    ['constructor', null],
    ['toString', null],
    ['a.constructor', null],
    ['a.__proto__', null],
    ['a["__proto__"]', null],
    ['items.length', null],
    ['items.map', null],
    ['a.b.length', null],
    ['price.toFixed', null],
    ['payload.constructor', 'own'],
    ['payload["__proto__"].x', 1],
    ['"constructor" in a', false],
    ['"__proto__" in payload', true],
    ['date("2020-01-01").epochMs', null],
  ])('%s finds only own fields: %o', (source, result) => {
    expect(evaluate(source)).toEqual(result)
  })

  it('writes __proto__ as a field, never as a prototype', () => {
    const made = evaluate('to_object("__proto__", "own")') as object
    expect(Object.getPrototypeOf(made)).toBe(Object.prototype)
    expect(Object.entries(made)).toEqual([['__proto__', 'own']])
    expect(({} as Record<string, unknown>).own).toBeUndefined()
  })

  it('reads declared variables, which hide fields, and names of comprehensions, which hide both', () => {
    expect(evaluate('item.sku + "/" + string(index)', { item: { sku: 's' }, index: 4 })).toBe('s/4')
    expect(evaluate('price', { price: 'variable' })).toBe('variable')
    expect(evaluate('root.price', { price: 'variable' })).toBe(2.5)
    expect(evaluate('[1].map(price, price)', { price: 'variable' })).toEqual([1])
    expect(evaluate('[1, 2].map(x, [10].map(y, x + y))')).toEqual([[11], [12]])
    expect(expressions.compile('item.sku', { variables: ['item'] }).evaluate(ROOT)).toBeNull()
  })

  it('names the fields that it reads', () => {
    const paths = (source: string) => expressions.compile(source, { variables: ['item'] }).paths
    expect(paths('commerce.order.priceTotal > 1 && eventType == "x"')).toEqual([
      'commerce.order.priceTotal',
      'eventType',
    ])
    expect(paths('items[0].sku')).toEqual(['items[].sku'])
    expect(paths('items[*].sizes[*]')).toEqual(['items[].sizes[]'])
    expect(paths('items.exists(i, i.q > 1)')).toEqual(['items', 'items[].q'])
    expect(paths('contains_key("a.b[0]")')).toEqual(['a.b[]'])
    expect(paths('identityMap[kind][0].id')).toEqual(['identityMap', 'kind'])
    expect(paths('item.sku + ${First\\.Name}')).toEqual(['First\\.Name'])
    expect(paths('1 + 1')).toEqual([])
  })
})

describe('comprehensions', () => {
  it.each([
    ['items.map(i, i.q)', [2, 3, 1]],
    ['items.map(i, i.q > 1, i.sku)', ['1', '2']],
    ['items.filter(i, i.sku != null).map(i, i.sku)', ['1', '2']],
    ['items.filter(i, i.sku == "1").size()', 1],
    ['items.exists(i, i.sku == "2")', true],
    ['items.exists(i, i.sku == "9")', null],
    ['items.exists(i, i.q == 9)', false],
    ['items.all(i, i.q > 0)', true],
    ['items.all(i, i.sku != "z")', null],
    ['items.exists_one(i, i.q == 1)', true],
    ['[].all(x, false)', true],
    ['a.exists(k, k == "b")', true],
    ['cel.bind(total, price * quantity, total + total)', 15],
    ['filterArray(tags, t -> t != null)', ['red', 'blue']],
    ['items.map(i, i.sizes.map(s, i.q))', [[2, 2], [3], null]],
  ])('%s → %o', (source, result) => {
    expect(evaluate(source)).toEqual(result)
  })
})

describe('where a replay must give the same result', () => {
  const replayed = createExpressions({ clock: () => 0 as never, random: () => 0, replayable: true })

  it.each(['now()', 'timestamp()', 'uuid()', 'guid()', 'format(now(), "yyyy")'])('%s is refused', (source) => {
    expect(() => replayed.compile(source)).toThrow(/another value on each replay/)
  })

  it('the date that a text names is allowed', () => {
    expect(replayed.compile('timestamp("2019-10-23T11:24:00Z")').evaluate({})).toBe('2019-10-23T11:24:00Z')
  })

  it('without a clock now() is refused too', () => {
    expect(() => createExpressions().compile('now()')).toThrow('no clock')
  })
})

describe('time zones', () => {
  it('reads a text that names no zone in the zone of the options', () => {
    const paris = createExpressions({ timeZone: 'Europe/Paris' })
    expect(paris.compile('date("2019-10-23 11:24")').evaluate({})).toBe('2019-10-23T11:24:00+02:00')
    expect(paris.compile('date("2019-10-23T11:24Z")').evaluate({})).toBe('2019-10-23T11:24:00Z')
    expect(paris.compile('zone_date_to_utc("2019-01-23 11:24")').evaluate({})).toBe('2019-01-23T10:24:00Z')
  })

  it('refuses a zone that is not known', () => {
    expect(() => createExpressions({ timeZone: 'Europe/Pari' })).toThrow('is not a time zone')
  })
})
