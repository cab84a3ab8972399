import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import type { Engine } from '../../processors/engine/ports.ts'
import type { KeyedStage } from '../../processors/runtime/repair/keyed-stage.ts'
import { compareShard, rebuildShard } from '../../processors/runtime/repair/rebuild.ts'
import { verifyShard } from '../../processors/runtime/repair/verify.ts'
import type { Plan } from '../../processors/topology.ts'
import {
  applicationOf,
  drained,
  eventOf,
  type Fixture,
  fixture,
  partitionFor,
  planOf,
  rawEvents,
  shardOf,
  stageOf,
  stagesOf,
  start,
  statesOf,
  tamper,
} from './harness.ts'

const EVENTS = 3_000
const signal = new AbortController().signal

describe('states that were computed by a running application', () => {
  let fix: Fixture
  let engine: Engine
  let plan: Plan

  beforeAll(async () => {
    fix = await fixture()
    engine = fix.engine
    plan = await planOf(applicationOf(), engine)
    await using app = await start(plan, engine, { maxBatchEvents: 64 })
    for (let at = 0; at < EVENTS; at += 250) await engine.log.append(rawEvents('raw.web', 250, at))
    await drained(app)
  })
  afterAll(() => fix?.[Symbol.asyncDispose]())

  const options = (keyed: KeyedStage, partition: number) => ({
    log: engine.log,
    store: engine.store,
    featureSet: plan.featureSet,
    keyed,
    shard: shardOf(plan, keyed, partition),
    snapshotTopic: undefined,
    clock: systemClock,
    signal,
  })
  const rebuilding = (keyed: KeyedStage, partition: number) => ({
    ...options(keyed, partition),
    scratch: fix.scratch.store,
  })
  const profileKey = async (partition: number): Promise<[string, Buffer]> => {
    const keyed = stageOf(plan, engine, 'profile')
    for await (const some of engine.store.scan(shardOf(plan, keyed, partition))) {
      const [first] = some
      if (first) return [first[0], Buffer.from(first[1])]
    }
    throw new Error('no state')
  }

  it('are byte for byte what the log says, for every stage and shard', async () => {
    let states = 0
    for (const keyed of stagesOf(plan, engine)) {
      for (const partition of [0, 1]) {
        const result = await compareShard(rebuilding(keyed, partition))
        expect(result).toMatchObject({ base: 'log', from: 0, isCompared: true, differing: 0, isReplaced: false })
        states += result.states
      }
    }
    expect(states).toBe(40 + 12)
  })

  it('pass a verification that samples a few of them', async () => {
    for (const seed of [1, 2, 3]) {
      const result = await verifyShard({ ...options(stageOf(plan, engine, 'profile'), 0), sample: 5, seed })
      expect(result).toMatchObject({ checked: 5, expired: 0, differences: [], base: 'log' })
      expect(result.records).toBeGreaterThan(1_000)
    }
  })

  it('are sampled evenly: each key about as often as the others', async () => {
    const seen = new Map<string, number>()
    const keyed = stageOf(plan, engine, 'profile')
    const shard = shardOf(plan, keyed, 0)
    const total = (await statesOf(plan, engine, keyed, 1)).size
    const store = {
      ...engine.store,
      note: engine.store.note.bind(engine.store),
      peek: async (_: unknown, keys: readonly string[]) => {
        for (const key of keys) seen.set(key, (seen.get(key) ?? 0) + 1)
        return engine.store.peek(shard, keys)
      },
    } as typeof engine.store
    const RUNS = 60
    for (let seed = 0; seed < RUNS; seed++) await verifyShard({ ...options(keyed, 0), store, sample: 4, seed })
    expect(seen.size).toBe(total)
    // Binomial with mean 60 · 4 / total: six standard deviations on either side.
    const mean = (RUNS * 4) / total
    for (const count of seen.values()) expect(Math.abs(count - mean)).toBeLessThan(6 * Math.sqrt(mean))
  })

  it('are found wrong when one byte of a live state is flipped, and mended by a rebuild', async () => {
    const keyed = stageOf(plan, engine, 'profile')
    const [key, packed] = await profileKey(1)
    const shard = shardOf(plan, keyed, 1)
    const before = await statesOf(plan, engine, keyed, 2)
    for (let at = 0; at < packed.length; at++) {
      const flipped = Buffer.from(packed)
      flipped[at] = flipped[at]! ^ 0x10
      await tamper(engine, shard, key, flipped)
      const result = await verifyShard({ ...options(keyed, 1), sample: 100, seed: at })
      expect(new Set(result.differences.map((it) => it.key)), `byte ${at}`).toEqual(new Set([key]))
    }
    const compared = await compareShard(rebuilding(keyed, 1))
    expect(compared).toMatchObject({ differing: 1, isReplaced: false })
    const rebuilt = await rebuildShard(rebuilding(keyed, 1))
    expect(rebuilt).toMatchObject({ differing: 1, isReplaced: true })
    expect(await statesOf(plan, engine, keyed, 2)).toEqual(before)
  })

  it('name the feature and both values when they differ', async () => {
    const keyed = stageOf(plan, engine, 'profile')
    const shard = shardOf(plan, keyed, 0)
    const [key, packed] = await profileKey(0)
    const { kernel, skipBytes } = keyed
    const state = kernel.decode(packed.subarray(skipBytes))
    const xdm = {
      _id: 'extra',
      timestamp: new Date(state.time).toISOString(),
      eventType: 'commerce.purchases',
      productListItems: [{ SKU: 'sku1', priceTotal: 10 }],
    }
    kernel.update(state, { id: 'extra', ts: state.time as never, key, xdm })
    await tamper(engine, shard, key, Buffer.concat([packed.subarray(0, skipBytes), kernel.encode(state)]))
    const { differences } = await verifyShard({ ...options(keyed, 0), sample: 100, seed: 1 })
    const views = differences.find(({ what }) => what === 'views_1h')!
    expect(views.live).toBe((views.recomputed as number) + 1)
    const amount = differences.find(({ what }) => what === 'amount_1h')!
    expect(amount.live).toBeCloseTo((amount.recomputed as number) + 10, 3)
    await tamper(engine, shard, key, packed)
  })

  it('are missed when they are gone, and found when nobody made them', async () => {
    const keyed = stageOf(plan, engine, 'profile')
    const shard = shardOf(plan, keyed, 0)
    const [key, packed] = await profileKey(0)
    await tamper(engine, shard, key, null)
    const gone = await verifyShard({ ...options(keyed, 0), sample: 100, seed: 1 })
    expect(gone.differences).toEqual([{ key, what: 'state', live: null, recomputed: `${packed.length} bytes` }])
    await tamper(engine, shard, key, packed)
    await tamper(engine, shard, 'ECID:nobody', packed)
    const surplus = await compareShard(rebuilding(keyed, 0))
    expect(surplus).toMatchObject({ differing: 1 })
    expect(surplus.differences[0]).toMatchObject({ key: 'ECID:nobody', what: 'state', recomputed: null })
    await tamper(engine, shard, 'ECID:nobody', null)
  })

  it('can be verified and compared while a worker goes on', async () => {
    await using app = await start(plan, engine, { maxBatchEvents: 16 })
    let isDone = false
    const producing = (async () => {
      for (let at = EVENTS; !isDone; at += 50) {
        await engine.log.append(rawEvents('raw.web', 50, at))
        await systemClock.sleep(5 as never)
      }
    })()
    try {
      for (let seed = 0; seed < 5; seed++) {
        for (const keyed of stagesOf(plan, engine)) {
          const result = await verifyShard({ ...options(keyed, seed % 2), sample: 30, seed })
          expect(result.differences).toEqual([])
          expect(result.checked).toBeGreaterThan(0)
        }
        const compared = await compareShard(rebuilding(stageOf(plan, engine, 'profile'), seed % 2))
        expect(compared).toMatchObject({ isCompared: true, differing: 0 })
      }
    } finally {
      isDone = true
      await producing
    }
    await drained(app)
  })

  it('are published once although their shard was rebuilt', async () => {
    const scores = async () => (await engine.log.bounds(plan.topics.scores)).reduce((sum, it) => sum + it.end, 0)
    const before = await scores()
    const keyed = stageOf(plan, engine, 'profile')
    for (const partition of [0, 1]) await rebuildShard(rebuilding(keyed, partition))
    await using app = await start(plan, engine)
    await drained(app)
    expect(await scores()).toBe(before)
    const event = { ...eventOf(EVENTS), id: 'fresh', time: Date.now() }
    const value = Buffer.from(JSON.stringify(event))
    await engine.log.append([{ topic: 'raw.web', key: Buffer.from(event.visitor), value }])
    await drained(app)
    expect(await scores()).toBe(before + 1)
  })

  it('sit in the shard of their key', async () => {
    const states = await statesOf(plan, engine, stageOf(plan, engine, 'profile'), 2)
    for (const name of states.keys()) {
      const [partition, key] = name.split('|')
      expect(partitionFor(key!, 2)).toBe(Number(partition))
    }
  })
})
