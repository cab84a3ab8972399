/** Labels in the running stream: outcomes meet the samples that were served, each exactly once. */
import { expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import { epochMs, ms } from '../../processors/app/units.ts'
import { openEmbedded } from '../../processors/engine/embedded/engine.ts'
import { SampleTable } from '../../processors/outputs/index.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { everything, folder, openData, PATIENCE, type Started, settled, start } from './harness.ts'
import { BOUGHT, closing, examplesIn, expectedOutlines, labelShop, outline, rawOf, scored, visits } from './labels.ts'

const END = 100_000

const at = (id: string, seconds: number, type: 'view' | 'buy', customer = 'c1') => ({ id, at: seconds, customer, type })

/** Waits for all examples that the plain joiner makes of the log, and holds them against those in the topic. */
async function expectJoined({ engine, plan }: Started): Promise<string[]> {
  const expected = await expectedOutlines(engine, plan, plan.labels[0]!)
  await eventually(`${expected.length} examples are there`, PATIENCE, async () => {
    return (await examplesIn(engine)).length >= expected.length
  })
  const found = (await examplesIn(engine)).map(outline).sort()
  expect(found).toEqual(expected)
  return found
}

it.each([
  ['wait', BOUGHT],
  ['fake-negative', `${BOUGHT}, policy: fake-negative`],
  ['wait, with a share of the negatives', `${BOUGHT}, negatives: 0.3`],
  ['fake-negative, with a share of the negatives', `${BOUGHT}, policy: fake-negative, negatives: 0.3`],
  ['a match', `${BOUGHT}, match: 'productListItems[0].SKU'`],
  ['numbers, summed', `type: number, value: commerce.order.priceTotal, combine: sum, ${BOUGHT}`],
  ['classes', `type: classes, classes: [s0, s1], value: 'productListItems[0].SKU', combine: last, ${BOUGHT}`],
])(
  'joins samples with their outcomes, each once: %s',
  async (_name, label) => {
    await using place = await folder(labelShop(`{ ${label} }`))
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    const events = visits(500)
    for (let at = 0; at < events.length; at += 60) {
      await engine.log.append(rawOf(events.slice(at, at + 60)))
      await settled(running)
    }
    await engine.log.append(rawOf(closing(END)))
    await settled(running)
    const found = await expectJoined(running)
    expect(found.length).toBeGreaterThan(250)
  },
  PATIENCE.testMs,
)

it(
  'trains on the very bytes that were served',
  async () => {
    await using place = await folder(
      labelShop(`{ ${BOUGHT} }`).replace(
        'models:',
        '  last_type: { kind: event, value: eventType, type: text }\n  skew: { kind: variance, value: commerce.order.priceTotal }\nmodels:',
      ),
    )
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    await engine.log.append(rawOf(visits(600)))
    await settled(running)
    await engine.log.append(rawOf(closing(END)))
    await settled(running)
    await expectJoined(running)
    // An event that comes again after the ids of its time are forgotten is scored again, long after its window: the first counts.
    const served = new Map<string, string>()
    for (const { value } of await everything(engine, 'samples')) {
      const table = new SampleTable(value!)
      for (let row = 0; row < table.rows; row++) {
        const scores = JSON.stringify(table.scores(row))
        const line = `${table.features(row).toString('hex')} ${table.texts(row)} ${scores}`
        if (!served.has(table.eventId(row))) served.set(table.eventId(row), line)
      }
    }
    const computed = new Map<string, string>()
    for (const { event, floats, strings } of (await scored(engine, running.plan)).flat()) {
      const bytes = Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength)
      if (!computed.has(event.id)) computed.set(event.id, `${bytes.toString('hex')} ${strings}`)
    }
    const examples = await examplesIn(engine)
    let equal = 0
    for (const { eventId, features, texts, scores } of examples) {
      const row = `${features.toString('hex')} ${texts}`
      if (computed.get(eventId) === row && served.get(eventId) === `${row} ${JSON.stringify(scores)}`) equal++
    }
    expect(equal, `${equal} of ${examples.length} examples have the bytes of samples and of the kernel`).toBe(
      examples.length,
    )
    expect(examples.length).toBeGreaterThan(200)
    expect(examples[0]!.scores).toMatchObject([{ model: 'score', version: '1', role: 'champion', output: 'score' }])
  },
  PATIENCE.testMs,
)

it(
  'counts what comes twice, too late or for nothing, and loses nothing over a restart',
  async () => {
    await using place = await folder(labelShop(`{ ${BOUGHT} }`, { partitions: 1, more: 'events: { lateness: 1d }\n' }))
    await using engine = await openData(place.data)
    {
      await using running = await start(place.file, engine)
      await engine.log.append(rawOf([at('seen', 0, 'view'), at('bought', 10, 'view'), at('buy', 20, 'buy')]))
      await settled(running)
      await engine.log.append(rawOf([at('buy', 20, 'buy')]))
      await settled(running)
      // Time goes on by others: the window of "seen" and "bought" is over, that of "pending" isn't.
      await engine.log.append(rawOf([at('pending', 500, 'view')]))
      await settled(running)
      await engine.log.append(rawOf([at('o1', 800, 'view', 'c2')]))
      await eventually('two examples are there', PATIENCE, async () => (await examplesIn(engine)).length === 2)
      await engine.log.append(rawOf([at('too-late', 90, 'buy'), at('old', 60, 'view')]))
      await settled(running)
      expect(running.metrics.total('rtml_label_outcomes_total', ['bought', 'taken'])).toBe(1)
      expect(running.metrics.total('rtml_label_outcomes_total', ['bought', 'late'])).toBe(1)
      expect(running.metrics.total('rtml_label_positives_total', ['bought'])).toBe(2)
      // A duplicate is refused before it becomes a sample.
      expect(running.metrics.total('rtml_events_total', ['profile', 'duplicate'])).toBe(1)
    }
    await using running = await start(place.file, engine)
    await engine.log.append(rawOf([at('o2', 1_200, 'view', 'c2')]))
    await eventually('the pending sample is settled', PATIENCE, async () =>
      (await examplesIn(engine)).some(({ eventId }) => eventId === 'pending'),
    )
    await engine.log.append(rawOf([at('o3', 9_000, 'view', 'c2')]))
    await eventually('all are settled', PATIENCE, async () => (await examplesIn(engine)).length === 5)
    expect((await examplesIn(engine)).map(outline).sort()).toEqual(
      ['bought 1', 'o1 0', 'o2 0', 'pending 0', 'seen 1'].map((line) => {
        const [id, value] = line.split(' ')
        return `bought ${id} example ${value} 1`
      }),
    )
    expect(running.metrics.total('rtml_label_samples_total', ['bought', 'late'])).toBe(1)
  },
  PATIENCE.testMs,
)

it(
  'gives samples that carry their own label at once',
  async () => {
    await using place = await folder(labelShop(`{ type: number, value: commerce.order.priceTotal }`))
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    await engine.log.append(rawOf(visits(100)))
    await settled(running)
    const samples = await everything(engine, 'samples')
    const rows = samples.reduce((sum, { value }) => sum + new SampleTable(value!).rows, 0)
    const examples = await examplesIn(engine)
    expect(examples).toHaveLength(rows)
    expect(new Set(examples.map(({ kind }) => kind))).toEqual(new Set(['example']))
    expect(running.service.status().map(({ stage }) => stage)).toEqual(['map.web', 'profile', 'outcomes'])
  },
  PATIENCE.testMs,
)

it(
  'goes on behind samples that retention took before they were settled',
  async () => {
    await using place = await folder(labelShop(`{ ${BOUGHT} }`, { partitions: 1 }))
    await using engine = await openData(place.data)
    {
      await using running = await start(place.file, engine)
      await engine.log.append(rawOf(visits(50)))
      await settled(running)
    }
    {
      const later = { ...systemClock, now: () => epochMs(Date.now() + 15 * 86_400_000) }
      await using retained = await openEmbedded({ dir: place.data, clock: later, upkeep: 'off', upkeepMs: ms(1_000) })
      await retained.upkeep.round()
    }
    const [kept] = await engine.log.bounds('samples')
    expect(kept!.start).toBeGreaterThan(0)
    await using running = await start(place.file, engine)
    const fresh = visits(60)
      .slice(50)
      .map((event) => ({ ...event, id: `new-${event.id}`, at: event.at + 50_000 }))
    await engine.log.append(rawOf(fresh))
    await settled(running)
    await engine.log.append(rawOf(closing(END)))
    const views = new Set(fresh.filter(({ type }) => type === 'view').map(({ id }) => id))
    await eventually('the new samples are settled', PATIENCE, async () => {
      const ids = new Set((await examplesIn(engine)).map(({ eventId }) => eventId))
      return [...views].every((id) => ids.has(id))
    })
    expect(running.service.error).toBeUndefined()
  },
  PATIENCE.testMs,
)
