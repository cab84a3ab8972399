import { describe, expect, it } from 'vitest'
import { placeInJson, stepsOf } from '../../../console/src/json-place.ts'

const TEXT = `{
  "a": { "when": "no, \\"when\\": {" },
  "rules": [ 1, [2, 3], { "when" : true } ],
  "when": -1.5e3
}`

describe('the place of a member in a JSON text', () => {
  it.each([
    ['a.when', '"no'],
    ['rules', '[ 1'],
    ['rules[0]', '1,'],
    ['rules[1][1]', '3]'],
    ['rules[2].when', 'true'],
    ['when', '-1.5e3'],
    ['', '{\n'],
  ])('of %s', (path, text) => {
    expect(TEXT.slice(placeInJson(TEXT, stepsOf(path))).startsWith(text)).toBe(true)
  })

  it.each([
    ['is not there', TEXT, 'rules[3]'],
    ['is below a text', TEXT, 'a.when.x'],
    ['cannot be read', '{"a": [1, "', 'b'],
    ['is in no text', '', 'b'],
    ['is in what ends early', '{"a"', 'b'],
  ])('is unknown where it %s', (_, text, path) => {
    expect(placeInJson(text, stepsOf(path))).toBeUndefined()
  })
})
