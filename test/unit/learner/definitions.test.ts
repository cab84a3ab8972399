import { describe, expect, it } from 'vitest'
import { loadApplication, parseApplication } from '../../../processors/app/load.ts'
import type { Application } from '../../../processors/app/schema.ts'
import { createExpressions } from '../../../processors/expressions/index.ts'
import { createFeatureSet } from '../../../processors/features/index.ts'
import { labelValue, learnerColumns } from '../../../processors/learner/columns.ts'

const HEAD = `rtml: 1
name: a
sources: { s: { mapping: json } }
features:
  views: { kind: count }
  city: { kind: event, value: placeContext.geo.city, encode: { hash: 64 } }
  device: { kind: event, value: device.type, encode: { vocabulary: [phone, desk] } }
  plan: { kind: event, value: _rtml.plan, encode: { onehot: [free, paid] } }
  name: { kind: event, type: text, value: web.webPageDetails.name }
`
const options = { file: 'rtml.yaml', env: () => undefined }
const load = (rest: string): Application => loadApplication(HEAD + rest, options).app
function problems(rest: string): string[] {
  const parsed = parseApplication(HEAD + rest, options)
  return parsed.kind === 'invalid' ? parsed.problems.map(({ message }) => message) : []
}

describe('labels and learners in the application file', () => {
  it('need no more than what an outcome is', () => {
    const app = load(`labels: { buys: { outcome: commerce.purchases.value > 0, window: 24h } }
learners: { online: { label: buys } }`)
    expect(app.labels.buys).toMatchObject({ type: 'binary', policy: 'wait', combine: 'first', window: 86_400_000 })
    expect(app.learners.online).toMatchObject({ kind: 'ftrl', promotion: { steps: [0.05, 0.5, 1], automatic: false } })
  })

  it.each([
    ['labels: { l: {} }', /wants "outcome" with "window"/],
    ['labels: { l: { outcome: x > 0 } }', /wants a "window"/],
    ['labels: { l: { value: x, window: 1h } }', /"window" is used with "outcome" only/],
    ['labels: { l: { value: x, policy: fake-negative } }', /never late/],
    ['labels: { l: { type: number, outcome: x > 0, window: 1h } }', /wants a "value"/],
    ['labels: { l: { type: classes, value: x } }', /wants the list "classes"/],
    ['labels: { l: { value: x, classes: [a, b] } }', /used by type: classes only/],
    ['labels: { l: { type: classes, classes: [a, b, a], value: x } }', /"a" stands twice/],
    ['labels: { l: { type: classes, classes: [a, b], outcome: y, window: 1h, value: x, combine: sum } }', /no sum/],
    [
      'labels: { l: { type: number, value: x, outcome: y, window: 1h, policy: fake-negative } }',
      /made for type: binary/,
    ],
    ['labels: { l: { type: number, value: x, negatives: 0.5 } }', /for type: binary only/],
    ['learners: { m: { label: l } }', /no label "l"/],
    ['labels: { buys: { value: x } }\nlearners: { m: { label: buy } }', /no label "buy".*buys/],
    ['labels: { l: { value: x } }\nlearners: { m: { label: l, features: [veiws] } }', /no feature "veiws".*views/],
    ['labels: { l: { value: x } }\nlearners: { m: { label: l, except: [nothing] } }', /no feature "nothing"/],
    [
      'labels: { l: { type: number, value: x } }\nlearners: { m: { label: l, calibration: platt } }',
      /only probabilities of a binary label/,
    ],
    [
      'labels: { l: { value: x } }\nlearners: { m: { label: l, promotion: { steps: [0.5, 0.1] } } }',
      /shares must rise, and the last must be 1/,
    ],
    [
      'labels: { l: { type: number, value: x } }\nlearners: { m: { label: l, kind: forest } }',
      /binary labels and classes/,
    ],
  ])('refuses %s', (rest, message) => {
    expect(problems(rest).join('\n')).toMatch(message)
  })
})

describe('the columns of a learner', () => {
  const app = load('')
  const set = createFeatureSet(app, createExpressions({ replayable: true }))
  const columns = (over: { features?: string[]; except?: string[] }) =>
    learnerColumns({ features: over.features, except: over.except ?? [] }, app.features, set, 'learners.m')

  it('are numbers and ids, in the order of the features', () => {
    expect(columns({ except: ['name'] }).inputs).toEqual([
      { kind: 'number', name: 'views' },
      { kind: 'id', name: 'city', size: 64 },
      { kind: 'id', name: 'device', size: 3 },
      { kind: 'number', name: 'plan=free' },
      { kind: 'number', name: 'plan=paid' },
    ])
  })

  it('are taken from the vector as it was served', () => {
    const vector = set.newVector()
    vector.floats.set(vector.floats.map((_, i) => i + 1))
    const { names, row } = columns({ features: ['plan=paid', 'views'] })
    expect(names).toEqual(['plan=paid', 'views'])
    expect([...row(vector)]).toEqual([5, 1])
  })

  it('are never text', () => {
    expect(() => columns({})).toThrow(/learners.m: name is text.*except/)
    expect(() => columns({ features: ['views'], except: ['views'] })).toThrow(/no feature is left/)
  })
})

describe('a value as a label', () => {
  it.each([
    ['binary', [true, 'yes', 'Y', '1', 1, '1.0', 7, 'true'], 1],
    ['binary', [false, 'no', 'n', '0', 0, -1, '0.0', 'FALSE'], 0],
    ['binary', [null, undefined, '', 'maybe', {}, Number.NaN], Number.NaN],
    ['number', [3.5, '3.5'], 3.5],
    ['number', [null, '', 'x', Number.POSITIVE_INFINITY], Number.NaN],
    ['count', [-1], Number.NaN],
    ['count', [2, '2'], 2],
  ] as const)('%s', (type, values, expected) => {
    for (const value of values) expect(labelValue({ type }, value)).toBe(expected)
  })

  it('classes', () => {
    const label = { type: 'classes' as const, classes: ['1', '2'] }
    expect([1, '2', 3, null].map((it) => labelValue(label, it))).toEqual([0, 1, Number.NaN, Number.NaN])
  })
})
