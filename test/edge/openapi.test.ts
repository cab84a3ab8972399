/** The document against the running server: requests made from it, and answers held to it. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Fixture, fixture } from './fixture.ts'

interface JsonSchema {
  readonly type?: string
  readonly format?: string
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly JsonSchema[]
  readonly items?: JsonSchema
  readonly minItems?: number
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly additionalProperties?: JsonSchema | boolean
  readonly required?: readonly string[]
}
interface Parameter {
  name: string
  in: 'path' | 'query'
  required?: boolean
  schema: JsonSchema
}
interface Operation {
  parameters?: Parameter[]
  requestBody?: { content: Record<string, { schema: JsonSchema }> }
  responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>
  summary?: string
}
interface Document {
  openapi: string
  paths: Record<string, Record<string, Operation>>
}

let shop: Fixture
let document: Document
beforeAll(async () => {
  shop = await fixture()
  document = (await shop.server.inject('/openapi.json')).json()
})
afterAll(() => shop[Symbol.asyncDispose]())

const ajv = new Ajv2020({ strict: false, allErrors: true })
addFormats.default(ajv)
const compiled = new Map<object, ValidateFunction>()
function validate(schema: object, value: unknown): string[] {
  const check = compiled.get(schema) ?? ajv.compile(schema)
  compiled.set(schema, check)
  return check(value) ? [] : (check.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
}

/** Values that fit a schema, mostly, and values that are nothing like it. */
function valueFor(schema: JsonSchema, depth = 0): fc.Arbitrary<unknown> {
  const wild = fc.jsonValue({ maxDepth: 3 })
  const fitting = ((): fc.Arbitrary<unknown> => {
    if (schema.enum) return fc.constantFrom(...schema.enum)
    if (schema.anyOf) return fc.oneof(...schema.anyOf.map((it) => valueFor(it, depth)))
    switch (schema.type) {
      case 'string':
        return schema.format === 'date-time'
          ? fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }).map((date) => date.toISOString())
          : fc.oneof(fc.constantFrom('web', 'buy', 'plain', 'views', 'ECID', 'spent'), fc.string({ maxLength: 20 }))
      case 'number':
      case 'integer':
        return fc.double({ noNaN: true, noDefaultInfinity: true })
      case 'boolean':
        return fc.boolean()
      case 'null':
        return fc.constant(null)
      case 'array':
        return fc.array(valueFor(schema.items ?? {}, depth + 1), { minLength: schema.minItems ?? 0, maxLength: 3 })
      case 'object': {
        const known = Object.entries(schema.properties ?? {})
        const fields = Object.fromEntries(known.map(([name, it]) => [name, valueFor(it, depth + 1)]))
        const own = fc.record(fields, { requiredKeys: [...(schema.required ?? [])] })
        const rest = schema.additionalProperties
        if (typeof rest !== 'object' || depth > 3) return own
        const keys = fc.oneof(
          fc.constantFrom('views', 'spent', 'page', 'eventType', 'identityMap', '0', '1'),
          fc.string({ maxLength: 8 }),
        )
        return fc
          .tuple(own, fc.dictionary(keys, valueFor(rest, depth + 1), { maxKeys: 3 }))
          .map(([a, b]) => ({ ...b, ...(a as object) }))
      }
      default:
        return wild
    }
  })()
  return fc.oneof({ weight: 12, arbitrary: fitting }, { weight: 1, arbitrary: wild })
}

interface Call {
  readonly url: string
  readonly body: unknown
  readonly headers: Record<string, string>
}

function callsOf(path: string, operation: Operation): fc.Arbitrary<Call> {
  const parameters = operation.parameters ?? []
  const text = (schema: JsonSchema) => valueFor(schema).map((it) => (typeof it === 'string' ? it : JSON.stringify(it)))
  const values = fc.record(Object.fromEntries(parameters.map((it) => [it.name, text(it.schema)])))
  const optional = fc.subarray(parameters.filter((it) => it.in === 'query').map(({ name }) => name))
  const schema = operation.requestBody?.content['application/json']?.schema
  const body = schema ? valueFor(schema) : fc.constant(undefined)
  const type = fc.constantFrom('application/json', 'text/plain', 'application/json', 'application/xml')
  return fc.tuple(values, optional, body, type).map(([given, kept, payload, contentType]) => {
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
      const segment = encodeURIComponent((given as Record<string, string>)[name] || 'x')
      // A segment of dots alone makes another address: no client sends it as it is.
      return /^\.{1,2}$/.test(segment) ? 'x' : segment
    })
    const query = parameters
      .filter((it) => it.in === 'query' && (it.required || kept.includes(it.name)))
      .map(({ name }) => `${name}=${encodeURIComponent((given as Record<string, string>)[name] ?? '')}`)
    return { url: `${filled}?${query.join('&')}`, body: payload, headers: { 'content-type': contentType } }
  })
}

describe('the OpenAPI document', () => {
  it('is 3.1, and every operation has a summary, documented problems and valid schemas', () => {
    expect(document.openapi).toBe('3.1.0')
    const operations = Object.values(document.paths).flatMap((path) => Object.values(path))
    expect(operations.length).toBeGreaterThan(12)
    for (const { summary, responses } of operations) {
      expect(summary).toBeTruthy()
      for (const status of ['400', '401', '403', '429', '500', '503'])
        expect(responses[status]?.content).toHaveProperty('application/problem+json')
      for (const { content = {} } of Object.values(responses)) {
        for (const { schema } of Object.values(content)) expect(() => ajv.compile(schema)).not.toThrow()
      }
    }
  })

  it('describes every answer to any request made from it, and nothing makes the server fail', {
    timeout: 120_000,
  }, async () => {
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        // A stream has no end to wait for: test/console/live.test.ts reads it.
        if (operation.responses['200']?.content?.['text/event-stream']) continue
        await fc.assert(
          fc.asyncProperty(callsOf(path, operation), async ({ url, body, headers }) => {
            const isPost = method === 'post'
            const answer = await shop.server.inject({
              method: method.toUpperCase() as 'GET',
              url,
              ...(isPost ? { payload: body === undefined ? 'x' : JSON.stringify(body), headers } : {}),
            })
            const documented = operation.responses[String(answer.statusCode)]
            expect(answer.statusCode, answer.body).toBeLessThan(500)
            expect(documented, `${answer.statusCode} of ${method} ${path}: ${answer.body}`).toBeDefined()
            const type = String(answer.headers['content-type'] ?? '').split(';', 1)[0]!
            if (answer.body === '') return
            expect(Object.keys(documented!.content ?? {})).toContain(type)
            if (type.includes('json') && !type.includes('ndjson')) {
              expect(validate(documented!.content![type]!.schema, answer.json()), answer.body).toEqual([])
            }
          }),
          { numRuns: 60 },
        )
      }
    }
  })
})
