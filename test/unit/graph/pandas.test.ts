/** Each operator against what pandas makes of the same columns: testdata/make_pandas.py. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { answersOf, type JsonValue } from '../../../processors/graph/answers.ts'
import { parseGraph } from '../../../processors/graph/format.ts'
import { compileGraph } from '../../../processors/graph/program.ts'
import { readQuestions } from '../../../processors/graph/questions.ts'
import { tensorsOf } from '../../../processors/graph/wire.ts'
import { graph, noHost } from './support.ts'

interface Fixture {
  readonly columns: Readonly<Record<string, readonly JsonValue[]>>
  readonly expressions: readonly { readonly expr: { readonly fn: string }; readonly expected: readonly JsonValue[] }[]
  readonly bins: readonly { readonly params: object; readonly expected: readonly JsonValue[] }[]
  readonly steps: readonly {
    readonly node: { readonly op: string; readonly params: object }
    readonly expected: Readonly<Record<string, readonly JsonValue[]>>
  }[]
  readonly filter: { readonly where: object; readonly kept: readonly boolean[] }
}

const fixture: Fixture = JSON.parse(readFileSync(new URL('./testdata/pandas.json', import.meta.url), 'utf8'))
const { columns } = fixture
const rows = columns.x!.length
const TYPES: Readonly<Record<string, string>> = { x: 'float64', y: 'float64', n: 'int64', t: 'string', when: 'string' }
const questions = Array.from({ length: rows }, (_, row) => ({
  record: Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[row]])),
}))

/** What one node makes of the fixture's columns; null: the row has no answer. */
async function run(node: { op: string; params: object }, outputs: readonly string[]) {
  const input = {
    id: 'in',
    op: 'input',
    params: { columns: Object.entries(TYPES).map(([name, type]) => ({ name, type })) },
  }
  const program = compileGraph(parseGraph(graph([input, { id: 'it', ...node }], { node: 'it', columns: outputs })))
  const read = readQuestions(program, questions)
  const made = await program.run(read.rows, noHost)
  return answersOf(program, tensorsOf(program, made, rows, undefined), rows).map(({ output }) => output)
}

const close = (got: JsonValue | undefined, expected: JsonValue | undefined) =>
  typeof got === 'number' && typeof expected === 'number'
    ? expect(got).toBeCloseTo(expected, 10 - Math.ceil(Math.log10(Math.max(1, Math.abs(expected)))))
    : expect(got).toEqual(expected)

describe('expressions', () => {
  it.each(fixture.expressions.map((it) => [JSON.stringify(it.expr), it] as const))(
    '%s',
    async (_, { expr, expected }) => {
      const answers = await run({ op: 'compute', params: { as: 'z', expr } }, ['z'])
      for (const [row, answer] of answers.entries()) close(answer?.z, expected[row])
    },
  )

  it('cover every function but the hash, which pandas has not', () => {
    const seen = new Set(JSON.stringify(fixture.expressions).match(/(?<="fn":")\w+/g))
    expect([...seen].sort()).toMatchInlineSnapshot(`
      [
        "abs",
        "add",
        "and",
        "ceil",
        "clip",
        "coalesce",
        "concat",
        "contains",
        "day",
        "dayofweek",
        "div",
        "endswith",
        "epochms",
        "eq",
        "exp",
        "floor",
        "floordiv",
        "ge",
        "gt",
        "hour",
        "isin",
        "isnull",
        "length",
        "log",
        "log1p",
        "lower",
        "lt",
        "max",
        "min",
        "minute",
        "mod",
        "month",
        "mul",
        "ne",
        "neg",
        "not",
        "or",
        "pow",
        "round",
        "second",
        "sqrt",
        "startswith",
        "strip",
        "sub",
        "upper",
        "where",
        "year",
      ]
    `)
  })
})

describe('bins', () => {
  it.each(fixture.bins.map((it) => [JSON.stringify(it.params), it] as const))('%s', async (_, { params, expected }) => {
    const answers = await run({ op: 'bin', params: { column: 'x', as: 'z', ...params } }, ['z'])
    expect(answers.map((it) => it?.z)).toEqual(expected)
  })
})

describe('steps', () => {
  it.each(fixture.steps.map((it) => [JSON.stringify(it.node), it] as const))('%s', async (_, { node, expected }) => {
    const answers = await run(node, Object.keys(expected))
    for (const [row, answer] of answers.entries())
      for (const [name, values] of Object.entries(expected)) close(answer?.[name], values[row])
  })

  it('keeps the rows that pandas keeps', async () => {
    const answers = await run({ op: 'filter', params: { where: fixture.filter.where } }, ['x'])
    expect(answers.map((it) => it !== null)).toEqual(fixture.filter.kept)
  })
})
