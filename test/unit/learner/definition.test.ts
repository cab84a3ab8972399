import { expect, it } from 'vitest'
import { labelSchema } from '../../../processors/app/schema-learning.ts'
import { createExpressions } from '../../../processors/expressions/index.ts'
import { compileLabel, newMark } from '../../../processors/learner/labels/definition.ts'

const { compile } = createExpressions({ replayable: true })

function marks(definition: Record<string, unknown>, ...events: Record<string, unknown>[]) {
  const label = compileLabel('it', labelSchema.parse(definition), (text) => compile(text))
  // One mark for all: nothing of the event before may be left.
  const mark = newMark()
  return events.map((xdm) => {
    label.read({ xdm: { _id: '', timestamp: '', ...xdm } }, mark)
    return [mark.isSample, mark.value, mark.match]
  })
}

const NONE = Number.NaN

it('reads samples and outcomes of a yes-or-no label', () => {
  const purchase = { outcome: 'kind == "buy"', window: '1h', where: 'kind != "buy"' }
  expect(marks(purchase, { kind: 'buy' }, { kind: 'view' }, {})).toEqual([
    [false, 1, ''],
    [true, NONE, ''],
    [false, NONE, ''],
  ])
})

it('gives an outcome the value of its expression, and none where that fails or misfits', () => {
  const spend = { type: 'number', outcome: 'has(total)', value: 'total * 2.0', window: '1h' }
  expect(marks(spend, { total: 4.5 }, { total: 'much' }, { kind: 'view' })).toEqual([
    [true, 9, ''],
    [true, NONE, ''],
    [true, NONE, ''],
  ])
})

it('says what sample and outcome must have in common, as JSON', () => {
  const click = { outcome: 'kind == "click"', where: 'kind == "show"', match: 'item', window: '1h' }
  expect(
    marks(
      click,
      { kind: 'show', item: 'a' },
      { kind: 'click', item: 7 },
      { kind: 'other', item: 'a' },
      { kind: 'show' },
    ),
  ).toEqual([
    [true, NONE, '"a"'],
    [false, 1, '7'],
    [false, NONE, ''],
    [true, NONE, 'null'],
  ])
})

it('reads the own label of a sample', () => {
  const kinds = { type: 'classes', classes: ['cat', 'dog'], value: 'animal', where: 'age > 1' }
  expect(marks(kinds, { animal: 'dog', age: 2 }, { animal: 'dog', age: 1 }, { animal: 'emu', age: 2 })).toEqual([
    [true, 1, ''],
    [false, NONE, ''],
    [true, NONE, ''],
  ])
})
