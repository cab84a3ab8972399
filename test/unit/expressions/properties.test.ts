// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is how the expression language writes odd names
import { inspect } from 'node:util'
import { Environment } from '@marcbachmann/cel-js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileExpression } from '../../../processors/expressions/compile.ts'
import { UTC } from '../../../processors/expressions/dates/zones.ts'
import { createExpressions, ExpressionError, functionReference } from '../../../processors/expressions/index.ts'
import type { Expression } from '../../../processors/expressions/types.ts'

const expressions = createExpressions()
const options = {
  variables: new Set(['item', 'index']),
  context: { clock: undefined, random: undefined, zone: UTC },
  replayable: false,
}
const direct = (source: string) => compileExpression(source, { ...options, specialize: true })
const general = (source: string) => compileExpression(source, { ...options, specialize: false })

/** Few names, so that random paths meet random roots; with names that every object inherits, and odd ones. */
const NAMES = ['a', 'b', 'c', 'sku', 'constructor', 'toString', '__proto__', 'length', 'odd name', '0']
const name = fc.constantFrom(...NAMES)
const scalar = fc.oneof(
  fc.constantFrom<unknown>(
    'x',
    'y',
    '',
    '1',
    'é😀',
    0,
    -0,
    1,
    2,
    2.5,
    -7,
    1e300,
    true,
    false,
    null,
    2n ** 60n,
    1n,
    -7n,
    Number.NaN,
  ),
  fc.string({ maxLength: 8 }),
  fc.double(),
)
const { value } = fc.letrec((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, scalar, fc.array(tie('value'), { maxLength: 4 }), tie('map')),
  map: fc
    .array(fc.tuple(name, tie('value')), { maxLength: 5 })
    // Object.fromEntries makes an own field even of __proto__, as JSON.parse does.
    .map((entries) => Object.fromEntries(entries)),
}))
const root = fc.array(fc.tuple(name, value), { maxLength: 8 }).map((entries) => Object.fromEntries(entries) as object)

const quote = (text: string) => JSON.stringify(text)
const step = fc.oneof(
  { weight: 6, arbitrary: name.map((key) => (/^[a-z]+$/.test(key) ? `.${key}` : `[${quote(key)}]`)) },
  { weight: 1, arbitrary: fc.constantFrom('[0]', '[1]', '[*]', '[index]', '[a]') },
)
const path = fc
  .tuple(
    fc.constantFrom('a', 'b', 'c', 'sku', 'root', 'item', '${odd name}', '${__proto__}', '${constructor.a}'),
    fc.array(step, { maxLength: 4 }),
  )
  .map(([first, rest]) => first + rest.join(''))
const literal = fc.constantFrom(
  '"x"',
  '"1"',
  '""',
  '0',
  '1',
  '2.5',
  '-7',
  'true',
  'false',
  'null',
  '1152921504606846976',
  '"é😀"',
)
const list = fc.array(literal, { maxLength: 4 }).map((items) => `[${items.join(', ')}]`)

/** Conditions of the shapes that have direct closures, mixed with some that have none. */
const { condition } = fc.letrec((tie) => ({
  operand: fc.oneof(path, literal),
  condition: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.tuple(path, fc.constantFrom('==', '!='), literal).map((parts) => parts.join(' ')),
    fc.tuple(literal, fc.constantFrom('==', '!='), path).map((parts) => parts.join(' ')),
    fc.tuple(path, list).map(([left, right]) => `${left} in ${right}`),
    fc
      .tuple(tie('operand'), fc.constantFrom('==', '<', '>=', '+', '-', '*', '/', '%'), tie('operand'))
      .map((parts) => parts.join(' ')),
    path.map((text) => `has(${text})`),
    path,
    fc
      .tuple(tie('condition'), fc.constantFrom('&&', '||'), tie('condition'))
      .map(([a, op, b]) => `(${a}) ${op} (${b})`),
    fc
      .array(tie('condition'), { minLength: 2, maxLength: 4 })
      .map((parts) => parts.map((part) => `(${part})`).join(' && ')),
    tie('condition').map((text) => `!(${text})`),
    fc.tuple(tie('condition'), tie('operand'), tie('operand')).map(([c, a, b]) => `(${c}) ? ${a} : ${b}`),
  ),
}))

type Outcome = { value: unknown } | { kind: string; reason: string }

/** What an evaluation gives, or the error that it ends in; anything but an ExpressionError is a fault of the evaluator. */
function outcome(run: () => unknown): Outcome {
  try {
    return { value: run() }
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    return { kind: error.kind, reason: error.reason }
  }
}

const variables = { item: { a: 'x', sku: 1 }, index: 0 }

describe('direct closures', () => {
  it('give what the general ones give, for every root', () => {
    fc.assert(
      fc.property(condition as fc.Arbitrary<string>, root, (source, event) => {
        const [fast, slow] = [direct(source), general(source)]
        expect(outcome(() => fast.evaluate(event, variables))).toEqual(outcome(() => slow.evaluate(event, variables)))
        expect(fast.test(event, variables)).toBe(slow.test(event, variables))
      }),
      { numRuns: 5_000 },
    )
  })

  it('agree on every pair of a value and a literal, also nearly equal ones', () => {
    const values = [
      1,
      1n,
      '1',
      true,
      0,
      -0,
      0n,
      2.5,
      Number.NaN,
      2n ** 60n,
      2 ** 60,
      '',
      'x',
      null,
      undefined,
      [],
      [1],
      {},
    ]
    const literals = ['1', '"1"', 'true', '0', '-0.0', '2.5', '1152921504606846976', '""', '"x"', 'null']
    for (const text of literals)
      for (const form of [
        'a == L',
        'L != a',
        'a in [L]',
        'a in [L, "z"]',
        '!(a == L)',
        'a == L && a != null',
        'a == L || L == a',
      ])
        for (const a of values) {
          const source = form.replaceAll('L', text)
          expect(direct(source).evaluate({ a }), `${source} with ${inspect(a)}`).toEqual(
            general(source).evaluate({ a }),
          )
        }
  })

  it('read a path as a plain walk over own fields does', () => {
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 6 }), root, (names, event) => {
        const expression = direct(`root${names.map((key) => `[${quote(key)}]`).join('')}`)
        let expected: unknown = event
        for (const key of names)
          expected =
            typeof expected === 'object' &&
            expected !== null &&
            !Array.isArray(expected) &&
            Object.hasOwn(expected, key)
              ? (expected as Record<string, unknown>)[key]
              : null
        expect(expression.evaluate(event)).toEqual(expected)
      }),
      { numRuns: 3_000 },
    )
  })
})

/** Only what both languages mean alike: doubles and texts that are there, no missing fields, no integer division. */
const shared = fc.letrec((tie) => ({
  number: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom('1.5', '2.0', 'n', 'm'),
    fc.tuple(tie('number'), fc.constantFrom('+', '-', '*'), tie('number')).map(([a, op, b]) => `(${a} ${op} ${b})`),
  ),
  text: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom('"x"', '"ab"', 's', 't'),
    fc.tuple(tie('text'), tie('text')).map(([a, b]) => `(${a} + ${b})`),
  ),
  test: fc.oneof(
    { depthSize: 'small' },
    fc
      .tuple(tie('number'), fc.constantFrom('<', '<=', '>', '>=', '==', '!='), tie('number'))
      .map((parts) => parts.join(' ')),
    fc.tuple(tie('text'), fc.constantFrom('==', '!=', '<', '>'), tie('text')).map((parts) => parts.join(' ')),
    fc
      .tuple(tie('text'), fc.constantFrom('contains', 'startsWith', 'endsWith'), tie('text'))
      .map(([a, method, b]) => `${a}.${method}(${b})`),
    fc.tuple(tie('text')).map(([a]) => `${a} in ["x", "ab", s]`),
    fc.tuple(tie('test'), fc.constantFrom('&&', '||'), tie('test')).map(([a, op, b]) => `(${a}) ${op} (${b})`),
    tie('test').map((text) => `!(${text})`),
    fc.tuple(tie('test'), tie('test'), tie('test')).map(([c, a, b]) => `((${c}) ? (${a}) : (${b}))`),
    fc
      .tuple(fc.constantFrom('all', 'exists', 'exists_one'), tie('number'))
      .map(([macro, bound]) => `ns.${macro}(v, v > ${bound})`),
  ),
}))

describe('beside the library’s own evaluator', () => {
  const reference = new Environment({ unlistedVariablesAreDyn: true, homogeneousAggregateLiterals: false })

  it('conditions over numbers and texts that are there have one result', () => {
    const roots = fc.record({
      n: fc.integer({ min: -5, max: 5 }).map((n) => n + 0.5),
      m: fc.integer({ min: -5, max: 5 }).map((n) => n + 0.25),
      s: fc.constantFrom('x', 'ab', 'xab', 'é'),
      t: fc.constantFrom('', 'b', 'xx'),
      ns: fc.array(fc.constantFrom(0.5, 1.5, 2.5, -1.5), { maxLength: 4 }),
    })
    fc.assert(
      fc.property(shared.test as fc.Arbitrary<string>, roots, (source, event) => {
        expect(direct(source).evaluate(event)).toBe(reference.evaluate(source, event))
      }),
      { numRuns: 2_000 },
    )
  })
})

const WORDS = [
  ...functionReference.map(({ name: word }) => `${word}(`),
  ...functionReference.map(({ name: word }) => `.${word}(`),
  ...[
    'a',
    'b',
    'items',
    'root',
    'x',
    '.',
    ',',
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    '[*]',
    '${',
    '\\.',
    '"',
    "'",
    '"t"',
    "r'\\d+'",
    'b"x"',
    '1',
    '2.5',
    '0xF',
    '1u',
    '1e9',
  ],
  ...[
    '+',
    '-',
    '*',
    '/',
    '%',
    '==',
    '!=',
    '<',
    '>',
    '&&',
    '||',
    '!',
    '?',
    ':',
    'in',
    '->',
    'null',
    'true',
    '//',
    '\n',
    ' ',
    'é',
    '😀',
    '\u0000',
    '(a+)+$',
    '.*',
  ],
]
const soup = fc.array(fc.constantFrom(...WORDS), { maxLength: 30 }).map((words) => words.join(''))
const anySource = fc.oneof(soup, fc.string({ maxLength: 60 }), fc.string({ unit: 'binary', maxLength: 40 }))

/** Calls that parse, with arguments of every kind: what functions must survive. */
const argument = fc.oneof(
  path,
  literal,
  list,
  fc.constantFrom(
    '{"a": 1, "b": [2]}',
    '"2019-10-23"',
    '"yyyy-MM-dd"',
    '"(a*)*b"',
    'b"x"',
    '-1',
    '1e308',
    '"%"',
    '"https://a.b/c?d=e#f"',
    'root',
    'now',
    '"UTC"',
  ),
)
const call = fc
  .tuple(fc.constantFrom(...functionReference), fc.array(argument, { maxLength: 8 }))
  .map(([{ name: word, form }, args]) =>
    form === 'method' ? `(${args[0] ?? 'a'}).${word}(${args.slice(1).join(', ')})` : `${word}(${args.join(', ')})`,
  )

function compileOrRefuse(source: string): Expression | undefined {
  try {
    return expressions.compile(source, { variables: ['item', 'index'] })
  } catch (error) {
    expect(error, source).toBeInstanceOf(ExpressionError)
    expect((error as ExpressionError).column, source).toBeGreaterThanOrEqual(1)
    expect((error as ExpressionError).column, source).toBeLessThanOrEqual(source.length + 1)
    return undefined
  }
}

describe('whatever the source and the input', () => {
  it('compiling gives an expression or an ExpressionError that names a column of the source', () => {
    fc.assert(
      fc.property(anySource, (source) => {
        if (source.trim() !== '') compileOrRefuse(source)
      }),
      { numRuns: 5_000 },
    )
  })

  it('evaluating gives a JSON-like value or an ExpressionError', () => {
    fc.assert(
      fc.property(fc.oneof(condition as fc.Arbitrary<string>, call, soup), root, (source, event) => {
        const expression = source.trim() === '' ? undefined : compileOrRefuse(source)
        if (expression === undefined) return
        const before = structuredClone(event)
        const result = outcome(() => expression.evaluate(event, variables))
        if ('value' in result) expect(isJsonLike(result.value), `${source} → ${inspect(result.value)}`).toBe(true)
        expect(typeof expression.test(event, variables)).toBe('boolean')
        expect(event, 'the input is left as it was').toEqual(before)
      }),
      { numRuns: 8_000 },
    )
  })

  it('a second evaluation gives the same as the first', () => {
    fc.assert(
      fc.property(fc.oneof(condition as fc.Arbitrary<string>, call), root, (source, event) => {
        const expression = compileOrRefuse(source)
        if (expression === undefined) return
        expect(outcome(() => expression.evaluate(event, variables))).toEqual(
          outcome(() => expression.evaluate(event, variables)),
        )
      }),
      { numRuns: 2_000 },
    )
  })
})

function isJsonLike(given: unknown): boolean {
  if (given === null || ['string', 'number', 'boolean', 'bigint'].includes(typeof given)) return true
  if (Array.isArray(given)) return given.every(isJsonLike)
  if (given instanceof Uint8Array) return Buffer.isBuffer(given)
  if (typeof given !== 'object') return false
  const prototype: unknown = Object.getPrototypeOf(given)
  return (prototype === Object.prototype || prototype === null) && Object.values(given as object).every(isJsonLike)
}
