/** Segments over the embedded engine: entered by events and scores, left by time, each transition written once. */
import { afterEach, describe, expect, it } from 'vitest'
import { type EpochMs, epochMs, type Ms } from '../../processors/app/units.ts'
import { decodeSegment, type SegmentRecord } from '../../processors/outputs/index.ts'
import { shardOf } from '../../processors/runtime/repair/keyed-stage.ts'
import { verifyShard } from '../../processors/runtime/repair/verify.ts'
import { replayStages } from '../../processors/topology.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { everything, folder, openData, PATIENCE, type Started, settled, start } from './harness.ts'

const APPLICATION = `
rtml: 1
name: shop
partitions: 2
sources:
  web:
    mapping:
      mapping: web
      fields:
        _id: id
        timestamp: time
        eventType: type
        identityMap.CustomerID: { from: customer }
        commerce.order.priceTotal: { from: total, onError: 'null' }
identity: { priority: [CustomerID] }
features:
  events_1h: { kind: count, window: 1h }
models:
  score: { file: same.onnx, version: 1, inputs: [events_1h], deadline: 20s }
segments:
  buyers: { when: 'exists(eventType == "commerce.purchases", "30m")' }
  keen: { when: scores.score >= 3 }
  spenders: { when: 'sum(commerce.order.priceTotal, eventType == "commerce.purchases", "1h") >= 100.0' }
  quiet_buyers: { when: segments.buyers && !segments.keen }
`

const START = Date.parse('2026-01-01T10:00:00Z')
const MINUTE = 60_000

/** Wall time that a test moves. */
class HandClock {
  at = START
  now = (): EpochMs => epochMs(this.at)
  async sleep(duration: Ms, signal?: AbortSignal): Promise<void> {
    const until = this.at + duration
    // Real time goes by in small steps, so that loops neither spin nor wait for the hands.
    const began = performance.now()
    while (this.at < until && !signal?.aborted && performance.now() - began < 20)
      await new Promise((resolve) => setTimeout(resolve, 5))
  }
  turn = () => new Promise<void>((resolve) => setImmediate(resolve))
}

const clock = new HandClock()

let last = 0
const event = (customer: string, minute: number, type = 'web.webpagedetails.pageViews', total?: number) => ({
  topic: 'raw.web',
  key: Buffer.from(customer),
  value: Buffer.from(
    JSON.stringify({
      id: `e${last++}`,
      time: new Date(START + minute * MINUTE).toISOString(),
      type,
      customer,
      ...(total === undefined ? {} : { total }),
    }),
  ),
  headers: {},
})
const bought = (customer: string, minute: number, total = 10) => event(customer, minute, 'commerce.purchases', total)

async function transitions(running: Started): Promise<[string, string, string, number, string][]> {
  const records = await everything(running.engine, 'profile.segments')
  return records
    .flatMap(({ value }): SegmentRecord[] => (value ? [decodeSegment(value)] : []))
    .map(({ profile, segmentId, status, lastQualificationTime, cause }) => [
      profile.id,
      segmentId,
      status,
      (lastQualificationTime - START) / MINUTE,
      cause,
    ])
}

const open: AsyncDisposable[] = []
afterEach(async () => {
  for (const it of open.splice(0).reverse()) await it[Symbol.asyncDispose]()
  clock.at = START
})

async function shop(yaml = APPLICATION) {
  const place = await folder(yaml)
  const engine = await openData(place.data, clock)
  const running = await start(place.file, engine, { clock })
  open.push(place, engine, running)
  return running
}

const sent = async (running: Started, ...records: ReturnType<typeof event>[]) => {
  await running.engine.log.append(records)
  await settled(running)
  await settled(running)
}

describe('segments in the stream', { timeout: PATIENCE.testMs }, () => {
  it('are entered where all that they read is scores', async () => {
    const running = await shop(`${APPLICATION.split('segments:')[0]}segments:\n  keen: { when: scores.score >= 2 }\n`)
    await sent(running, event('a', 0), event('a', 1))
    expect((await transitions(running)).map(([id, segment, status]) => [id, segment, status])).toEqual([
      ['a', 'keen', 'realized'],
    ])
  })

  it('are entered by events, and left without any', async () => {
    const running = await shop()
    await sent(running, bought('a', 0))
    expect(await transitions(running)).toEqual([
      ['a', 'buyers', 'realized', 0, 'event'],
      ['a', 'quiet_buyers', 'realized', 0, 'event'],
    ])
    clock.at = START + 29 * MINUTE
    await settled(running)
    clock.at = START + 31 * MINUTE
    const all = await eventually('the exit', PATIENCE, async () => {
      const found = await transitions(running)
      return found.length >= 4 && found
    })
    expect(all.slice(2)).toEqual([
      ['a', 'buyers', 'exited', 30 + 1 / MINUTE, 'time'],
      ['a', 'quiet_buyers', 'exited', 30 + 1 / MINUTE, 'time'],
    ])
  })

  it('follow scores that come back through the log', async () => {
    const running = await shop()
    await sent(running, event('b', 0), event('b', 1), event('b', 2))
    expect(await transitions(running)).toEqual([['b', 'keen', 'realized', 2, 'score']])
  })

  it('count duplicates once, refuse late events, and leave a profile that was silent for its whole life', async () => {
    const running = await shop(`${APPLICATION}events: { ttl: 2h, lateness: 10m }\n`)
    clock.at = START + 20 * MINUTE
    const first = bought('c', 20, 60)
    await sent(running, first, first, bought('c', 0, 60))
    expect(await transitions(running)).toEqual([
      ['c', 'buyers', 'realized', 20, 'event'],
      ['c', 'quiet_buyers', 'realized', 20, 'event'],
    ])
    await sent(running, bought('c', 15, 60))
    expect((await transitions(running)).slice(2)).toEqual([['c', 'spenders', 'realized', 20, 'event']])
    clock.at = START + 300 * MINUTE
    await sent(running, bought('c', 300, 1))
    // What was due meanwhile has left once, by a tick or with the event that says how late it is.
    const ours = await transitions(running)
    expect(ours.filter(([, segment, status]) => segment === 'spenders' && status === 'exited')).toHaveLength(1)
  })

  it('are the same after a stop in the midst, an exit that was due meanwhile, and a replay of the log', async () => {
    const place = await folder(APPLICATION)
    open.push(place)
    const engine = await openData(place.data, clock)
    open.push(engine)
    let running = await start(place.file, engine, { clock })
    await sent(running, ...[0, 1, 2].flatMap((minute) => [event('d', minute), bought('e', minute)]))
    await running[Symbol.asyncDispose]()
    // Nobody runs when the window of e's last purchase ends.
    clock.at = START + 40 * MINUTE
    running = await start(place.file, engine, { clock })
    open.push(running)
    const left = async () =>
      (await transitions(running)).filter(([id, segment, status]) => `${id} ${segment} ${status}` === 'e buyers exited')
    await eventually('the exit', PATIENCE, async () => (await left()).length > 0)
    await sent(running, event('d', 3))
    expect(await left()).toEqual([['e', 'buyers', 'exited', 32 + 1 / MINUTE, 'time']])
    const seen = (await transitions(running)).map(([id, segment, status]) => `${id} ${segment} ${status}`)
    expect(seen.filter((it) => it === 'd keen realized')).toHaveLength(1)
    for (const keyed of replayStages(running.plan, { engine, clock, env: () => undefined })) {
      for (const { partition } of await engine.log.bounds(keyed.stage.topic)) {
        const result = await verifyShard({
          log: engine.log,
          store: engine.store,
          featureSet: running.plan.featureSet,
          keyed,
          shard: shardOf(keyed.stage, partition),
          snapshotTopic: undefined,
          clock,
          sample: 100,
          seed: 1,
          signal: new AbortController().signal,
        })
        expect(result.differences).toEqual([])
      }
    }
  })
})
