/** Values that come from elsewhere: tables of compacted topics, and other entities. */
import { expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import { epochMs } from '../../processors/app/units.ts'
import { eventually } from '../engine/contract/conditions.ts'
import {
  everything,
  folder,
  openData,
  PATIENCE,
  range,
  raw,
  SHOP,
  samplesIn,
  scoresIn,
  settled,
  shopEvent,
  start,
} from './harness.ts'

const row = (key: string, value: object | null) => ({
  topic: 'products',
  key: Buffer.from(key),
  value: value === null ? null : Buffer.from(JSON.stringify(value)),
})

it(
  'looks values up in a compacted topic, as it stands when the event is scored',
  async () => {
    await using place = await folder(
      SHOP.replace(
        '  spend:',
        "  margin: { kind: lookup, table: products, key: 'productListItems[0].SKU', field: margin, default: -1 }\n  spend:",
      ).replace('models:', 'lookups:\n  products: { topic: products }\nmodels:'),
    )
    await using engine = await openData(place.data)
    await engine.log.ensureTopics([{ topic: 'products', partitions: 1, cleanup: 'compact' }])
    await engine.log.append([row('s0', { margin: 0.5 }), row('s1', { margin: 0.25 }), row('s1', null)])
    await using running = await start(place.file, engine)
    await engine.log.append(raw(range(0, 3).map((n) => shopEvent(n))))
    await settled(running)
    await engine.log.append([row('s1', { margin: 0.75 })])
    await eventually('the table has the new row', PATIENCE, () => running.lookups.get('products', 's1') !== undefined)
    await engine.log.append(raw(range(3, 6).map((n) => shopEvent(n))))
    await settled(running)
    const samples = await samplesIn(engine)
    expect(range(0, 6).map((n) => samples.get(`e${n}`)!.margin)).toEqual([0.5, -1, -1, 0.5, 0.75, -1])
  },
  PATIENCE.testMs,
)

it(
  "shows another entity's features in a profile's vector",
  async () => {
    await using place = await folder(
      SHOP.replace('  spend:', '  item_events: { kind: count, entity: item }\n  spend:').replace(
        'models:',
        "entities:\n  item: { key: 'productListItems[0].SKU' }\nmodels:",
      ),
    )
    await using engine = await openData(place.data)
    // Values of other entities may be a second old: between two events the clock makes a jump.
    let skew = 0
    const clock = { ...systemClock, now: () => epochMs(Date.now() + skew) }
    await using running = await start(place.file, engine, { clock })
    for (const n of range(0, 9)) {
      skew += 2_000
      await engine.log.append(raw([shopEvent(n)]))
      await settled(running)
    }
    const samples = await samplesIn(engine)
    // The item's own stage sees an event after the profile's stage did: what is read is what was known before it.
    expect(range(0, 9).map((n) => samples.get(`e${n}`)!.item_events)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2])
  },
  PATIENCE.testMs,
)

it(
  'takes no event for late because another partition of a backlog is read faster',
  async () => {
    const HOUR = 3_600_000
    await using place = await folder(
      SHOP.replace('  spend:', '  item_events: { kind: count, entity: item, window: 24h }\n  spend:')
        .replace('models:', "entities:\n  item: { key: 'productListItems[0].SKU' }\nmodels:")
        .replace('name: shop', 'name: shop\npartitions: 2'),
    )
    await using engine = await openData(place.data)
    await engine.log.ensureTopics([{ topic: 'raw.web', partitions: 2, cleanup: 'delete' }])
    // Thirty hours in both partitions, of the same customers and items; the first one has ten times the events.
    const records = [100, 10].flatMap((perHour, partition) =>
      range(0, 30 * perHour).map((n) => {
        const time = new Date(Date.parse('2026-01-01T00:00:00Z') + (n * HOUR) / perHour).toISOString()
        const event = { ...shopEvent(n), id: `p${partition}-${n}`, time }
        return { ...raw([event])[0]!, partition }
      }),
    )
    await engine.log.append(records)
    await using running = await start(place.file, engine)
    await settled(running)
    expect(await everything(engine, 'dlq.xdm')).toEqual([])
    expect(await scoresIn(engine)).toHaveLength(3_300)
    // The items' own stage reads two partitions, too.
    expect(await running.metrics.expose()).not.toMatch(/^rtml_events_total\{.*"late".*$/m)
    const samples = await samplesIn(engine)
    // The last event of either partition has seen them all.
    const spent = ['p0-2999', 'p1-299'].map((id) => samples.get(id)!.spend as number)
    const totals = [...range(0, 3_000), ...range(0, 300)].filter((n) => n % 10 === 9)
    expect(Math.max(...spent)).toBe(totals.reduce((sum, n) => sum + n, 0))
  },
  PATIENCE.testMs,
)
