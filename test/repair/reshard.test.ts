import { describe, expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import { offset } from '../../processors/app/units.ts'
import type { Engine, FeatureStore } from '../../processors/engine/ports.ts'
import { partitionsNote } from '../../processors/runtime/repair/keyed-stage.ts'
import { Replay } from '../../processors/runtime/repair/replay.ts'
import { reshard } from '../../processors/runtime/repair/reshard.ts'
import { TurnTable } from '../../processors/runtime/repair/state-table.ts'
import { verifyShard } from '../../processors/runtime/repair/verify.ts'
import { type Plan, topicSpecs } from '../../processors/topology.ts'
import {
  applicationOf,
  drained,
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
} from './harness.ts'

const [BEFORE, AFTER] = [2, 5]
const EVENTS = 1_200
const signal = new AbortController().signal

const planFor = (partitions: number, engine: Engine) => planOf(applicationOf({ partitions }), engine)

/** An application of two partitions that has run and stopped. */
async function stopped(): Promise<Fixture> {
  const fix = await fixture()
  await using app = await start(await planFor(BEFORE, fix.engine), fix.engine)
  await fix.engine.log.append(rawEvents('raw.web', EVENTS))
  await drained(app)
  return fix
}

const grow = async (plan: Plan, engine: Engine) => {
  for (const { topic, partitions } of topicSpecs(plan.app)) await engine.log.grow!(topic, partitions)
}

async function move(plan: Plan, engine: Engine, store: FeatureStore = engine.store) {
  const results = []
  for (const keyed of stagesOf(plan, engine)) {
    const { topic } = keyed.stage
    results.push(
      await reshard({
        log: engine.log,
        store,
        keyed,
        partitions: AFTER,
        fromTopic: topic,
        snapshotTopic: undefined,
        grow: () => grow(plan, engine),
      }),
    )
  }
  return results
}

/** Each key's events one after the other: those of its old partition, then those of its new one. */
async function reference(plan: Plan, engine: Engine, ends: ReadonlyMap<string, readonly number[]>) {
  const all = new Map<string, Map<string, string>>()
  for (const keyed of stagesOf(plan, engine)) {
    const table = new TurnTable(0, 10_000)
    const only = (key: string) => table.admit(key)
    const old = ends.get(keyed.stage.topic)!
    const bounds = await engine.log.bounds(keyed.stage.topic)
    const ranges = [
      ...old.map((end, partition) => [partition, 0, end] as const),
      ...bounds.map(({ partition, end }) => [partition, old[partition] ?? 0, end] as const),
    ]
    for (const [partition, from, until] of ranges) {
      const shard = shardOf(plan, keyed, partition)
      const replay = new Replay({ log: engine.log, stage: keyed.stage, shard, table, from: offset(from), only })
      await replay.advance(offset(until), signal)
    }
    const states = new Map<string, string>()
    const keys = table.inTurn()
    for (const [index, packed] of (await table.load(keys)).entries())
      if (packed) states.set(`${partitionFor(keys[index]!, AFTER)}|${keys[index]}`, packed.toString('hex'))
    all.set(keyed.stage.name, new Map([...states].sort(([a], [b]) => (a < b ? -1 : 1))))
  }
  return all
}

async function endsOf(plan: Plan, engine: Engine): Promise<Map<string, number[]>> {
  const ends = new Map<string, number[]>()
  for (const { stage } of stagesOf(plan, engine))
    ends.set(
      stage.topic,
      (await engine.log.bounds(stage.topic)).map(({ end }) => end),
    )
  return ends
}

async function live(plan: Plan, engine: Engine) {
  const all = new Map<string, Map<string, string>>()
  for (const keyed of stagesOf(plan, engine)) all.set(keyed.stage.name, await statesOf(plan, engine, keyed, AFTER))
  return all
}

/** A store whose next call of `method` fails. */
function failing(store: FeatureStore, isWanted: (name: string) => boolean): FeatureStore {
  return new Proxy(store, {
    get: (target, name) => {
      const value = target[name as keyof FeatureStore] as (...args: unknown[]) => unknown
      return (...args: unknown[]) => {
        if (name === 'setNote' && isWanted(String(args[0]))) return Promise.reject(new Error('killed'))
        return value.apply(target, args)
      }
    },
  })
}

describe('moving states to another number of partitions', () => {
  it('loses nothing and counts nothing twice', async () => {
    await using fix = await stopped()
    const { engine } = fix
    const plan = await planFor(AFTER, engine)
    await expect(start(plan, engine)).rejects.toThrow('TOPIC_SETTING')
    const ends = await endsOf(plan, engine)
    const scores = async () => (await engine.log.bounds(plan.topics.scores)).reduce((sum, { end }) => sum + end, 0)
    const scored = await scores()
    const results = await move(plan, engine)
    expect(results.map(({ stage, before, after, states }) => ({ stage, before, after, states }))).toEqual([
      { stage: 'profile', before: BEFORE, after: AFTER, states: 40 },
      { stage: 'entity.item', before: BEFORE, after: AFTER, states: 12 },
    ])
    expect(results[0]!.moved).toBeGreaterThan(10)
    expect(await live(plan, engine)).toEqual(await reference(plan, engine, ends))
    expect(await scores()).toBe(scored)

    await using app = await start(plan, engine)
    await engine.log.append(rawEvents('raw.web', 800, EVENTS))
    await drained(app)
    expect(await live(plan, engine)).toEqual(await reference(plan, engine, ends))
    expect(await scores()).toBeGreaterThan(scored + 600)
  })

  it('can be repeated after it died anywhere, and changes nothing when it is done', async () => {
    await using fix = await stopped()
    const { engine } = fix
    const plan = await planFor(AFTER, engine)
    const ends = await endsOf(plan, engine)
    const isCount = (name: string) => name.startsWith('partitions:')
    await expect(move(plan, engine, failing(engine.store, isCount))).rejects.toThrow('killed')
    await expect(start(plan, engine)).rejects.toThrow('PARTITIONS_CHANGED')
    await expect(
      move(
        plan,
        engine,
        failing(engine.store, (name) => name.startsWith('origin:')),
      ),
    ).rejects.toThrow('killed')
    await move(plan, engine)
    expect(await live(plan, engine)).toEqual(await reference(plan, engine, ends))
    const again = await move(plan, engine)
    expect(again.map(({ moved }) => moved)).toEqual([0, 0])
    expect(await live(plan, engine)).toEqual(await reference(plan, engine, ends))
  })

  it('is refused while events wait, and while a producer still runs', async () => {
    await using fix = await stopped()
    const { engine } = fix
    const plan = await planFor(AFTER, engine)
    const keyed = stageOf(plan, engine, 'profile')
    const { topic } = keyed.stage
    const options = {
      log: engine.log,
      store: engine.store,
      keyed,
      partitions: AFTER,
      fromTopic: topic,
      snapshotTopic: undefined,
    }
    const late = { topic, key: Buffer.from('ECID:v1'), value: Buffer.from('x') }
    const racing = async () => {
      await engine.log.append([late])
      await grow(plan, engine)
    }
    await expect(reshard({ ...options, grow: racing })).rejects.toThrow('a producer still runs')
    await expect(reshard({ ...options, grow: () => grow(plan, engine) })).rejects.toThrow('PARTITIONS_CHANGED')
    expect((await engine.store.note(partitionsNote(keyed.stage.group)))?.toString()).toBe(String(BEFORE))
  })

  it('is told when states can no longer be computed from their own partition', async () => {
    await using fix = await stopped()
    const { engine } = fix
    const plan = await planFor(AFTER, engine)
    await move(plan, engine)
    const keyed = stageOf(plan, engine, 'profile')
    const verifying = verifyShard({
      log: engine.log,
      store: engine.store,
      featureSet: plan.featureSet,
      keyed,
      shard: shardOf(plan, keyed, 0),
      snapshotTopic: undefined,
      clock: systemClock,
      sample: 10,
      seed: 1,
      signal,
    })
    await expect(verifying).rejects.toThrow('moved here from other partitions')
  })
})
