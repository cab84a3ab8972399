// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is how the expression language writes odd names
import { describe, expect, it } from 'vitest'
import { createExpressions, ExpressionError } from '../../../processors/expressions/index.ts'

const expressions = createExpressions()

function failure(run: () => unknown): ExpressionError {
  try {
    run()
  } catch (error) {
    if (error instanceof ExpressionError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('compile errors name the column and the remedy', () => {
  it.each([
    ['', 'syntax', undefined, 'empty'],
    ['a +', 'syntax', 4, 'EOF'],
    ['a == "open', 'syntax', 6, 'Unterminated string'],
    ['a = 1', 'syntax', 3, 'Equality is "=="'],
    ['a == 1 and b == 2', 'syntax', 8, 'The operator "and" is written &&'],
    ['x.${open', 'syntax', 3, "isn't closed"],
    ['${a..b}', 'syntax', 1, 'empty name'],
    ['package == 1', 'syntax', 1, '${package}'],
    ['lowr(a)', 'unknown-function', 1, 'Did you mean "lower"?'],
    ['1 + Concat("a")', 'unknown-function', 5, 'Did you mean "concat"?'],
    ['a.b.lower()', 'unknown-function', 5, 'lower(input)'],
    ['a.containz("x")', 'unknown-function', 3, 'Did you mean "contains"?'],
    ['contains(a, "x")', 'unknown-function', 1, 'text.contains(other)'],
    ['xyzzy(a)', 'unknown-function', 1, 'docs/expressions.md'],
    ['lower(a, b)', 'argument', 1, 'lower(input)'],
    ['decode(a)', 'argument', 1, 'decode(key, option'],
    ['items.map(1, 2)', 'syntax', 11, ''],
    ['a.matches("(")', 'argument', 3, 'missing closing )'],
    ['matches_regex(a, "(?=x)")', 'argument', 1, 'Look-around'],
    ['explode(a, "[")', 'argument', 1, 'regular expression'],
    ['date(a, "QQQQQQ bb")', 'argument', 1, 'no pattern letter'],
    ['has(1 + 1)', 'argument', 5, 'takes a path'],
    ['${First Name} + lowr(x)', 'unknown-function', 17, 'lower'],
    ['a[*].b\n  && lowr(x)', 'unknown-function', 13, 'line 2, column 6'],
  ])('%j', (source, kind, column, message) => {
    const error = failure(() => expressions.compile(source))
    expect(error.kind).toBe(kind)
    expect(error.column).toBe(column)
    expect(error.message).toContain(message)
  })
})

describe('evaluation errors do too', () => {
  it.each([
    ['1 + to_decimal(price)', 'argument', 5, 'replacestr(x, ",", ".")'],
    ['price + 1', 'type', 1, 'string(…)'],
    ['price > 1', 'type', 1, 'to_decimal'],
    ['n && true', 'type', 1, 'x > 0'],
    ['!price', 'type', 1, 'true or false'],
    ['"a" in price', 'type', 1, 'x.contains(y)'],
    ['n.map(x, x)', 'type', 2 + 1, 'goes through a list'],
    ['lower(list)', 'argument', 1, 'lower: The input is a list, not text.'],
    ['join(",", [list])', 'argument', 1, 'lists or maps'],
    ['substr(price, "1", 2)', 'argument', 1, 'to_integer'],
    ['n.startsWith("1")', 'argument', 3, 'string(…)'],
    ['to_integer("2.5")', 'argument', 1, 'int(to_decimal(…))'],
    ['json_to_object("{")', 'argument', 1, 'not JSON'],
    ['bool("maybe")', 'argument', 1, 'neither true nor false'],
    ['{list: 1}', 'type', 1, 'Quote it'],
    ['sha1("x", "EBCDIC")', 'argument', 1, 'UTF-8, UTF-16'],
    ['get_url_query_str("http://a.b/?c", "keep")', 'argument', 1, '"retain"'],
  ])('%s', (source, kind, column, message) => {
    const expression = expressions.compile(source)
    const error = failure(() => expression.evaluate({ price: '12,50', n: 1, list: [1] }))
    expect(error.kind).toBe(kind)
    expect(error.column).toBe(column)
    expect(error.message).toContain(message)
    expect(expression.test({ price: '12,50', n: 1, list: [1] })).toBe(false)
  })
})

describe('limits end an evaluation instead of hanging it', () => {
  const nest = (depth: number, open: string, core: string, close: string) =>
    open.repeat(depth) + core + close.repeat(depth)
  const long = 'x'.repeat(1_000_000)
  const many = Array.from({ length: 2_000 }, (_, index) => index)

  it.each([
    ['a source beyond the limit', 'a'.repeat(20_000)],
    ['parentheses', nest(2_000, '(', 'a', ')')],
    ['lists', nest(2_000, '[', 'a', ']')],
    ['unary operators', `${'!'.repeat(12_000)}a`],
    ['calls', nest(500, 'lower(', 'a', ')')],
    ['ternaries', nest(500, 'a ? ', 'b', ' : c')],
    ['a chain of +', Array(1_500).fill('a').join('+')],
    ['too many nodes', `[${Array(1_900).fill('a.b.c').join(',')}]`],
  ])('compiling: %s', (_, source) => {
    expect(failure(() => expressions.compile(source)).kind).toMatch(/limit|syntax/)
  })

  it('a long chain of || is no nesting', () => {
    const source = Array.from({ length: 900 }, (_, index) => `a == ${index}`).join(' || ')
    expect(expressions.compile(source).test({ a: 899 })).toBe(true)
  })

  it.each([
    ['nested comprehensions', 'm.map(a, m.map(b, m.map(c, 1)))'],
    ['a growing text', nest(30, 'replacestr(', 's', ', "x", "xxxxxxxxxx")')],
    ['padding', 'lpad("a", 2000000000, "b")'],
    ['doubling', 'cel.bind(a, s + s, cel.bind(b, a + a, b + b))'],
    ['a growing list', 'm.map(a, m + m + m + m)'],
    ['regular expressions over much text', 'm.exists(i, s.matches("(x+x+)+y"))'],
    ['hashes over much text', 'm.map(i, sha512(s))'],
    ['occurrences', 'm.map(i, instr(s, "x", 0, 900000))'],
    ['a list that nests too deep', 'flattenArray(deep)'],
    ['maps that nest too deep', 'deep == deep2'],
  ])('evaluating: %s', (_, source) => {
    const nested = (depth: number) => {
      let value: unknown[] = []
      for (let index = 0; index < depth; index++) value = [value]
      return value
    }
    const root = { m: many, s: long, deep: nested(5_000), deep2: nested(5_000) }
    const expression = expressions.compile(source)
    const started = process.cpuUsage()
    expect(failure(() => expression.evaluate(root)).kind).toBe('limit')
    expect(process.cpuUsage(started).user / 1_000, 'milliseconds of processor time').toBeLessThan(2_000)
  })

  it('a pattern that makes a backtracking engine hang is matched in linear time', () => {
    const expression = expressions.compile(
      's.matches("^(a+)+$") || matches_regex(s, "(a|a)*b") || size(explode(s, "(a*)*c")) > 1',
    )
    const started = process.cpuUsage()
    expect(expression.evaluate({ s: `${'a'.repeat(20_000)}!` })).toBe(false)
    expect(process.cpuUsage(started).user / 1_000).toBeLessThan(2_000)
  })

  it('the work of one evaluation is not charged to the next', () => {
    const expression = expressions.compile('m.map(a, m.map(b, 1)).size()')
    const root = { m: many.slice(0, 900) }
    for (let run = 0; run < 5; run++) expect(expression.evaluate(root)).toBe(900)
  })
})
