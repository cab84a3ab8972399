/** The table of risks in docs/security.md: every risk has a test, and every test that is named exists. */
import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '../../..')
const files = globSync('test/**/*.test.ts', { cwd: ROOT })
const rows = readFileSync(join(ROOT, 'docs/security.md'), 'utf8')
  .split('\n')
  .filter((line) => /^\| API\d+ /.test(line))
  .map((line) => {
    const [, risk = '', here = '', tests = ''] = line.split(' | ').join('|').split('|')
    return { risk: risk.trim(), here, tests }
  })

it('has a row for each of the ten risks', () => {
  const numbers = rows.map(({ risk }) => Number(/^API(\d+)/.exec(risk)![1]))
  expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
})

describe.each(rows)('$risk', ({ here, tests }) => {
  const named = tests.split(';').map((text) => /^\s*`([\w.-]+\.test\.ts)` \*(.+)\*\s*$/.exec(text))

  it('says what is done, and names tests that exist', () => {
    expect(here.length).toBeGreaterThan(20)
    expect(named.length).toBeGreaterThan(0)
    for (const match of named) {
      expect(match, tests).not.toBeNull()
      const [, file, title] = match!
      const texts = files.filter((it) => basename(it) === file).map((it) => readFileSync(join(ROOT, it), 'utf8'))
      expect(
        texts.some((text) => text.includes(`'${title}'`)),
        `${file}: ${title}`,
      ).toBe(true)
    }
  })
})
