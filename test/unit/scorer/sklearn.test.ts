import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createModelPool, createScorer, type WorkerPool } from '../../../processors/scorer/index.ts'
import type { OutputChoice } from '../../../processors/scorer/plan.ts'
import type { ScoringRow } from '../../../processors/scorer/types.ts'
import { type Fixture, featureSet, fixture, ManualClock, model, row, testdata } from './support.ts'

let pool: WorkerPool
beforeAll(async () => {
  pool = await createModelPool()
})
afterAll(() => pool[Symbol.asyncDispose]())

const EIGHT = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
const denseRows = ({ inputs }: Fixture): ScoringRow[] =>
  (inputs.X as number[][]).map((floats, i) => row(`event-${i}`, floats))

async function scores(
  name: string,
  rows: readonly ScoringRow[],
  outputs: Record<string, OutputChoice | undefined>,
  features: readonly string[] = EIGHT,
  inputs: readonly string[] | Record<string, string | string[]> = EIGHT,
) {
  const plan = { models: [model({ name, bytes: testdata(`${name}.onnx`), inputs: inputs as string[], outputs })] }
  await using scorer = await createScorer({ plan, featureSet: featureSet(features), pool, clock: new ManualClock() })
  const found = await scorer.score(rows)
  return Object.keys(outputs).map((output) => found.map((list) => list.find((it) => it.output === output)?.value))
}

function expectClose(found: readonly (number | undefined)[] | undefined, expected: readonly (number | undefined)[]) {
  expect(found).toHaveLength(expected.length)
  for (const [i, value] of expected.entries()) expect(found?.[i], `row ${i}`).toBeCloseTo(value as number, 4)
}

const column = (fixture: Fixture, output: string, index: number) =>
  (fixture.expected[output] ?? []).map((it) => it[index])

describe('models as scikit-learn exports them', () => {
  it('takes the ZipMap out of a random forest and scores class 1 of [0, 1]', async () => {
    const io = fixture('forest_zipmap_int')
    const [found] = await scores('forest_zipmap_int', denseRows(io), { score: undefined })
    expectClose(found, column(io, 'output_probability', 1))
  })

  it('finds classes by label, not by position', async () => {
    const io = fixture('logreg_zipmap_odd')
    const outputs = { three: { class: 3 }, five: { class: '5' } }
    const [three, five] = await scores('logreg_zipmap_odd', denseRows(io), outputs)
    expectClose(three, column(io, 'output_probability', 0))
    expectClose(five, column(io, 'output_probability', 1))
  })

  it('refuses to guess between classes 3 and 5', async () => {
    const rows = denseRows(fixture('logreg_zipmap_odd'))
    await expect(scores('logreg_zipmap_odd', rows, { score: undefined })).rejects.toThrow(
      'MODEL_INPUT logreg_zipmap_odd@1 gives a probability for each of the classes 3, 5. Say which one is the score: output: { class: 3 }.',
    )
  })

  it.each([
    ['logreg_zipmap_text', 'output_probability'],
    ['logreg_nozipmap_text', 'probabilities'],
  ])('scores a text class of %s', async (name, output) => {
    const io = fixture(name)
    const [purchase, leave] = await scores(name, denseRows(io), {
      purchase: { class: 'purchase' },
      leave: { class: 'leave' },
    })
    expectClose(purchase, column(io, output, io.classes?.indexOf('purchase') ?? -1))
    expectClose(leave, column(io, output, io.classes?.indexOf('leave') ?? -1))
  })

  it('names the nearest class when one is misspelt', async () => {
    const rows = denseRows(fixture('logreg_zipmap_text'))
    await expect(scores('logreg_zipmap_text', rows, { score: { class: 'purchases' } })).rejects.toThrow(
      'has no class "purchases". Did you mean "purchase"?',
    )
  })

  it('scores a column per class (zipmap="columns") by tensor name', async () => {
    const io = fixture('logreg_columns')
    // i0, i1: the exporter's own names, `i` for an integer class.
    const found = await scores('logreg_columns', denseRows(io), { no: { tensor: 'i0' }, yes: { tensor: 'i1' } })
    expectClose(found[0], column(io, 'output_probability', 0))
    expectClose(found[1], column(io, 'output_probability', 1))
  })

  it('feeds text columns and numbers to one input each, unknown categories included', async () => {
    const io = fixture('pipeline_text')
    const { category = [], device = [], amount = [], age = [] } = io.inputs
    const rows = category.map((_, i) =>
      row(`event-${i}`, [Number(age[i]), Number(amount[i])], { strings: [String(device[i]), String(category[i])] }),
    )
    const inputs = { category: 'category', device: 'device', amount: 'amount', age: 'age' }
    const features = ['age', 'device:text', 'amount', 'category:text']
    const [found] = await scores('pipeline_text', rows, { score: undefined }, features, inputs)
    expectClose(found, column(io, 'output_probability', 1))
  })

  it('scores a gradient boosting regressor', async () => {
    const io = fixture('boosting_regressor')
    const [found] = await scores('boosting_regressor', denseRows(io), { score: undefined })
    expect(found).toHaveLength(24)
    for (const [i, [expected = Number.NaN]] of (io.expected.variable ?? []).entries()) {
      expect(Math.abs((found?.[i] ?? Number.NaN) - expected)).toBeLessThan(1e-3 * Math.max(1, Math.abs(expected)))
    }
  })

  it('feeds several named inputs, one of whole numbers, and reads several outputs', async () => {
    const io = fixture('linear_multi')
    const counts = io.inputs.count as number[]
    const rows = (io.inputs.numbers as number[][]).map(([a = 0, b = 0], i) => row(`event-${i}`, [counts[i] ?? 0, a, b]))
    const outputs = { first: { column: 0 }, second: { column: 1 } }
    const inputs = { numbers: ['a', 'b'], count: 'count' }
    const [first, second] = await scores('linear_multi', rows, outputs, ['count', 'a', 'b'], inputs)
    expectClose(first, column(io, 'variable', 0))
    expectClose(second, column(io, 'variable', 1))
  })

  it('falls back for a row whose whole number is missing, and scores the others', async () => {
    const rows = [row('good', [2, 0.5, 1]), row('missing', [Number.NaN, 0.5, 1]), row('half', [1.5, 0.5, 1])]
    const inputs = { numbers: ['a', 'b'], count: 'count' }
    const [found] = await scores('linear_multi', rows, { first: { column: 0 } }, ['count', 'a', 'b'], inputs)
    expect(found).toEqual([expect.any(Number), undefined, undefined])
  })

  it('opens the sequence of a multi-label classifier into an output per label', async () => {
    const io = fixture('multilabel_sequence')
    const outputs = {
      buys: { tensor: 'probabilities[0]', column: 1 },
      returns: { tensor: 'probabilities[1]', column: 1 },
    }
    const [buys, returns] = await scores('multilabel_sequence', denseRows(io), outputs)
    expectClose(buys, column(io, 'probabilities[0]', 1))
    expectClose(returns, column(io, 'probabilities[1]', 1))
  })
})
