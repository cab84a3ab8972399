import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { createExpressions } from '../../../processors/expressions/index.ts'
import { createFeatureSet } from '../../../processors/features/index.ts'
import { KINDS } from '../../../processors/features/kinds/registry.ts'
import { application } from './arbitraries.ts'

const page = readFileSync(join(import.meta.dirname, '../../../docs/features.md'), 'utf8')
const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => parse(text!) as Record<string, object>)
const parts = examples.map((it) => ('features' in it ? it : { features: it })) as {
  features: object
  entities?: object
}[]

describe('the page about features', () => {
  it.each(parts.map((it) => [Object.keys(it.features).join(', '), it] as const))(
    'has examples that work: %s',
    (_, it) => {
      const set = createFeatureSet(application(it), createExpressions({ replayable: true }))
      expect(set.columns.length).toBeGreaterThan(0)
    },
  )
  it('has an example of every kind', () => {
    const shown = parts.flatMap(({ features }) => Object.values(features).map(({ kind }: { kind: string }) => kind))
    expect(Object.keys(KINDS).filter((kind) => !shown.includes(kind))).toEqual([])
  })
})
