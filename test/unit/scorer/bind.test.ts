import { describe, expect, it } from 'vitest'
import type { ModelDefinition } from '../../../processors/app/schema.ts'
import { bindModel } from '../../../processors/scorer/bind.ts'
import type { OutputChoice } from '../../../processors/scorer/plan.ts'
import type { LoadedModel, TensorInfo } from '../../../processors/scorer/types.ts'
import { featureSet } from './support.ts'

const tensor = (name: string, type: string, ...dims: number[]): TensorInfo => ({ name, type, dims })
const FEATURES = ['views_1h', 'amount_1h', 'device:text', 'country:text', 'last_types:3']
const Y = [tensor('y', 'float32', -1, 1)]

function bind(
  given: {
    inputs: TensorInfo[]
    outputs?: TensorInfo[]
    classes?: (string | number)[]
    opaque?: LoadedModel['opaque']
  },
  inputs: ModelDefinition['inputs'],
  outputs: Record<string, OutputChoice | undefined> = { score: undefined },
) {
  const loaded: LoadedModel = {
    key: 'k',
    signature: { inputs: given.inputs, outputs: given.outputs ?? Y },
    classes: given.classes,
    opaque: given.opaque ?? [],
  }
  return bindModel(
    { name: 'propensity', version: '5', inputs, outputs, place: 'rtml.yaml:77' },
    loaded,
    featureSet(FEATURES),
  )
}

const X = (...dims: number[]) => [tensor('X', 'float32', ...dims)]

describe('inputs that fit', () => {
  it('binds the columns of features in the order of the list', () => {
    const { inputs } = bind({ inputs: X(-1, 5) }, ['amount_1h', 'last_types', 'views_1h'])
    expect(inputs[0]?.columns.map((it) => it.name)).toEqual([
      'amount_1h',
      'last_types[0]',
      'last_types[1]',
      'last_types[2]',
      'views_1h',
    ])
    expect([...(inputs[0]?.indexes ?? [])]).toEqual([1, 2, 3, 4, 0])
  })

  it.each([
    ['[n, k]', X(-1, 2), [2]],
    ['[n, n]: any width', X(-1, -1), [2]],
    ['[n, 1, k]', X(-1, 1, 2), [1, 2]],
    ['[n, k, n]', X(-1, 2, -1), [2, 1]],
    ['no shape at all', X(), [2]],
  ])('fits two columns into %s', (_, inputs, tail) => {
    expect(bind({ inputs }, ['views_1h', 'amount_1h']).inputs[0]).toMatchObject({ tail, isSingle: false })
  })

  it('fits one column into [n]', () => {
    expect(bind({ inputs: X(-1) }, ['views_1h']).inputs[0]).toMatchObject({ tail: [] })
  })

  it('takes an input without a batch dimension as one vector, and says that rows go one by one', () => {
    const { inputs, fixedRows, notes } = bind({ inputs: X(2) }, ['views_1h', 'amount_1h'])
    expect(inputs[0]).toMatchObject({ tail: [2], isSingle: true })
    expect(fixedRows).toBe(1)
    expect(notes[0]).toContain('propensity@5 takes one row a run: batches are scored row by row')
  })

  it('sees a fixed batch and says that it pads', () => {
    const { fixedRows, notes } = bind({ inputs: X(8, 2) }, ['views_1h', 'amount_1h'])
    expect(fixedRows).toBe(8)
    expect(notes[0]).toContain('exactly 8 rows')
  })

  it('gives text columns to text inputs, by name', () => {
    const inputs = [tensor('d', 'string', -1, 1), tensor('c', 'string', -1, 1), tensor('n', 'int64', -1, 1)]
    const binding = bind({ inputs }, { c: 'country', d: ['device'], n: 'views_1h' })
    expect(binding.inputs.map((it) => [it.name, it.columns[0]?.name])).toEqual([
      ['d', 'device'],
      ['c', 'country'],
      ['n', 'views_1h'],
    ])
  })

  it('changes its checksum with the order of columns, not with the name of the score', () => {
    const of = (inputs: string[], outputs = {}) =>
      bind({ inputs: X(-1, 2) }, inputs, { score: undefined, ...outputs }).checksum
    expect(of(['views_1h', 'amount_1h'])).not.toBe(of(['amount_1h', 'views_1h']))
    expect(of(['views_1h', 'amount_1h'], { other: undefined })).toBe(of(['views_1h', 'amount_1h']))
  })
})

describe('inputs that do not fit are refused with the remedy', () => {
  it.each<[string, () => unknown, string]>([
    [
      'a feature that is not there',
      () => bind({ inputs: X(-1, 1) }, ['view_1h']),
      'MODEL_INPUT rtml.yaml:77: propensity@5 wants "view_1h" for input X (float32[n,1]); the feature set has no "view_1h". Did you mean "views_1h"?',
    ],
    [
      'too few columns',
      () => bind({ inputs: X(-1, 4) }, ['views_1h', 'amount_1h']),
      'propensity@5 wants "X" (float32[n,4]), 4 columns a row; its features give 2: views_1h, amount_1h. List as many features as the model was trained with',
    ],
    [
      'a text where a number is wanted',
      () => bind({ inputs: X(-1, 1) }, ['device']),
      '"device" is text. Give feature device an encode',
    ],
    [
      'a number where a text is wanted',
      () => bind({ inputs: [tensor('X', 'string', -1, 1)] }, ['views_1h']),
      'wants "X" (string[n,1]); "views_1h" is a number. Give it a text feature',
    ],
    [
      'a list for a model of several inputs',
      () => bind({ inputs: [...X(-1, 1), tensor('Z', 'float32', -1, 1)] }, ['views_1h', 'amount_1h']),
      'has 2 inputs: X (float32[n,1]), Z (float32[n,1]). Give features by input: inputs: { X: [feature, …], … }.',
    ],
    [
      'an input that the model lacks',
      () => bind({ inputs: [tensor('amount', 'float32', -1, 1)] }, { amounts: 'amount_1h' }),
      'has no input "amounts". Did you mean "amount"?',
    ],
    [
      'an input without a feature',
      () =>
        bind(
          { inputs: [tensor('views_1h', 'float32', -1, 1), tensor('amount', 'float32', -1, 1)] },
          { amount: 'amount_1h' },
        ),
      'wants "views_1h" (float32[n,1]), which no feature is given for.',
    ],
    [
      'a sequence',
      () => bind({ inputs: [{ name: 'X', type: 'opaque', dims: undefined }] }, ['views_1h']),
      'features fill tensors only',
    ],
    [
      'a type that features cannot fill',
      () => bind({ inputs: [tensor('X', 'uint8', -1, 1)] }, ['views_1h']),
      'Cast inside the graph',
    ],
    [
      'fixed batches that differ',
      () =>
        bind(
          { inputs: [tensor('X', 'float32', 2, 1), tensor('Z', 'float32', 3, 1)] },
          { X: 'views_1h', Z: 'amount_1h' },
        ),
      'different fixed batch sizes (2, 3)',
    ],
  ])('%s', (_, attempt, message) => {
    expect(attempt).toThrow(message)
  })
})

describe('the output that is the score', () => {
  const classifier = (classes: (string | number)[] | undefined, width = 2) => ({
    inputs: X(-1, 1),
    outputs: [tensor('label', 'int64', -1), tensor('probabilities', 'float32', -1, width)],
    ...(classes ? { classes } : {}),
  })
  const scoreOf = (given: Parameters<typeof bind>[0], choice?: OutputChoice) =>
    bind(given, ['views_1h'], { score: choice }).outputs[0]

  it('is the only float tensor of one column', () => {
    expect(scoreOf({ inputs: X(-1, 1) })).toMatchObject({ tensor: 'y', column: 0 })
  })

  it.each([
    [[0, 1], 1],
    [[1, 0], 0],
    [['False', 'True'], 1],
    [['no', 'yes'], 1],
    [['yes', 'no'], 0],
    [[-1, 1], 1],
  ])('is the yes of classes %j', (classes, column) => {
    expect(scoreOf(classifier(classes))).toMatchObject({ tensor: 'probabilities', column })
  })

  it.each([[['good', 'bad']], [[1, 2]], [[0, 1, 2]]])('is not guessed for classes %j', (classes) => {
    expect(() => scoreOf(classifier(classes, classes.length))).toThrow(/Say which one is the score: output: \{ class: /)
  })

  it('is the declared class, text or number', () => {
    expect(scoreOf(classifier(['bad', 'good']), { class: 'bad' })).toMatchObject({ column: 0 })
    expect(scoreOf(classifier([7, 9]), { class: '9' })).toMatchObject({ column: 1 })
  })

  it.each<[string, Parameters<typeof bind>[0], OutputChoice | undefined, string]>([
    ['two columns of unknown meaning', classifier(undefined), undefined, 'gives 2 columns in output "probabilities"'],
    [
      'a class of an unlabelled output',
      classifier(undefined),
      { class: 1 },
      'doesn\'t say the classes of output "probabilities"',
    ],
    ['a column that is not there', classifier([0, 1]), { column: 2 }, 'column 2 is not one of 0–1'],
    [
      'an output that is not there',
      classifier([0, 1]),
      'probability',
      'has no output "probability". Did you mean "probabilities"?',
    ],
    [
      'two float outputs',
      { inputs: X(-1, 1), outputs: [tensor('a', 'float32', -1, 1), tensor('b', 'float32', -1, 1)] },
      undefined,
      'has 2 outputs: a (float32[n,1]), b (float32[n,1]). Say which one is the score',
    ],
    [
      'a text output',
      { inputs: X(-1, 1), outputs: [tensor('label', 'string', -1)] },
      'label',
      'gives output "label" as string[n]; a score is a number',
    ],
    [
      'a map',
      {
        inputs: X(-1, 1),
        outputs: [{ name: 'p', type: 'opaque', dims: undefined }],
        opaque: [{ name: 'p', kind: 'map', remedy: 'Use zipmap False.' }],
      },
      undefined,
      'gives output "p" as a map, which gives no numbers. Use zipmap False.',
    ],
  ])('is refused: %s', (_, given, choice, message) => {
    expect(() => scoreOf(given, choice)).toThrow(message)
  })

  it('may be several of one model, fetched once each', () => {
    const binding = bind(classifier(['buy', 'leave', 'stay'], 3), ['views_1h'], {
      buy: { class: 'buy' },
      stay: { class: 'stay' },
      label: 'label',
    })
    expect(binding.outputs.map((it) => [it.name, it.tensor, it.column])).toEqual([
      ['buy', 'probabilities', 0],
      ['stay', 'probabilities', 2],
      ['label', 'label', 0],
    ])
    expect(binding.fetches).toEqual(['probabilities', 'label'])
  })
})
