import { describe, expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import { epochMs } from '../../processors/app/units.ts'
import { bootstrap } from '../../processors/cli/bootstrap.ts'
import type { Engine } from '../../processors/engine/ports.ts'
import type { KeyState } from '../../processors/features/types.ts'
import { compareShard } from '../../processors/runtime/repair/rebuild.ts'
import type { Plan } from '../../processors/topology.ts'
import {
  applicationOf,
  drained,
  eventOf,
  fixture,
  planOf,
  shardOf,
  stageOf,
  stagesOf,
  start,
  statesOf,
} from './harness.ts'

/** History has events 0 to 799, the live topic 500 to 999: ten times more in both than a state remembers ids. */
const [HISTORY, LIVE_FROM, LIVE_TO] = [800, 500, 1_000]
const signal = new AbortController().signal

async function* file(from: number, to: number) {
  for (let number = from; number < to; number++)
    yield { value: Buffer.from(JSON.stringify(eventOf(number))), place: `history.jsonl:${number + 1}` }
  yield { value: Buffer.from('{"broken'), place: 'history.jsonl:last' }
}

const liveRecords = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => {
    const event = eventOf(from + index)
    return { topic: 'raw.web', key: Buffer.from(event.visitor), value: Buffer.from(JSON.stringify(event)) }
  })

/** What a plain loop over all events, each once, makes of them. */
async function reference(count: number): Promise<Map<string, string>> {
  const plan = await planOf(applicationOf())
  const kernel = plan.featureSet.entities.get('profile')!
  const mapper = plan.mappers.get('web')!
  const states = new Map<string, KeyState>()
  for (let number = 0; number < count; number++) {
    const value = Buffer.from(JSON.stringify(eventOf(number)))
    const raw = { key: null, value, headers: {}, timestamp: epochMs(Date.now()), place: 'x' }
    const [event] = mapper.map(raw).events
    const state = states.get(event!.key) ?? kernel.empty()
    states.set(event!.key, state)
    kernel.update(state, event!)
  }
  return new Map([...states].map(([key, state]) => [key, kernel.encode(state).toString('hex')]))
}

async function profiles(plan: Plan, engine: Engine): Promise<Map<string, string>> {
  const keyed = stageOf(plan, engine, 'profile')
  const states = await statesOf(plan, engine, keyed, 2)
  return new Map([...states].map(([name, hex]) => [name.split('|')[1]!, hex.slice(keyed.skipBytes * 2)]))
}

const total = async (engine: Engine, topic: string) =>
  (await engine.log.bounds(topic)).reduce((sum, { end }) => sum + end, 0)

describe('an application that begins with history', () => {
  it.each([false, true])(
    'counts each event once although history and live topic overlap; outputs: %s',
    async (outputs) => {
      await using fix = await fixture()
      const { engine, scratch } = fix
      const plan = await planOf(applicationOf(), engine)
      await engine.log.ensureTopics([{ topic: 'raw.web', partitions: 2, cleanup: 'delete' }])
      await engine.log.append(liveRecords(LIVE_FROM, LIVE_TO))
      const result = await bootstrap({ plan, engine, source: 'web', input: file(0, HISTORY), outputs })
      expect(result).toMatchObject({
        topic: 'xdm.events',
        records: HISTORY + 1,
        events: LIVE_FROM,
        overlapping: HISTORY - LIVE_FROM,
        rejected: 1,
      })
      expect(result.behindMs).toBeLessThan(60_000)
      await using app = await start(plan, engine)
      await engine.log.append(liveRecords(LIVE_TO, LIVE_TO + 100))
      await drained(app)
      const wanted = await reference(LIVE_TO + 100)
      const found = await profiles(plan, engine)
      expect(new Map([...found].sort())).toEqual(new Map([...wanted].sort()))
      expect(await total(engine, plan.topics.scores)).toBe(outputs ? LIVE_TO + 100 : LIVE_TO + 100 - LIVE_FROM)
      // Other entities got their history in either case, and everything can still be computed from the log.
      expect(await total(engine, plan.topics.entity('item'))).toBe(LIVE_TO + 100)
      for (const keyed of stagesOf(plan, engine)) {
        for (const partition of [0, 1]) {
          const compared = await compareShard({
            log: engine.log,
            store: engine.store,
            scratch: scratch.store,
            featureSet: plan.featureSet,
            keyed,
            shard: shardOf(plan, keyed, partition),
            snapshotTopic: undefined,
            clock: systemClock,
            signal,
          })
          expect(compared).toMatchObject({ differing: 0, isCompared: true })
        }
      }
    },
  )

  it('is cut by time where that is asked for', async () => {
    await using fix = await fixture()
    const plan = await planOf(applicationOf(), fix.engine)
    const until = epochMs(eventOf(LIVE_FROM).time)
    const input = file(0, HISTORY)
    const result = await bootstrap({ plan, engine: fix.engine, source: 'web', input, outputs: false, until })
    expect(result.later).toBeGreaterThan(HISTORY - LIVE_FROM - 5)
    expect(result.events + result.later).toBe(HISTORY)
  })

  it('is refused when live events were counted already, and when it was begun before', async () => {
    await using fix = await fixture()
    const { engine } = fix
    const plan = await planOf(applicationOf(), engine)
    const again = () => bootstrap({ plan, engine, source: 'web', input: file(0, 10), outputs: false })
    await again()
    await expect(again()).rejects.toThrow('the topic has records already')
    await using other = await fixture()
    const second = await planOf(applicationOf(), other.engine)
    {
      await using app = await start(second, other.engine)
      await other.engine.log.append(liveRecords(0, 5))
      await drained(app)
    }
    await expect(
      bootstrap({ plan: second, engine: other.engine, source: 'web', input: file(0, 10), outputs: false }),
    ).rejects.toThrow('history can only come before them')
  })

  it('puts a fused source’s history into its own topic', async () => {
    await using fix = await fixture()
    const { engine } = fix
    const definition = applicationOf() as { sources: { web: object } }
    const fused = { ...definition, sources: { web: { ...definition.sources.web, keyedBy: 'identity' } } }
    const plan = await planOf(fused, engine)
    const result = await bootstrap({ plan, engine, source: 'web', input: file(0, 300), outputs: false })
    expect(result).toMatchObject({ topic: 'raw.web', events: 300 })
    await using app = await start(plan, engine)
    await drained(app)
    expect(new Map([...(await profiles(plan, engine))].sort())).toEqual(new Map([...(await reference(300))].sort()))
    expect(await total(engine, plan.topics.scores)).toBe(0)
  })
})
