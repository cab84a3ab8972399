/** The same on Kafka and Redis, where snapshots and outboxes come in. */
import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import type { Engine } from '../../processors/engine/ports.ts'
import { openEngine } from '../../processors/host/open-engine.ts'
import type { KeyedStage } from '../../processors/runtime/repair/keyed-stage.ts'
import { compareShard, rebuildShard } from '../../processors/runtime/repair/rebuild.ts'
import { reshard } from '../../processors/runtime/repair/reshard.ts'
import { verifyShard } from '../../processors/runtime/repair/verify.ts'
import { type Plan, topicSpecs } from '../../processors/topology.ts'
import { environment, services, unavailable } from '../services/harness.ts'
import {
  applicationOf,
  drained,
  fixture,
  planOf,
  rawEvents,
  shardOf,
  stageOf,
  stagesOf,
  start,
  statesOf,
} from './harness.ts'

const [BEFORE, AFTER] = [2, 3]
const EVENTS = 800
const signal = new AbortController().signal

describe.skipIf(await unavailable())('repair on Kafka and Redis', { timeout: 240_000 }, () => {
  it('verifies, rebuilds, moves to more partitions, and recovers from a snapshot after that', async () => {
    await using scratch = await fixture()
    const found = await services()
    const { redisUrl } = found
    const topicPrefix = `t${randomUUID().slice(0, 8)}-`
    const REDIS_KEY_PREFIX = `${topicPrefix}rtml:`
    await using engine = await openEngine({ ...environment(found), REDIS_KEY_PREFIX }, { role: 'run' })
    const planFor = (partitions: number) => planOf(applicationOf({ partitions, topicPrefix }), engine)
    const raw = (plan: Plan) => plan.topics.raw('web')
    const snapshots = (plan: Plan) => ({ topic: plan.topics.snapshots, everyMs: 300 as never, maxBytes: 1_000_000 })
    const common = (plan: Plan, keyed: KeyedStage, partition: number) => ({
      log: engine.log,
      store: engine.store,
      scratch: scratch.scratch.store,
      featureSet: plan.featureSet,
      keyed,
      shard: shardOf(plan, keyed, partition),
      snapshotTopic: plan.topics.snapshots,
      clock: systemClock,
      signal,
    })
    const live = async (plan: Plan, partitions: number) => {
      const all = new Map<string, Map<string, string>>()
      for (const keyed of stagesOf(plan, engine))
        all.set(keyed.stage.name, await statesOf(plan, engine, keyed, partitions))
      return all
    }
    const scores = (plan: Plan) => counted(engine, plan.topics.scores)

    const first = await planFor(BEFORE)
    {
      await using app = await start(first, engine, { snapshot: snapshots(first) })
      for (let at = 0; at < EVENTS; at += 200) await engine.log.append(rawEvents(raw(first), 200, at))
      const [running] = await Promise.all([
        verifyShard({ ...common(first, stageOf(first, engine, 'profile'), 0), sample: 20, seed: 1 }),
      ])
      expect(running.differences).toEqual([])
      await drained(app)
    }
    for (const keyed of stagesOf(first, engine)) {
      for (let partition = 0; partition < BEFORE; partition++) {
        const result = await verifyShard({ ...common(first, keyed, partition), sample: 100, seed: 2 })
        expect(result).toMatchObject({ differences: [], base: 'log' })
        expect(await compareShard(common(first, keyed, partition))).toMatchObject({ isCompared: true, differing: 0 })
      }
    }

    const before = await live(first, BEFORE)
    const published = await scores(first)
    const profile = stageOf(first, engine, 'profile')
    await tamperOne(engine, first, profile)
    expect(await rebuildShard(common(first, profile, 0))).toMatchObject({ differing: 1, isReplaced: true, base: 'log' })
    expect(await live(first, BEFORE)).toEqual(before)

    const second = await planFor(AFTER)
    for (const keyed of stagesOf(second, engine)) {
      const result = await reshard({
        log: engine.log,
        store: engine.store,
        keyed,
        partitions: AFTER,
        fromTopic: keyed.stage.topic,
        snapshotTopic: second.topics.snapshots,
        grow: async () => {
          for (const { topic, partitions } of topicSpecs(second.app)) {
            if (topic !== raw(second) && (await engine.log.bounds(topic)).length < partitions)
              await engine.log.grow!(topic, partitions)
          }
        },
      })
      expect(result).toMatchObject({ before: BEFORE, after: AFTER })
    }
    const byKey = (states: Map<string, Map<string, string>>) =>
      [...states].map(([stage, all]) => [stage, [...all].map(([name, hex]) => [name.split('|')[1], hex]).sort()])
    const moved = await live(second, AFTER)
    expect(byKey(moved)).toEqual(byKey(before))
    expect(await scores(second)).toBe(published)

    // The store loses everything: the moved shards' own log can't tell what they were, the snapshots of the move can.
    const redis = new Redis(redisUrl)
    const keys = await redis.keys(`${REDIS_KEY_PREFIX}*`)
    expect(keys.length).toBeGreaterThan(50)
    await redis.del(...keys)
    await redis.quit()
    await using app = await start(second, engine, { snapshot: snapshots(second) })
    await engine.log.append(rawEvents(raw(second), 1, EVENTS))
    await drained(app)
    const again = await live(second, AFTER)
    const unchanged = [...again.get('profile')!].filter(([name, hex]) => moved.get('profile')!.get(name) === hex)
    expect(again.get('profile')!.size).toBe(moved.get('profile')!.size)
    expect(unchanged.length).toBeGreaterThanOrEqual(moved.get('profile')!.size - 1)
    const verified = await verifyShard({
      ...common(second, stageOf(second, engine, 'profile'), 1),
      sample: 50,
      seed: 3,
    })
    expect(verified).toMatchObject({ differences: [], base: 'snapshot' })
  })
})

async function counted(engine: Engine, topic: string): Promise<number> {
  let count = 0
  for (const bounds of await engine.log.bounds(topic)) {
    if (bounds.start >= bounds.end) continue
    for await (const run of engine.log.read(bounds, bounds.start, { until: bounds.end })) count += run.records.length
  }
  return count
}

async function tamperOne(engine: Engine, plan: Plan, keyed: KeyedStage): Promise<void> {
  const shard = shardOf(plan, keyed, 0)
  for await (const some of engine.store.scan(shard)) {
    for (const [key, packed] of some) {
      const flipped = Buffer.from(packed)
      flipped[0] = flipped[0]! ^ 1
      const { epoch, position } = await engine.store.own(shard)
      await engine.store.apply(shard, epoch, {
        from: position!,
        to: position!,
        states: new Map([[key, flipped]]),
        outputs: [],
        rebuild: true,
      })
      return
    }
  }
}
