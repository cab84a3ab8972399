/** Labels in the running stream: outcomes meet the samples that were served, each exactly once. */
import { expect, it } from 'vitest'
import { SampleTable } from '../../processors/outputs/index.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { everything, folder, openData, PATIENCE, type Started, settled, start } from './harness.ts'
import { BOUGHT, closing, examplesIn, expectedOutlines, labelShop, outline, rawOf, scored, visits } from './labels.ts'

const END = 100_000

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
