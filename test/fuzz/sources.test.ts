/** Whatever a source sends: nothing throws, nothing takes long, nothing vanishes, and what comes out is valid. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { epochMs, offset } from '../../processors/app/units.ts'
import { READY_MAPPINGS } from '../../processors/mapper/index.ts'
import { deadLetter, parseDeadLetter } from '../../processors/outputs/index.ts'
import { applicationOf, planOf } from '../repair/harness.ts'
import { mapperOf, NOW, record, type TestMapper } from '../unit/mapper/harness.ts'
import { CASES, parameters, promptly, TIMEOUT_MS } from './cases.ts'
import { payloadsOf } from './corpus.ts'
import { FORMATS } from './formats.ts'
import { damaged, damages, jsonOf, mutate, mutations } from './mutations.ts'

const probe = { fields: { _id: 'id', timestamp: 'coalesce(t, raw.time)', 'identityMap.CRMID': 'coalesce(id, "u")' } }
const AVRO = {
  type: 'record',
  name: 'R',
  fields: [
    { name: 'id', type: ['null', 'string', 'long', 'double'] },
    { name: 'l', type: { type: 'array', items: { type: 'map', values: ['int', 'R', 'bytes'] } } },
  ],
}

/** Features over what an event commonly has: their states must survive whatever is mapped. */
const { featureSet } = await planOf(
  applicationOf(
    {},
    {
      spread: { kind: 'variance', value: 'commerce.order.priceTotal', window: '1h' },
      pages: { kind: 'distinct', value: 'web.webPageDetails.URL', window: '1h' },
      top: { kind: 'topK', k: 3, value: 'eventType', window: '1h' },
      since: { kind: 'recency' },
    },
  ),
)

/** The whole of one record's way. `least`: elements that it certainly has. */
function holds(mapper: TestMapper, value: Buffer, head: Readonly<Record<string, Buffer>> = {}, least = 1): void {
  const raw = record(value, { headers: head })
  const { events, rejected, skipped } = promptly(() => mapper.map(raw))
  expect(events.length + rejected.length + skipped).toBeGreaterThanOrEqual(least)
  for (const rejection of rejected) {
    expect(rejection.code).not.toBe('POISON')
    // What goes to the dead letters are the bytes that came, whatever is wrong with them.
    const refused = { topic: 'raw.x', partition: 0, offset: offset(7), timestamp: NOW, key: null, value, headers: head }
    const letter = parseDeadLetter(deadLetter(refused, rejection, 'dlq.raw'))!
    expect(letter.value).toBe(value)
    expect(letter.headers).toEqual(head)
    expect(letter.rejection.code).toBe(rejection.code)
  }
  for (const event of events) {
    expect(mapper.schema.validate(event.xdm)).toEqual([])
    expect(event.ts).toBeLessThanOrEqual(NOW + 86_400_000)
    // What the next stage reads is what was mapped, and it can be kept.
    const decoded = mapper.schema.decode(mapper.schema.encode(event))
    expect([decoded.id, decoded.key]).toEqual([event.id, event.key])
    expect(decoded.ts === event.ts).toBe(true)
    promptly(() => fold(decoded))
  }
}

function fold(event: Parameters<TestMapper['schema']['encode']>[0]): void {
  for (const kernel of featureSet.entities.values()) {
    for (const key of kernel.keys(event)) {
      const state = kernel.empty()
      kernel.update(state, { ...event, key })
      const packed = kernel.encode(state)
      expect(kernel.encode(kernel.decode(packed)).equals(packed)).toBe(true)
      const at = epochMs(Math.max(event.ts, state.time))
      const states = new Map([[kernel.entity, state]])
      featureSet.vector({ event, states, lookups: { get: () => undefined }, at }, featureSet.newVector())
    }
  }
}

describe.each(READY_MAPPINGS)('payloads of %s', { timeout: TIMEOUT_MS }, (mapping) => {
  const payloads = payloadsOf(mapping)

  it('with some of their places changed', async () => {
    const mapper = await mapperOf(mapping)
    fc.assert(
      fc.property(fc.constantFrom(...payloads), mutations, damages, fc.boolean(), (payload, changes, bytes, isCut) => {
        if (payload.text !== undefined) return holds(mapper, damaged(Buffer.from(payload.text), bytes), payload.headers)
        const value = Buffer.from(jsonOf(mutate(payload.body, changes)))
        holds(mapper, isCut && changes.length === 1 ? damaged(value, bytes) : value, payload.headers)
      }),
      parameters(CASES.mutatedPayloads),
    )
  })

  it('in lists, of which each element is accounted for', async () => {
    const mapper = await mapperOf(mapping)
    // Enveloped batches are one element here: what they hold is counted by the mapping's own golden files.
    const bodies = payloads.filter((it) => it.text === undefined && !Array.isArray(it.body))
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), mutations), { minLength: 1, maxLength: 6 }), (elements) => {
        const list = elements.map(([index, changes]) =>
          bodies.length === 0 ? index : mutate(bodies[index % bodies.length]!.body, changes),
        )
        const head = {}
        const isJson = mapper
          .map(record(Buffer.from('[]'), { headers: head }))
          .rejected.every((it) => it.code !== 'DECODE')
        const value = Buffer.from(jsonOf(list))
        const found = mapper.map(record(value, { headers: head }))
        // One element that breaks a limit of the record, or its syntax, takes the record to the dead letters as a whole.
        const whole =
          found.events.length === 0 && found.rejected.length === 1 && /^(DECODE|LIMIT)$/.test(found.rejected[0]!.code)
        holds(mapper, value, head, isJson && !whole ? list.length : 1)
      }),
      parameters(CASES.batches),
    )
  })
})

describe.each(FORMATS)('bytes taken for %s', { timeout: TIMEOUT_MS }, (format) => {
  it('whatever they are', async () => {
    const mapper = await mapperOf({ ...probe, format }, { schemaById: async () => AVRO })
    await mapper.prepare([record(Buffer.from([0, 0, 0, 0, 1, 0]))])
    const bytes = fc.uint8Array({ maxLength: 300 }).map((it) => Buffer.from(it))
    const text = fc.string({ unit: 'binary', maxLength: 200 }).map((it) => Buffer.from(it))
    const lines = fc
      .array(
        fc.array(fc.constantFrom('id', 't', '"', '""', ',', '\t', '\r', '\n', 'x', 'é', '\ufeff', '1', '\u0000')),
        {
          maxLength: 12,
        },
      )
      .map((rows) => Buffer.from(rows.map((row) => row.join('')).join('\n')))
    const json = fc.json({ maxDepth: 5 }).map((it) => Buffer.from(it))
    const framed = bytes.map((it) => Buffer.concat([Buffer.from([0, 0, 0, 0, 1]), it]))
    const any = format === 'avro' ? fc.oneof(bytes, framed, framed) : fc.oneof(bytes, text, lines, json)
    fc.assert(
      fc.property(any, (value) => holds(mapper, value)),
      parameters(CASES.randomBytes),
    )
  })
})
