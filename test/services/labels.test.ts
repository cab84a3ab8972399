/** Labels on Kafka, Redis and a registry: joined over a hand-over, and readable with the registry alone. */
import { expect, it } from 'vitest'
import { groupOf } from '../../processors/app/topics.ts'
import type { Engine, NewRecord } from '../../processors/engine/ports.ts'
import { decodeScores, exampleReader, exampleVector } from '../../processors/outputs/index.ts'
import { everything, folder, type Started, start } from '../e2e/harness.ts'
import { BOUGHT, closing, examplesIn, expectedOutlines, labelShop, outline, rawOf, visits } from '../e2e/labels.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { openFixture } from './fixtures.ts'
import { unavailable } from './harness.ts'

const PATIENCE = { deadlineMs: 60_000, testMs: 120_000 }
const MORE = '  paid: { kind: mean, value: commerce.order.priceTotal }\nmodels:'

async function expectJoined(engine: Engine, { plan }: Started, expected: readonly string[]): Promise<void> {
  await eventually(`${expected.length} examples are there`, PATIENCE, async () => {
    return (await examplesIn(engine, plan.topics.examples)).length >= expected.length
  })
  expect((await examplesIn(engine, plan.topics.examples)).map(outline).sort()).toEqual(expected)
}

it.skipIf(await unavailable())(
  'joins labels once over a hand-over and a change of the features',
  { timeout: PATIENCE.testMs },
  async () => {
    const fixture = await openFixture()
    await using engine = fixture.engine
    const shop = labelShop(`{ ${BOUGHT}, policy: fake-negative }`, { more: `topicPrefix: ${fixture.prefix}\n` })
    await using place = await folder(shop)
    await using changed = await folder(shop.replace('models:', MORE))
    const append = async (records: readonly NewRecord[]) =>
      engine.log.append(records.map((record) => ({ ...record, topic: `${fixture.prefix}raw.web` })))
    const events = visits(240)
    const isScored = async ({ plan }: Started) => {
      for (const bounds of await engine.log.bounds(plan.topics.events)) {
        if (((await engine.log.committed(groupOf(plan.app, 'profile'), bounds)) ?? 0) < bounds.end) return false
      }
      const ids = new Set(
        (await everything(engine, plan.topics.scores)).map(({ value }) => decodeScores(value!).eventId),
      )
      return (upTo: number) => events.slice(0, upTo).every(({ id }) => ids.has(id))
    }
    const scored = (running: Started, upTo: number) =>
      eventually(`${upTo} events are scored`, PATIENCE, async () => {
        const have = await isScored(running)
        return have !== false && have(upTo)
      })
    const feed = async (from: number, to: number) => {
      for (let at = from; at < to; at += 40) await append(rawOf(events.slice(at, Math.min(at + 40, to))))
    }
    {
      await using running = await start(place.file, engine)
      await feed(0, 130)
      await scored(running, 130)
    }
    await using running = await start(changed.file, engine)
    await feed(130, events.length)
    await scored(running, events.length)
    await append(rawOf(closing(100_000)))
    await eventually('the strangers are scored', PATIENCE, async () =>
      (await examplesIn(engine, running.plan.topics.examples)).some(({ eventId }) => eventId === 'z23'),
    )
    await expectJoined(engine, running, await expectedOutlines(engine, running.plan, running.plan.labels[0]!))

    // A reader that knows nothing but the record and the registry names every column, of both versions.
    const read = exampleReader((id) => engine.registry.schema(id))
    const versions = new Map<string, readonly string[]>()
    for (const { value } of await everything(engine, running.plan.topics.examples)) {
      const { example, columns } = await read(value!)
      versions.set(example.featureSetVersion, columns.features)
      expect(exampleVector(example).floats).toHaveLength(columns.features.length)
    }
    expect([...versions.values()].sort((a, b) => a.length - b.length)).toEqual([
      ['events_1h', 'spend'],
      ['events_1h', 'spend', 'paid'],
    ])
  },
)
