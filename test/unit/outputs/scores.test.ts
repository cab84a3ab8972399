import avro from 'avsc'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { epochMs } from '../../../processors/app/units.ts'
import {
  decodeScores,
  encodeScores,
  type ProfileScores,
  profileScores,
  SCORES_SCHEMA,
  type ScoreEntry,
  scoresReader,
  scoresSubject,
} from '../../../processors/outputs/scores.ts'
import { frame, unframe } from '../../../processors/outputs/wire.ts'

const entry: fc.Arbitrary<ScoreEntry> = fc.record({
  model: fc.string(),
  version: fc.string(),
  service: fc.string(),
  role: fc.constantFrom('champion', 'arm', 'shadow'),
  output: fc.string(),
  score: fc.double(),
  fallback: fc.constantFrom('none', 'previous', 'prior', 'rule'),
  explanation: fc.option(fc.array(fc.record({ feature: fc.string(), contribution: fc.double() }))),
  // Attributes are named by an application's graph; avsc reads a map into a plain object, which can't have a key __proto__.
  attributes: fc.dictionary(
    fc.string().filter((name) => name !== '__proto__'),
    fc.oneof(fc.double(), fc.string(), fc.boolean()),
    { noNullPrototype: true },
  ),
})
/** The years 0–9999 of RFC 3339. avsc's longs are wrong beyond ±2^52, the year 144,000. */
const time = fc.integer({ min: -62_167_219_200_000, max: 253_402_300_799_999 }).map(epochMs)
const record: fc.Arbitrary<ProfileScores> = fc.record({
  eventId: fc.string({ unit: 'grapheme' }),
  profile: fc.record({ namespace: fc.string(), id: fc.string({ unit: 'binary' }) }),
  eventTime: time,
  processedAt: time,
  featureSetVersion: fc.string(),
  source: fc.string(),
  scores: fc.array(entry),
})

const ONE: ProfileScores = {
  eventId: 'e1',
  profile: { namespace: 'ECID', id: '42' },
  eventTime: epochMs(1_700_000_000_000),
  processedAt: epochMs(1_700_000_000_005),
  featureSetVersion: '0123456789ab',
  source: 'web',
  scores: [
    {
      model: 'propensity',
      version: '3',
      service: 'propensity',
      role: 'champion',
      output: 'score',
      score: 0.25,
      fallback: 'none',
      explanation: [{ feature: 'views_1h', contribution: -0.125 }],
      attributes: { 'plan.tier': 'gold', visits: 3, isNew: false },
    },
  ],
}

describe('the codec', () => {
  it('decodes what it encoded', () => {
    fc.assert(
      fc.property(record, (value) => {
        expect(decodeScores(encodeScores(value, 1))).toEqual(value)
      }),
    )
  })

  it('writes the bytes that avsc itself writes, after the schema id', () => {
    const type = avro.Type.forSchema(SCORES_SCHEMA as unknown as avro.Schema)
    fc.assert(
      fc.property(record, fc.nat(), (value, schemaId) => {
        const framed = unframe(encodeScores(value, schemaId))
        expect(framed?.schemaId).toBe(schemaId)
        expect(framed?.payload.equals(type.toBuffer(value))).toBe(true)
      }),
    )
  })

  it('encodes a record larger than its buffer', () => {
    const value = { ...ONE, eventId: 'x'.repeat(300_000) }
    expect(decodeScores(encodeScores(value, 1)).eventId).toHaveLength(300_000)
  })

  it('gives each record bytes of its own', () => {
    const first = encodeScores(ONE, 1)
    const before = Buffer.from(first)
    encodeScores({ ...ONE, eventId: 'another', source: 'app' }, 2)
    expect(first.equals(before)).toBe(true)
  })

  it('refuses bytes that are not framed, cut, or followed by others', () => {
    const value = encodeScores(ONE, 1)
    expect(() => decodeScores(Buffer.from('{"a":1}'))).toThrow(/not a Confluent-framed record/)
    expect(() => decodeScores(value.subarray(0, value.length - 3))).toThrow()
    expect(() => decodeScores(Buffer.concat([value, Buffer.from([1])]))).toThrow()
  })

  it('takes the identity from the key, whatever is in the id', () => {
    const event = { id: 'e1', ts: ONE.eventTime, key: 'Email:a:b@c', xdm: { _id: 'e1', timestamp: '' } }
    const context = { processedAt: ONE.processedAt, featureSetVersion: '0123456789ab', source: 'web' }
    const scores = [
      { model: 'm', version: '1', service: 's', role: 'arm', output: 'o', value: 2, fallback: 'prior' },
    ] as const
    expect(profileScores(event, scores, context)).toEqual({
      ...ONE,
      profile: { namespace: 'Email', id: 'a:b@c' },
      scores: [
        {
          model: 'm',
          version: '1',
          service: 's',
          role: 'arm',
          output: 'o',
          score: 2,
          fallback: 'prior',
          explanation: null,
          attributes: {},
        },
      ],
    })
  })

  it('is registered under the name that Confluent serializers use', () => {
    expect(scoresSubject('profile.scores')).toBe('profile.scores-value')
  })
})

describe('a reader of other versions of the schema', () => {
  type Mutable = { fields: { name: string; type: unknown; default?: unknown }[] }
  const changed = (change: (schema: Mutable, score: Mutable) => void): avro.Type => {
    const schema = structuredClone(SCORES_SCHEMA) as unknown as Mutable
    const scores = schema.fields.find(({ name }) => name === 'scores')!.type as { items: Mutable }
    change(schema, scores.items)
    return avro.Type.forSchema(schema as unknown as avro.Schema)
  }
  const read = (type: avro.Type, value: unknown) => {
    const asked: number[] = []
    const reader = scoresReader(async (id) => {
      asked.push(id)
      return JSON.parse(JSON.stringify(type.schema({ exportAttrs: true }))) as object
    })
    return { asked, reader, value: frame(7, type.toBuffer(value)) }
  }

  it('leaves out fields that a newer writer added, and asks for a schema once', async () => {
    const newer = changed((schema) => schema.fields.push({ name: 'region', type: 'string', default: '' }))
    const { asked, reader, value } = read(newer, { ...ONE, region: 'eu' })
    expect(await reader(value)).toEqual(ONE)
    expect(await reader(value)).toEqual(ONE)
    expect(asked).toEqual([7])
  })

  it('fills fields that an older writer did not have', async () => {
    const older = changed((_, score) => {
      score.fields = score.fields.filter(({ name }) => name !== 'explanation' && name !== 'attributes')
    })
    const { reader, value } = read(older, ONE)
    expect((await reader(value)).scores[0]).toEqual({ ...ONE.scores[0], explanation: null, attributes: {} })
  })

  it('takes an unknown role for a shadow: it must not serve', async () => {
    const newer = changed((_, score) => {
      const role = score.fields.find(({ name }) => name === 'role')!
      role.type = { ...(role.type as object), symbols: ['champion', 'arm', 'shadow', 'canary'] }
    })
    const { reader, value } = read(newer, { ...ONE, scores: [{ ...ONE.scores[0], role: 'canary' }] })
    expect((await reader(value)).scores[0]?.role).toBe('shadow')
  })
})
