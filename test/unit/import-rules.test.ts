import { expect, it } from 'vitest'
import { circles, forbiddenImports, importsOf } from '../../bin/import-rules.ts'

const imports = importsOf()

it('sees the imports: a reader that sees nothing would find no violation', () => {
  expect(imports.size).toBeGreaterThan(50)
  expect(imports.get('processors/outputs/scores.ts')).toContain('processors/scorer/types.ts')
})

it('knows a violation and a circle when it sees one', () => {
  const wrong = new Map([
    ['processors/app/a.ts', ['processors/features/b.ts']],
    ['processors/scorer/c.ts', ['processors/features/types.ts', 'processors/features/index.ts']],
  ])
  expect(forbiddenImports(wrong)).toEqual([
    'processors/app/a.ts → processors/features/b.ts',
    'processors/scorer/c.ts → processors/features/index.ts',
  ])
  expect(
    circles(
      new Map([
        ['a.ts', ['b.ts']],
        ['b.ts', ['a.ts']],
      ]),
    ),
  ).toEqual(['a.ts → b.ts → a.ts'])
})

it('finds that imports point one way', () => {
  expect(forbiddenImports(imports)).toEqual([])
})

it('finds no circle', () => {
  expect(circles(importsOf({ loadedOnly: true }))).toEqual([])
})
