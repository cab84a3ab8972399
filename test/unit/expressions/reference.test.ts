import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { createExpressions, functionReference } from '../../../processors/expressions/index.ts'
import { withReference } from '../../../processors/expressions/reference.ts'

const DOC = new URL('../../../docs/expressions.md', import.meta.url).pathname

describe('the function reference', () => {
  const expressions = createExpressions()

  it.each(functionReference.filter((entry) => 'result' in entry))(
    '$form $name: its example gives what it says',
    (entry) => {
      expect(expressions.compile(entry.example).evaluate({})).toEqual(entry.result)
    },
  )

  it.each(functionReference)(
    '$name has one line of description, a signature with its name, and names of its own',
    (entry) => {
      expect(entry.about).toMatch(/^\S[^\n]+\.$/)
      expect(entry.signature).toContain(entry.name)
      expect(entry.example).toContain(entry.name)
      const same = functionReference.filter((other) => other.name === entry.name || other.aliases?.includes(entry.name))
      expect(new Set(same.map((other) => other.form ?? 'function')).size).toBe(same.length)
    },
  )

  it('is what docs/expressions.md shows; `npx vitest run test/unit/expressions/reference.test.ts -u` brings it up to date', async () => {
    await expect(withReference(readFileSync(DOC, 'utf8'))).toMatchFileSnapshot(DOC)
  })
})
