import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')
const page = read('docs/dependencies.md')
const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>
const listed = [...page.matchAll(/^\| `([^`]+)` \| (.+) \| (.+) \| (.+) \|$/gm)].map(([, name, ...cells]) => ({
  name: name!,
  cells,
}))

describe('docs/dependencies.md', () => {
  const packages = [...Object.keys(manifest.dependencies ?? {}), ...Object.keys(manifest.devDependencies ?? {})]

  it.each(packages)('says what %s saves us and when it is dropped', (name) => {
    expect(listed.find((line) => line.name === name)?.cells).toHaveLength(3)
  })

  it('has no line for a package that is gone', () => {
    expect(listed.map(({ name }) => name).filter((name) => !packages.includes(name))).toEqual([])
  })

  it.each(packages)('names the licence that %s has', (name) => {
    const { license } = JSON.parse(read(`node_modules/${name}/package.json`)) as { license?: string }
    const [, licence] = listed.find((line) => line.name === name)!.cells
    // A package without the field has a LICENSE file only: its first line names the licence.
    const own =
      license ??
      read(`node_modules/${name}/LICENSE`)
        .split('\n', 1)[0]!
        .replace(/ License.*/, '')
    expect(licence?.toLowerCase()).toContain(own.toLowerCase())
  })
})

describe('LICENSE', () => {
  it('is the licence that package.json names', () => {
    expect(manifest.license).toBe('Apache-2.0')
    expect(read('LICENSE')).toMatch(/Apache License\s+Version 2\.0, January 2004[\s\S]+END OF TERMS AND CONDITIONS/)
  })
})
