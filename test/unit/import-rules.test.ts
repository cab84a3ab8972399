/**
 * Applies the rules of .dependency-cruiser.cjs to our own imports, type-only ones included. dependency-cruiser itself
 * needs a TypeScript below 7 to read .ts files; without one it looks at no module and finds no violation.
 */
import { globSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, posix } from 'node:path'
import { describe, expect, it } from 'vitest'

interface Side {
  readonly path?: string
  readonly pathNot?: string
  readonly circular?: boolean
}

interface Rule {
  readonly name: string
  readonly from: Side
  readonly to: Side
}

const ROOT = join(import.meta.dirname, '../..')
const { forbidden } = createRequire(import.meta.url)('../../.dependency-cruiser.cjs') as { forbidden: Rule[] }

const files = globSync('{processors,test,examples,bin}/**/*.ts', { cwd: ROOT }).map((path) =>
  path.replaceAll('\\', '/'),
)
const imports = new Map(files.map((file) => [file, importsOf(file)]))
/** Without those that are erased: a circle of types is none at run time. */
const loaded = new Map(files.map((file) => [file, importsOf(file, { loadedOnly: true })]))

/** Relative imports and re-exports, from the root. */
function importsOf(file: string, options: { loadedOnly: boolean } = { loadedOnly: false }): string[] {
  const source = readFileSync(join(ROOT, file), 'utf8')
  const text = options.loadedOnly
    ? source.replaceAll(/(^|\n)(import|export) type [^;'"]*?from\s*'[^']*'/g, '$1')
    : source
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s*'(\.[^']+)'|import\(\s*'(\.[^']+)'\s*\)|(?:^|\n)import\s*'(\.[^']+)'/g,
  )
  return [...found].map((match) => posix.join(posix.dirname(file), (match[1] ?? match[2] ?? match[3])!))
}

function fits(side: Side, path: string): boolean {
  if (side.path !== undefined && !new RegExp(side.path).test(path)) return false
  return side.pathNot === undefined || !new RegExp(side.pathNot).test(path)
}

describe('imports', () => {
  it('are found: a reader that sees nothing would find no violation', () => {
    expect(files.length).toBeGreaterThan(50)
    expect(imports.get('processors/outputs/scores.ts')).toContain('processors/scorer/types.ts')
  })

  it.each(forbidden.filter(({ to }) => to.circular !== true).map((rule) => [rule.name, rule] as const))(
    'obey %s',
    (_, { from, to }) => {
      const broken = [...imports].flatMap(([file, targets]) =>
        fits(from, file) ? targets.filter((target) => fits(to, target)).map((target) => `${file} → ${target}`) : [],
      )
      expect(broken).toEqual([])
    },
  )

  it('make no circle', () => {
    const done = new Set<string>()
    const open: string[] = []
    const circles: string[] = []
    const visit = (file: string): void => {
      if (open.includes(file)) circles.push([...open.slice(open.indexOf(file)), file].join(' → '))
      if (open.includes(file) || done.has(file)) return
      open.push(file)
      for (const target of loaded.get(file) ?? []) visit(target)
      open.pop()
      done.add(file)
    }
    for (const file of loaded.keys()) visit(file)
    expect(circles).toEqual([])
  })
})
