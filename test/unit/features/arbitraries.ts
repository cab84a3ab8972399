/** Random applications and logs that look for trouble: ties, edges of hops and windows, times before 1970, duplicates, disorder. */
import fc from 'fast-check'
import type { XdmEvent } from '../../../processors/app/event.ts'
import { type Application, applicationSchema } from '../../../processors/app/schema.ts'
import { epochMs } from '../../../processors/app/units.ts'

const SECOND = 1_000

/** An application of these features, as the application file would give it. */
export function application(parts: { features: object; entities?: object; events?: object }): Application {
  return applicationSchema.parse({
    rtml: 1,
    name: 'shop',
    sources: { web: { topic: 'raw.web', format: 'json', mapping: 'web' } },
    ...parts,
  })
}

/** @param fields the XDM event's own; the id names it */
export function event(id: string, ts: number, fields: object = {}, key = 'ECID:1'): XdmEvent {
  return { id, ts: epochMs(ts), key, xdm: { _id: id, timestamp: '1970-01-01T00:00:00.000Z', ...fields } }
}

const window = fc.oneof(
  fc.constant(undefined),
  fc.constantFrom('10ms', '60s', '5m', '1h', '24h'),
  fc.record({ type: fc.constant('sliding'), length: fc.constant('60s'), hop: fc.constantFrom('1s', '20s', '60s') }),
  fc.record({ type: fc.constant('tumbling'), length: fc.constantFrom('7s', '60s', '1h') }),
  fc.record({ type: fc.constant('session'), gap: fc.constantFrom('5s', '60s') }),
  fc.constant({ type: 'lifetime' }),
)
const where = fc.constantFrom(undefined, undefined, 'flag', 'type == "a"')
const entity = fc.constantFrom('profile', 'profile', 'item', 'pair')
const base = { where, entity }
const windowed = { ...base, window }
const numeric = fc.constantFrom('n', 'm', 'flag', 'anything')
const text = fc.constantFrom('type', 'sku', 'anything', 'n')
const number = fc.constantFrom(undefined, null, -1)
const encode = fc.constantFrom(undefined, undefined, { vocabulary: ['a', 'b'] }, { onehot: ['a', 'c'] }, { hash: 7 })

const kind = <K extends string>(name: K, model: Record<string, fc.Arbitrary<unknown>>) =>
  fc.record({ kind: fc.constant(name), ...model })
const ofText = (name: string, model: Record<string, fc.Arbitrary<unknown>> = {}) =>
  fc.oneof(
    kind(name, {
      ...windowed,
      ...model,
      value: text,
      type: fc.constant('text'),
      default: fc.constantFrom(undefined, 'a'),
    }),
    kind(name, { ...windowed, ...model, value: text, encode, default: fc.constantFrom(undefined, 'a') }),
    kind(name, { ...windowed, ...model, value: numeric, default: number }),
  )

const definition = fc.oneof(
  kind('count', { ...windowed, default: fc.constantFrom(undefined, -1) }),
  kind('sum', { ...windowed, value: numeric, unit: fc.constantFrom(undefined, 0.01, 5) }),
  kind('mean', { ...windowed, value: numeric, default: number }),
  kind('min', { ...windowed, value: numeric, default: number }),
  kind('max', { ...windowed, value: numeric, default: number }),
  kind('variance', { ...windowed, value: numeric, default: number }),
  kind('distinct', { ...windowed, value: fc.oneof(text, fc.constant('list')), precision: fc.constantFrom(4, 10, 14) }),
  ofText('last'),
  ofText('first'),
  ofText('lastN', { n: fc.constantFrom(1, 3) }),
  ofText('topK', { k: fc.constantFrom(1, 3), capacity: fc.constant(50) }),
  kind('topK', {
    ...base,
    window: fc.constantFrom(undefined, '60s', '1h'),
    value: fc.constant('list'),
    type: fc.constant('text'),
    k: fc.constant(3),
    capacity: fc.constantFrom(1, 2),
  }),
  kind('ratio', {
    ...windowed,
    numerator: fc.constantFrom('flag', 'n', 'type == "a"'),
    denominator: fc.constantFrom('type == "b"', 'm'),
    prior: fc.constantFrom(undefined, { numerator: 1, denominator: 10 }),
  }),
  kind('decayedCount', { ...base, halfLife: fc.constantFrom('1s', '5m') }),
  kind('decayedSum', { ...base, value: fc.constantFrom('m', 'flag'), halfLife: fc.constantFrom('1s', '5m') }),
  kind('recency', { ...base, default: number }),
  kind('session', { ...base, gap: fc.constantFrom('5s', '60s'), measure: fc.constantFrom('count', 'seconds') }),
  kind('session', { ...base, gap: fc.constantFrom('5s', '60s'), measure: fc.constant('sum'), value: numeric }),
  kind('buckets', {
    ...windowed,
    by: fc.oneof(text, fc.constant('list')),
    value: fc.constantFrom(undefined, 'n'),
    keys: fc.constantFrom(['a', 'b'], ['b', 'nobody']),
  }),
  kind('buckets', { ...windowed, by: text, value: fc.constantFrom(undefined, 'n'), read: text }),
  kind('event', { value: numeric, default: number }),
  kind('event', { value: text, encode, default: fc.constantFrom('b') }),
  kind('lookup', {
    table: fc.constant('prices'),
    key: fc.constant('sku'),
    field: fc.constant('price'),
    default: number,
  }),
)

const withoutUndefined = (value: object): object => JSON.parse(JSON.stringify(value)) as object

export const anyApplication: fc.Arbitrary<Application> = fc
  .record({
    features: fc.array(definition, { minLength: 1, maxLength: 8 }),
    lateness: fc.constantFrom('1ms', '30s', '1h', '1h'),
    ids: fc.constantFrom(0, 2, 16),
    dedup: fc.constantFrom('10ms', '60s', '1h'),
    ttl: fc.constantFrom('90d', '90d', '2h'),
  })
  .map(({ features, lateness, ids, dedup, ttl }) =>
    application({
      features: Object.fromEntries(features.map((it, i) => [`f${i}`, withoutUndefined(it)])),
      entities: { item: { key: 'list', ttl }, pair: { key: ['profile', 'list'], ttl } },
      events: { lateness, dedup: { ids, window: dedup }, ttl },
    }),
  )

/** Steps of time: ties, one millisecond around edges of hops and windows, bursts, silences. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(0, 1, -1, 10, SECOND, 5 * SECOND, 20 * SECOND, 60 * SECOND) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(-5 * SECOND, -2 * SECOND, -5 * SECOND - 1, 10 * SECOND, -60 * SECOND, 61 * SECOND),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(60 * SECOND - 1, 60 * SECOND + 1, 300 * SECOND, 3_600 * SECOND, 7_200 * SECOND),
  },
  { weight: 2, arbitrary: fc.integer({ min: -70 * SECOND, max: 90 * SECOND }) },
  { weight: 1, arbitrary: fc.constantFrom(-3_600 * SECOND, 3_600 * SECOND - 1, 86_400 * SECOND) },
)

/** Sums of a log stay below 2^53 millionths: that far the kernel promises exact sums. */
const number64 = fc.oneof(
  fc.constantFrom(0, -0, 1, -1, 0.1, 12.34, 1e8, 99_999_999.99, Number.NaN, Number.POSITIVE_INFINITY, 1e300, 0.0000004),
  fc.integer({ min: -1_000, max: 1_000 }),
  fc.integer({ min: -100_000, max: 100_000 }).map((cents) => cents / 100),
  fc.constantFrom(null, '5', true),
)
const word = fc.constantFrom('a', 'b', 'c', 'd', 'é€😀', '', 'x'.repeat(300), `${'ü'.repeat(127)}😀`, null, 7)

const fields = fc.record({
  n: number64,
  // Never negative: terms of a decayed sum can't cancel, so it can be compared by its relative error.
  m: number64.map((it) => (typeof it === 'number' ? Math.abs(it) : it)),
  flag: fc.constantFrom(true, false, null),
  type: fc.constantFrom('a', 'b', 'c'),
  sku: word,
  list: fc.oneof(word, fc.array(word, { maxLength: 4 })),
  anything: fc.oneof(number64, word, fc.constantFrom([], {}, ['a'], undefined)),
})

/** A log of a few keys, with up to `max` events. */
export function anyLog(max: number): fc.Arbitrary<XdmEvent[]> {
  const record = fc.record({ step, fields, key: fc.constantFrom('ECID:1', 'ECID:1', 'ECID:2'), again: fc.nat(9) })
  const start = fc.constantFrom(0, -1, -60 * SECOND, 1_700_000_000_000, 1_700_000_000_000 - 1, 59_999)
  return fc.tuple(start, fc.array(record, { minLength: 1, maxLength: max })).map(([from, records]) => {
    let ts = from
    const log: XdmEvent[] = []
    for (const [i, record] of records.entries()) {
      ts += record.step
      const again = record.again === 0 ? log.at(-1 - (i % 5)) : undefined
      log.push(again ?? event(`e${i}`, ts, record.fields, record.key))
    }
    return log
  })
}
