/** What the runtime promises, seen from outside: each event once, in order, across restarts, kills and refusals. */
import { expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import { epochMs, ms } from '../../processors/app/units.ts'
import { openEmbedded } from '../../processors/engine/embedded/engine.ts'
import { parseDeadLetter } from '../../processors/outputs/index.ts'
import { within } from '../engine/contract/conditions.ts'
import {
  everything,
  folder,
  openData,
  PATIENCE,
  planOf,
  range,
  raw,
  SHOP,
  samplesIn,
  scoresIn,
  settled,
  shopEvent,
  start,
} from './harness.ts'

const ids = (from: number, to: number) =>
  range(from, to)
    .map((n) => `e${n}`)
    .sort()

/** Every event is scored once, and its score is the count of the customer's events so far. */
async function expectExact(engine: Parameters<typeof scoresIn>[0], count: number, customers = 10): Promise<void> {
  const scores = await scoresIn(engine)
  expect(scores.map(({ eventId }) => eventId).sort()).toEqual(ids(0, count))
  for (const {
    eventId,
    scores: [first],
  } of scores) {
    const expected = Math.floor(Number(eventId.slice(1)) / customers) + 1
    expect([eventId, first!.score, first!.fallback]).toEqual([eventId, expected, 'none'])
  }
}

it.each(['exactly-once', 'at-least-once'])(
  'scores each event once, in order, with delivery %s',
  async (delivery) => {
    await using place = await folder(`${SHOP}delivery: ${delivery}\n`)
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    for (const at of range(0, 10)) await engine.log.append(raw(range(at * 50, at * 50 + 50).map((n) => shopEvent(n))))
    await settled(running)
    await expectExact(engine, 500)
  },
  PATIENCE.testMs,
)

it(
  'maps and scores in one step where records are keyed by identity, and refuses a record that is keyed otherwise',
  async () => {
    await using place = await folder(SHOP.replace('  web:\n', '  web:\n    keyedBy: identity\n'))
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    const events = range(0, 100).map((n) => shopEvent(n))
    const keyed = raw(events).map((record) => ({ ...record, key: Buffer.from(`CustomerID:${record.key}`) }))
    await engine.log.append(keyed)
    const [stray] = raw([{ ...shopEvent(100), id: 'stray' }])
    await engine.log.append([stray!])
    await settled(running)
    await expectExact(engine, 100)
    expect(await engine.log.bounds('xdm.events')).toEqual([])
    const dead = (await everything(engine, 'dlq.xdm')).map((record) => parseDeadLetter(record)!.rejection)
    expect(dead).toMatchObject([{ code: 'IDENTITY' }])
  },
  PATIENCE.testMs,
)

it(
  'counts an event once however often it is sent',
  async () => {
    await using place = await folder()
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    const events = range(0, 60).map((n) => shopEvent(n))
    await engine.log.append(raw(events))
    await engine.log.append(raw([...events].reverse()))
    await settled(running)
    await expectExact(engine, 60)
    expect(running.metrics.total('rtml_events_total', ['profile', 'duplicate'])).toBe(60)
  },
  PATIENCE.testMs,
)

it(
  'carries the trace of a raw event to its score',
  async () => {
    await using place = await folder()
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    const trace = 'a'.repeat(31)
    await engine.log.append(
      range(0, 4).flatMap((n) =>
        raw([shopEvent(n)], { traceparent: Buffer.from(`00-${trace}${n}-00f067aa0ba902b7-01`) }),
      ),
    )
    await engine.log.append(raw([shopEvent(4)]))
    await settled(running)
    const traces = (await everything(engine, 'profile.scores')).map(({ headers }) => headers.traceparent?.toString())
    expect(traces.map((header) => header?.split('-')[1] ?? 'none').sort()).toEqual([
      ...range(0, 4).map((n) => trace + n),
      'none',
    ])
  },
  PATIENCE.testMs,
)

it(
  'goes on exactly where it stopped',
  async () => {
    await using place = await folder()
    await using engine = await openData(place.data)
    for (const at of range(0, 5)) {
      await using running = await start(place.file, engine)
      await engine.log.append(raw(range(at * 40, at * 40 + 40).map((n) => shopEvent(n))))
      // The last ones are left to the next life.
      if (at === 4) await settled(running)
    }
    await expectExact(engine, 200)
  },
  PATIENCE.testMs,
)

it(
  'sends an event that breaks the program to the dead letters, and goes on behind it',
  async () => {
    await using place = await folder()
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine, {
      alter: (plan) => {
        const mapper = plan.mappers.get('web')!
        const broken = {
          ...mapper,
          prepare: mapper.prepare.bind(mapper),
          map: (record: Parameters<typeof mapper.map>[0]) => {
            if (record.value?.includes('"poison"')) throw new Error('a defect')
            return mapper.map(record)
          },
        }
        return { ...plan, mappers: new Map([['web', broken]]) }
      },
    })
    await engine.log.append(raw(range(0, 50).map((n) => shopEvent(n))))
    await engine.log.append(raw([{ ...shopEvent(50), id: 'poison' }]))
    await engine.log.append(raw(range(50, 100).map((n) => shopEvent(n))))
    await settled(running)
    await expectExact(engine, 100)
    const dead = (await everything(engine, 'dlq.raw')).map((record) => parseDeadLetter(record)!)
    expect(dead.map(({ rejection, value }) => [rejection.code, JSON.parse(String(value)).id])).toEqual([
      ['POISON', 'poison'],
    ])
    expect(running.service.error).toBeUndefined()
  },
  PATIENCE.testMs,
)

it(
  'stops and says so when retention has deleted events before they were read',
  async () => {
    await using place = await folder()
    const DAY = 86_400_000
    {
      await using engine = await openData(place.data)
      await using running = await start(place.file, engine)
      await engine.log.append(raw(range(0, 20).map((n) => shopEvent(n))))
      await settled(running)
    }
    {
      await using engine = await openData(place.data)
      await engine.log.append(raw(range(20, 60).map((n) => shopEvent(n))))
    }
    {
      const later = { ...systemClock, now: () => epochMs(Date.now() + 8 * DAY) }
      await using engine = await openEmbedded({ dir: place.data, clock: later, upkeep: 'off', upkeepMs: ms(1_000) })
      await engine.upkeep.round()
    }
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    const error = await within('the service fails', PATIENCE, running.service.failed)
    expect(String(error)).toMatch(
      /LOG_TRUNCATED raw\.web\[\d\]: position \d+ is below the log's start \d+; \d+ events were deleted/,
    )
    // Nothing behind the hole was touched; upkeep has left the newest score of each customer.
    expect((await scoresIn(engine)).map(({ eventId }) => eventId).sort()).toEqual(ids(10, 20))
  },
  PATIENCE.testMs,
)

it(
  'refuses another number of partitions for states that are cut already',
  async () => {
    await using place = await folder()
    await using engine = await openData(place.data)
    {
      await using running = await start(place.file, engine)
      await settled(running)
    }
    await using other = await folder(`${SHOP}partitions: 8\n`)
    await expect(start(other.file, engine)).rejects.toThrow(/xdm\.events: partitions is 4, wanted 8/)
  },
  PATIENCE.testMs,
)

it(
  'keeps the values of unchanged features when definitions change',
  async () => {
    await using place = await folder()
    await using engine = await openData(place.data)
    {
      await using running = await start(place.file, engine)
      await engine.log.append(raw(range(0, 50).map((n) => shopEvent(n))))
      await settled(running)
    }
    const changed = SHOP.replace(
      '  spend:',
      '  biggest: { kind: max, value: commerce.order.priceTotal, default: 0 }\n  spend:',
    )
    await using other = await folder(changed)
    await using running = await start(other.file, engine)
    await engine.log.append(raw(range(50, 60).map((n) => shopEvent(n))))
    await settled(running)
    await expectExact(engine, 60)
    const samples = await samplesIn(engine)
    for (const n of range(50, 60)) {
      const customer = n % 10
      const spend = range(0, 6).reduce((sum, round) => sum + round * 10 + customer, 0)
      // The new feature knows nothing of before; the old ones know everything.
      expect(samples.get(`e${n}`)).toMatchObject({ events_1h: 6, spend, biggest: n })
    }
  },
  PATIENCE.testMs,
)

it(
  'swaps a model between two events: none is dropped, none is scored by both',
  async () => {
    await using place = await folder()
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    const next = (await planOf((await folderWithModel('minus.onnx', 2)).file)).models
    const first = running.plan.models
    for (const round of range(0, 20)) {
      await engine.log.append(raw(range(round * 20, round * 20 + 20).map((n) => shopEvent(n))))
      await running.scorer!.swap({ models: round % 2 === 0 ? next : first })
    }
    await settled(running)
    const scores = await scoresIn(engine)
    expect(scores.map(({ eventId }) => eventId).sort()).toEqual(ids(0, 400))
    for (const { eventId, scores: all } of scores) {
      const count = Math.floor(Number(eventId.slice(1)) / 10) + 1
      expect(all).toHaveLength(1)
      expect([eventId, all[0]!.version, all[0]!.score]).toEqual([
        eventId,
        all[0]!.version,
        all[0]!.version === '1' ? count : -count,
      ])
    }
    expect(new Set(scores.map(({ scores: [score] }) => score!.version))).toEqual(new Set(['1', '2']))
  },
  PATIENCE.testMs,
)

const folderWithModel = (model: string, version: number) =>
  folder(SHOP.replace('same.onnx, version: 1', `${model}, version: ${version}`))
