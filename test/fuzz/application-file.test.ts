/** An application file that is wrong in any way is refused with a message, at once; one that is accepted compiles. */
import { existsSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { RtmlError } from '../../processors/app/errors.ts'
import { loadApplication } from '../../processors/app/load.ts'
import { createExpressions } from '../../processors/expressions/index.ts'
import { createFeatureSet } from '../../processors/features/index.ts'
import { READY_MAPPINGS } from '../../processors/mapper/index.ts'
import { topicSpecs } from '../../processors/topology.ts'
import { applicationOf } from '../repair/harness.ts'
import { CASES, parameters, promptly, TIMEOUT_MS } from './cases.ts'
import { damaged, damages, mutate, mutations } from './mutations.ts'

const root = new URL('../../', import.meta.url)
const files = [
  'examples/luma/rtml.yaml',
  'examples/bank/rtml.yaml',
  'examples/phishing/rtml.yaml',
  'test/bench/j1/rtml.yaml',
]
  .map((file) => new URL(file, root))
  .filter((url) => existsSync(url))
  .map((url) => readFileSync(url, 'utf8'))
const texts = [...files, stringify(applicationOf())]
const documents = texts.map((text) => parse(text) as unknown)

/** Loading ends with an application or with an error of the table, never otherwise. @returns whether it was accepted */
function holds(text: string): boolean {
  return promptly(() => {
    try {
      const { app } = loadApplication(text, {
        file: 'rtml.yaml',
        env: () => undefined,
        mappings: READY_MAPPINGS,
        readFile: () => undefined,
      })
      topicSpecs(app)
      createFeatureSet(app, createExpressions({ replayable: true }))
      return true
    } catch (error) {
      if (error instanceof RtmlError && error.code === 'CONFIG') return false
      throw error
    }
  })
}

describe('application files', { timeout: TIMEOUT_MS }, () => {
  it('are accepted as they are', () => {
    for (const text of texts) if (!holds(text)) throw new Error(`refused: ${text.slice(0, 80)}`)
  })

  it.each([
    ['brackets', '['.repeat(20_000)],
    ['balanced brackets', `a: ${'['.repeat(20_000)}${']'.repeat(20_000)}`],
    ['maps', '{a: '.repeat(20_000)],
    ['compact lists', `${'- '.repeat(20_000)}x`],
    ['explicit keys', '? '.repeat(20_000)],
    ['indentation', Array.from({ length: 900 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n')],
    ['tags', `a: ${'!x '.repeat(5_000)}`],
    ['anchors', 'a: &a [*a, *a]\n'.repeat(500)],
  ])('of nothing but %s are refused at once', (_, text) => {
    expect(holds(text)).toBe(false)
  })

  it('with some of their places changed', () => {
    fc.assert(
      fc.property(fc.constantFrom(...documents), mutations, (document, changes) => {
        let text: string
        try {
          text = stringify(mutate(document, changes) ?? null)
        } catch {
          // The writer's limits, not the reader's.
          return
        }
        holds(text)
      }),
      parameters(CASES.applicationStructure),
    )
  })

  it('with a piece that stands there hundreds of times, each a level deeper', () => {
    const changes = [
      { kind: 'repeat', at: 444, length: 3, times: 27 },
      { kind: 'repeat', at: 18_689, length: 22, times: 369 },
    ] as const
    expect(holds(damaged(Buffer.from(texts.at(-1)!), changes).toString())).toBe(false)
  })

  it('with damaged text', () => {
    const odd = fc.constantFrom(
      '&a [*a]',
      '*x',
      '!!js/function x',
      '<<: *a',
      '? ',
      '"',
      "'",
      '|\n',
      '\t',
      '${HOME',
      '${',
      ': :',
      '---\n',
      '%YAML',
      '\u0000',
      '\u2028',
    )
    fc.assert(
      fc.property(fc.constantFrom(...texts), damages, fc.option(fc.tuple(fc.nat(), odd)), (text, changes, extra) => {
        let bytes = damaged(Buffer.from(text), changes)
        if (extra) {
          const at = extra[0] % (bytes.length + 1)
          bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(extra[1]), bytes.subarray(at)])
        }
        holds(bytes.toString('utf8'))
      }),
      parameters(CASES.applicationText),
    )
  })
})
