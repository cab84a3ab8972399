// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references to the environment are a subject here
import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { generated, read } from '../../../bin/generate.ts'
import { jsonSchema, schemaHint, schemaKeys } from '../../../processors/app/json-schema.ts'
import { loadApplication } from '../../../processors/app/load.ts'

describe('generated files', () => {
  it.each([...generated().keys()])('%s is in step with its source (else run: node bin/generate.ts)', (path) => {
    expect(read(path)).toBe(generated().get(path))
  })
})

describe('the JSON Schema', () => {
  const validate = new Ajv2020({ strict: false }).compile(jsonSchema())
  const app = (extra: object) => ({ rtml: 1, name: 'a', sources: { s: { mapping: 'ga4' } }, ...extra })

  it('describes every key', () => {
    expect(schemaKeys().filter(({ description }) => description === '')).toEqual([])
    expect(schemaKeys().length).toBeGreaterThan(80)
  })

  it.each([
    ['the least', app({})],
    ['a feature', app({ features: { f: { kind: 'count', window: '1h' } } })],
    ['a window map', app({ features: { f: { kind: 'count', window: { type: 'session', gap: '30m' } } } })],
    [
      'an inline mapping with fan-out',
      app({ sources: { s: { mapping: { mapping: 'm', fields: { a: { each: 'x', fields: { b: 'item.c' } } } } } } }),
    ],
    ['a number from the environment', app({ partitions: '${P}' })],
    ['a duration from the environment', app({ events: { ttl: '${TTL:-1d}' } })],
    ['a numeric version', app({ models: { m: { file: 'a', inputs: ['f'], version: 3 } } })],
  ])('accepts %s', (_, value) => {
    expect(validate(value), JSON.stringify(validate.errors)).toBe(true)
  })

  it.each([
    ['no sources', { rtml: 1, name: 'a' }],
    ['an unknown key', app({ featurez: {} })],
    ['an unknown kind', app({ features: { f: { kind: 'cuont' } } })],
    ['a bad duration', app({ events: { ttl: '1 hour' } })],
    ['a text for a number', app({ partitions: 'four' })],
    ['a number out of range', app({ partitions: 0 })],
    ['another version', app({ rtml: 2 })],
  ])('refuses %s', (_, value) => {
    expect(validate(value)).toBe(false)
  })
})

describe('docs/application-file.md', () => {
  const page = readFileSync(new URL('../../../docs/application-file.md', import.meta.url), 'utf8')
  const example = /```yaml\n([\s\S]*?)```/.exec(page)![1]!

  it('starts with an example that loads', () => {
    const { app } = loadApplication(example, { file: 'rtml.yaml', env: () => undefined, mappings: ['ga4'] })
    expect(Object.keys(app.features)).toEqual(['views_1h', 'amount_1d', 'seconds_away'])
    expect(new Ajv2020({ strict: false }).validate(jsonSchema(), parse(example))).toBe(true)
  })

  it('shows the hint for editors', () => {
    expect(example.split('\n')[0]).toBe(schemaHint())
  })
})
