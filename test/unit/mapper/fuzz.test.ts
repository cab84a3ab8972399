/** Whatever comes in: nothing throws, nothing vanishes, and what comes out is valid. A failing case prints its seed. */
import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { READY_MAPPINGS } from '../../../processors/mapper/index.ts'
import { headers, mapperOf, record, type TestMapper, testdata } from './harness.ts'

const formats = ['json', 'avro', 'csv', 'tsv', 'snowplow-tsv', 'cloudevents'] as const
const probe = { fields: { _id: 'id', timestamp: 'coalesce(t, raw.time)', 'identityMap.CRMID': 'coalesce(id, "u")' } }
const avro = {
  type: 'record',
  name: 'R',
  fields: [
    { name: 'id', type: ['null', 'string', 'long'] },
    { name: 'l', type: { type: 'array', items: { type: 'map', values: ['int', 'R', 'bytes'] } } },
  ],
}

function holds(mapper: TestMapper, value: Buffer, head: Record<string, Buffer> = {}): void {
  const result = mapper.map(record(value, { headers: head }))
  expect(result.events.length + result.rejected.length + result.skipped).toBeGreaterThanOrEqual(1)
  expect(result.rejected.filter((it) => it.code === 'POISON')).toEqual([])
  for (const { xdm } of result.events) expect(mapper.schema.validate(xdm)).toEqual([])
}

describe('random bytes', () => {
  for (const format of formats) {
    it(`as ${format}`, async () => {
      const mapper = await mapperOf({ ...probe, format }, { schemaById: async () => avro })
      await mapper.prepare([record(Buffer.from([0, 0, 0, 0, 1, 0]))])
      const body = fc.uint8Array({ maxLength: 200 }).map((it) => Buffer.from(it))
      const framed = body.map((it) => Buffer.concat([Buffer.from([0, 0, 0, 0, 1]), it]))
      fc.assert(
        fc.property(format === 'avro' ? fc.oneof(body, framed) : body, (value) => holds(mapper, value)),
        { numRuns: 500 },
      )
    })
  }
})

describe('random texts and JSON', () => {
  for (const mapping of READY_MAPPINGS) {
    it(`through ${mapping}`, async () => {
      const mapper = await mapperOf(mapping)
      const text = fc.oneof(fc.json({ maxDepth: 6 }), fc.string({ unit: 'binary', maxLength: 100 }))
      fc.assert(
        fc.property(text, (it) => holds(mapper, Buffer.from(it))),
        { numRuns: 150 },
      )
    })
  }
})

/** Values that have broken parsers before. */
const nasty: readonly unknown[] = [
  null,
  '',
  0,
  -1,
  1.5,
  1e308,
  true,
  [],
  {},
  [null],
  [[]],
  'x'.repeat(300),
  '\ud800',
  '__proto__',
  'NaN',
  '2024-02-30',
  '9'.repeat(30),
  { __proto__: null, constructor: 1 },
  [{ id: null }],
  2 ** 53 + 2,
  '\u0000',
  '1,5',
  -0,
]

/** Every leaf and branch of a payload, replaced, removed or doubled one at a time. */
function* mutations(value: unknown, pick: (n: number) => number): Generator<unknown> {
  const places: { at: Record<string, unknown>; key: string }[] = []
  const visit = (at: unknown): void => {
    if (typeof at !== 'object' || at === null) return
    for (const key of Object.keys(at)) {
      places.push({ at: at as Record<string, unknown>, key })
      visit((at as Record<string, unknown>)[key])
    }
  }
  visit(value)
  for (let i = 0; i < 40 && places.length > 0; i++) {
    const { at, key } = places[pick(places.length)] as (typeof places)[number]
    const before = at[key]
    const kind = pick(nasty.length + 2)
    if (kind === nasty.length) delete at[key]
    else at[key] = kind > nasty.length ? [before, before] : nasty[kind]
    yield value
    at[key] = before
  }
}

describe('mutated payloads of each format', () => {
  for (const mapping of READY_MAPPINGS) {
    it(mapping, async () => {
      const mapper = await mapperOf(mapping)
      const files = readdirSync(new URL(`${mapping}/`, testdata)).filter((file) => file.endsWith('.in.json'))
      fc.assert(
        fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), fc.constantFrom(...files), (seed, file) => {
          // a small linear congruential generator: fast-check's own values would be thousands a run
          let state = seed
          const pick = (n: number) => {
            state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
            return (state >> 8) % n
          }
          const payload = JSON.parse(readFileSync(new URL(`${mapping}/${file}`, testdata), 'utf8'))
          const head = headers(payload.headers ?? {})
          const { body, text } = payload
          if (text === undefined) {
            for (const mutated of mutations(body, pick)) holds(mapper, Buffer.from(JSON.stringify(mutated) ?? ''), head)
            return
          }
          for (let i = 0; i < 20; i++) {
            const bytes = Buffer.from(text)
            bytes[pick(bytes.length)] = pick(256)
            holds(mapper, pick(3) === 0 ? bytes.subarray(0, pick(bytes.length)) : bytes, head)
          }
        }),
        { numRuns: 8 },
      )
    })
  }
})
