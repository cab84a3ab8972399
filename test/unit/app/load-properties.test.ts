/** A full application file, broken in one place at a time: what must hold whatever is wrong. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import { ConfigError, loadApplication, parseApplication } from '../../../processors/app/load.ts'
import { formatProblem } from '../../../processors/app/load-source-map.ts'

const FULL = {
  rtml: 1,
  name: 'shop',
  topicPrefix: 'prod.',
  delivery: 'exactly-once',
  partitions: 8,
  schema: { tenant: '_shop', fields: { 'a.b': 'string' } },
  sources: {
    web: { topic: 'raw.site', mapping: 'ga4', timeZone: 'UTC', maxFutureSkew: '5m' },
    app: { mapping: 'segment' },
  },
  identity: { priority: ['ECID'], allowed: ['ECID', 'Email'] },
  privacy: { drop: ['placeContext'], hash: [{ path: 'identityMap.Email' }] },
  events: { lateness: '2h', dedup: { ids: 8, window: '10m' }, ttl: '30d' },
  entities: { item: { key: 'productListItems[0].SKU', ttl: '7d' } },
  lookups: { prices: { topic: 'prices' } },
  features: {
    views: { kind: 'count', window: '1h', where: 'a == 1' },
    item_views: { kind: 'count', entity: 'item', window: { type: 'sliding', length: '1h', hop: '5m' } },
    category: { kind: 'last', value: 'c', encode: { onehot: ['a', 'b'] } },
    price: { kind: 'lookup', table: 'prices', key: 'sku', field: 'price' },
    pause: { kind: 'session', gap: '30m', measure: 'seconds' },
  },
  models: {
    buy: { file: 'buy.onnx', inputs: ['views', 'category=a'], version: 3, fallback: { prior: 0.1 } },
    buy_b: {
      uri: 'https://h/b.onnx',
      sha256: 'a'.repeat(64),
      inputs: { x: ['views'] },
      role: 'arm',
      service: 'buy',
      share: 0.2,
    },
  },
  outputs: { scores: { topic: 'scores' }, samples: { retention: '3d' }, deadLetters: { prefix: 'bad.' } },
  batch: { maxEvents: 100 },
  tests: [{ name: 't', source: 'web', events: [{ a: 1 }], expect: { features: { views: 1 }, scores: { buy: 0.5 } } }],
}

type Path = (string | number)[]

/** Paths of all values, maps and lists too. */
function pathsOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path]
  const below = Array.isArray(value) ? [...value.entries()] : Object.entries(value)
  return [path, ...below.flatMap(([key, child]) => pathsOf(child, [...path, key]))]
}

const PATHS = pathsOf(FULL).filter((path) => path.length > 0)

function changed(
  path: Path,
  change: (container: Record<string | number, unknown>, key: string | number) => void,
): string {
  const tree = structuredClone(FULL)
  const container = path.slice(0, -1).reduce<unknown>((value, step) => Reflect.get(value as object, step), tree)
  change(container as Record<string | number, unknown>, path.at(-1)!)
  return stringify(tree)
}

const anyPath = fc.constantFrom(...PATHS)
const load = (text: string, secret?: string) =>
  parseApplication(text, { file: 'rtml.yaml', env: () => secret, mappings: ['ga4', 'segment'] })

it('starts from a file that is valid', () => {
  expect(load(stringify(FULL))).toMatchObject({ kind: 'valid' })
})

describe('a file with one value changed', () => {
  const junk = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constantFrom(null, [], {}, { a: 1 }, ['x'], '1h', 'views', 'buy'),
  )

  it('is loaded, or every problem stands inside the file and can be printed on one line', () => {
    fc.assert(
      fc.property(anyPath, junk, (path, value) => {
        const text = changed(path, (container, key) => {
          container[key] = value
        })
        const lines = text.split('\n')
        const parsed = load(text)
        if (parsed.kind === 'valid') return
        expect(parsed.problems.length).toBeGreaterThan(0)
        for (const problem of parsed.problems) {
          expect(problem.line).toBeLessThanOrEqual(lines.length)
          expect(problem.col).toBeLessThanOrEqual(lines[problem.line - 1]!.length + 1)
          expect(formatProblem(problem)).toMatch(/^CONFIG rtml\.yaml:\d+:\d+ [^\n]+[.?!]$/)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('points at a key that is misspelt, and knows the right one', () => {
    const keys = PATHS.filter((path) => {
      const [root, , third] = path
      if (root === 'tests' && path.length > 3) return false
      // Names that the application chooses, not keys of the schema.
      if (['sources', 'entities', 'lookups', 'features', 'models'].includes(String(root)) && path.length === 2)
        return false
      if (path.length > 3 && (third === 'inputs' || third === 'encode')) return false
      return (
        typeof path.at(-1) === 'string' && !(root === 'schema' && third !== undefined) && String(path.at(-1)).length > 3
      )
    })
    expect(keys.length).toBeGreaterThan(50)
    for (const path of keys) {
      const right = String(path.at(-1))
      const text = changed(path, (container, key) => {
        container[`${right}x`] = container[key]
        delete container[key]
      })
      const parsed = load(text)
      expect(parsed.kind === 'invalid' ? parsed.problems.map(({ message }) => message) : [], path.join('.')).toContain(
        `unknown key "${right}x". Did you mean "${right}"?`,
      )
    }
  })
})

describe('a secret in any place', () => {
  const SECRETS = [
    'hunter2-correct-horse',
    'a "quoted"\nsecret \\ with escapes and more than sixty characters in it, really',
    'sécret✓',
    '12345678901',
  ]

  it.each(SECRETS)('is in no message and in no dump: %j', (secret) => {
    for (const path of PATHS) {
      if (['features', 'entities', 'events', 'tests'].includes(String(path[0]))) continue
      const reference = '$' + '{TOKEN}'
      const text = changed(path, (container, key) => {
        container[key] = reference
      })
      const parsed = load(text, secret)
      const shown = parsed.kind === 'valid' ? JSON.stringify(parsed.app) : parsed.problems.map(formatProblem).join('\n')
      for (const form of [secret, JSON.stringify(secret), JSON.stringify(secret).slice(1, 30), secret.slice(0, 12)]) {
        expect(shown, path.join('.')).not.toContain(form)
      }
    }
  })

  it('is in no message even where features may show it in dumps', () => {
    for (const path of PATHS.filter(([root]) => ['features', 'entities', 'events'].includes(String(root)))) {
      const text = changed(path, (container, key) => {
        container[key] = '$' + '{TOKEN}'
      })
      const parsed = load(text, SECRETS[0])
      if (parsed.kind === 'invalid') expect(parsed.problems.map(formatProblem).join('\n')).not.toContain('hunter2')
    }
  })
})

it('an error has the code CONFIG and its first place', () => {
  const options = { file: 'rtml.yaml', env: () => undefined }
  expect(() => loadApplication('rtml: 2\nname: a\nsources: { s: { mapping: m } }\n', options)).toThrow(ConfigError)
  expect(() => loadApplication('rtml: 2\nname: a\nsources: { s: { mapping: m } }\n', options)).toThrow(
    'CONFIG rtml.yaml:1:7 rtml: 2 is not one of the valid values. Valid: 1.',
  )
})
