import { describe, expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import { epochMs, ms } from '../../processors/app/units.ts'
import type { Engine, FeatureStore } from '../../processors/engine/ports.ts'
import { sideFeatures } from '../../processors/features/index.ts'
import {
  type BackfillRequest,
  backfillShard,
  PROGRESS_KEY,
  requestNote,
  unpackProgress,
} from '../../processors/runtime/repair/backfill.ts'
import type { KeyedStage } from '../../processors/runtime/repair/keyed-stage.ts'
import { Replay } from '../../processors/runtime/repair/replay.ts'
import { TurnTable } from '../../processors/runtime/repair/state-table.ts'
import { silentLogger } from '../../processors/runtime/telemetry.ts'
import { fillFeatures, type Plan, type RunningApplication, replayStages } from '../../processors/topology.ts'
import { applicationOf, drained, fixture, planOf, rawEvents, shardOf, stagesOf, start, statesOf } from './harness.ts'

/** The second shares panes with a feature that is there already; the third belongs to another entity. */
const ADDED = {
  purchases_ever: { kind: 'count', where: 'eventType == "commerce.purchases"' },
  mean_amount_1h: { kind: 'mean', value: 'productListItems[0].priceTotal', window: '1h' },
  item_amount: { kind: 'sum', entity: 'item', value: 'productListItems[0].priceTotal', window: '24h' },
  since_purchase: { kind: 'recency', where: 'eventType == "commerce.purchases"' },
}
const NAMES = Object.keys(ADDED)
const AMOUNT = 1_500

const v1 = () => applicationOf()
const v2 = () => applicationOf({}, ADDED)

/** Waits until every shard of every stage says that the request is done. */
async function filled(plan: Plan, engine: Engine, id: string): Promise<number> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const progress = []
    for (const keyed of stagesOf(plan, engine)) {
      for (const partition of [0, 1]) {
        const [packed] = await engine.store.load(shardOf(plan, keyed, partition), [PROGRESS_KEY])
        progress.push(unpackProgress(keyed, packed))
      }
    }
    if (progress.every((it) => it?.id === id && it.isDone)) return progress.reduce((sum, it) => sum + it!.filled, 0)
    if (performance.now() > deadline) throw new Error(`not filled: ${JSON.stringify(progress)}`)
    await systemClock.sleep(ms(20))
  }
}

async function ask(plan: Plan, engine: Engine, request: Partial<BackfillRequest> = {}): Promise<void> {
  const whole = { id: 'r1', at: systemClock.now(), features: NAMES, isPartial: false, ...request }
  for (const { stage } of stagesOf(plan, engine))
    await engine.store.setNote(requestNote(stage.group), Buffer.from(JSON.stringify(whole)))
}

/** What a kernel that had these features from the start makes of the same log, one event after the other. */
async function reference(engine: Engine): Promise<Map<string, Map<string, string>>> {
  const plan = await planOf(v2(), engine)
  const all = new Map<string, Map<string, string>>()
  for (const keyed of stagesOf(plan, engine)) {
    const states = new Map<string, string>()
    for (const { partition, start: from, end } of await engine.log.bounds(keyed.stage.topic)) {
      const table = new TurnTable(0, 1_000)
      const shard = shardOf(plan, keyed, partition)
      const only = (key: string) => table.admit(key)
      await new Replay({ log: engine.log, stage: keyed.stage, shard, table, from, only }).advance(
        end,
        new AbortController().signal,
      )
      const keys = table.inTurn()
      for (const [index, packed] of (await table.load(keys)).entries())
        if (packed) states.set(`${partition}|${keys[index]}`, packed.toString('hex'))
    }
    all.set(keyed.stage.name, new Map([...states].sort(([a], [b]) => (a < b ? -1 : 1))))
  }
  return all
}

async function live(plan: Plan, engine: Engine): Promise<Map<string, Map<string, string>>> {
  const all = new Map<string, Map<string, string>>()
  for (const keyed of stagesOf(plan, engine)) {
    const states = await statesOf(plan, engine, keyed, 2)
    all.set(keyed.stage.name, new Map([...states].filter(([name]) => !name.endsWith(PROGRESS_KEY))))
  }
  return all
}

async function withFirstVersion(work: (engine: Engine) => Promise<void>): Promise<void> {
  await using fix = await fixture()
  const plan = await planOf(v1(), fix.engine)
  {
    await using app = await start(plan, fix.engine)
    await fix.engine.log.append(rawEvents('raw.web', AMOUNT))
    await drained(app)
  }
  await work(fix.engine)
}

const serve = (app: RunningApplication, signal: AbortSignal) =>
  fillFeatures(app, { env: () => undefined, signal, pollMs: 20 })

describe('features that are added later', () => {
  it('become byte for byte what they would be, while the application serves', async () => {
    await withFirstVersion(async (engine) => {
      const plan = await planOf(v2(), engine)
      const stop = new AbortController()
      await using app = await start(plan, engine, { maxBatchEvents: 16 })
      const serving = serve(app, stop.signal)
      await engine.log.append(rawEvents('raw.web', 300, AMOUNT))
      await ask(plan, engine)
      for (let at = AMOUNT + 300; at < AMOUNT + 800; at += 20) {
        await engine.log.append(rawEvents('raw.web', 20, at))
        await systemClock.sleep(ms(3))
      }
      expect(await filled(plan, engine, 'r1')).toBe(40 + 12)
      await engine.log.append(rawEvents('raw.web', 200, AMOUNT + 800))
      await drained(app)
      stop.abort()
      await serving
      expect(await live(plan, engine)).toEqual(await reference(engine))
    })
  })

  it('stay as they are without being asked for', async () => {
    await withFirstVersion(async (engine) => {
      const plan = await planOf(v2(), engine)
      await using app = await start(plan, engine)
      await engine.log.append(rawEvents('raw.web', 300, AMOUNT))
      await drained(app)
      const [found, wanted] = [await live(plan, engine), await reference(engine)]
      expect(found).not.toEqual(wanted)
      expect([...found.get('profile')!.keys()]).toEqual([...wanted.get('profile')!.keys()])
    })
  })

  it('go on after a worker died in the midst, key by key where it stood', async () => {
    await withFirstVersion(async (engine) => {
      const plan = await planOf(v2(), engine)
      const request: BackfillRequest = { id: 'r2', at: epochMs(0), features: NAMES, isPartial: false }
      const side = sideOf(plan, engine)
      const common = { log: engine.log, store: engine.store, clock: systemClock, logger: silentLogger, request, side }
      let passes = 0
      for (let isDone = false; !isDone; passes++) {
        // A few keys a pass, and a worker that lives for two of them.
        await using app = await start(plan, engine)
        await drained(app)
        const stop = new AbortController()
        let loads = 0
        const store: Pick<FeatureStore, 'load' | 'peek' | 'note'> = {
          peek: (shard, keys) => engine.store.peek(shard, keys),
          note: (name) => engine.store.note(name),
          load: async (shard, keys) => {
            if (++loads === 8) stop.abort()
            return engine.store.load(shard, keys)
          },
        }
        const outcomes = []
        for (const keyed of stagesOf(plan, engine)) {
          const matching = side.find(({ stage }) => stage.name === keyed.stage.name)!
          for (const worker of app.service.running(keyed.stage.name)) {
            const options = { ...common, store, keyed, side: matching, worker, signal: stop.signal, tableKeysMax: 6 }
            outcomes.push(await backfillShard(options).catch((error: Error) => String(error)))
          }
        }
        isDone = outcomes.every((it) => it === 'done')
        expect(passes, outcomes.join()).toBeLessThan(100)
      }
      expect(passes).toBeGreaterThan(3)
      expect(await live(plan, engine)).toEqual(await reference(engine))
    })
  })

  it('are filled again when the store has lost the filled states', async () => {
    await withFirstVersion(async (engine) => {
      const plan = await planOf(v2(), engine)
      const stop = new AbortController()
      {
        await using app = await start(plan, engine)
        await drained(app)
        await ask(plan, engine)
        const old = await Promise.all(
          [0, 1].map(async (partition) => {
            const states = new Map<string, Buffer>()
            const shard = shardOf(plan, stagesOf(plan, engine)[0]!, partition)
            for await (const some of engine.store.scan(shard))
              for (const [key, packed] of some) states.set(key, Buffer.from(packed))
            return { shard, states }
          }),
        )
        const serving = serve(app, stop.signal)
        await filled(plan, engine, 'r1')
        stop.abort()
        await serving
        // A failover to a replica that had none of it: at the same position, without a trace.
        for (const { shard, states } of old) {
          const { epoch, position } = await engine.store.own(shard)
          await engine.store.restore(shard, epoch, position!, once(states))
        }
      }
      await using app = await start(plan, engine)
      await drained(app)
      const again = new AbortController()
      const serving = serve(app, again.signal)
      await filled(plan, engine, 'r1')
      again.abort()
      await serving
      expect(await live(plan, engine)).toEqual(await reference(engine))
    })
  })

  it('are refused when the states did not begin in this log, unless that is accepted', async () => {
    await withFirstVersion(async (engine) => {
      const plan = await planOf(v2(), engine)
      await using app = await start(plan, engine)
      await drained(app)
      const [keyed] = stagesOf(plan, engine)
      const [side] = sideOf(plan, engine)
      const [worker] = app.service.running('profile')
      const { group, topic, partition } = worker!.shard
      await engine.store.setNote(`origin:${group}:${topic}:${partition}`, Buffer.from('7'))
      const request = { id: 'r3', at: systemClock.now(), features: NAMES, isPartial: false }
      const { log, store } = engine
      const options = {
        log,
        store,
        clock: systemClock,
        logger: silentLogger,
        keyed: keyed!,
        side: side!,
        worker: worker!,
        signal: new AbortController().signal,
      }
      expect(await backfillShard({ ...options, request })).toBe('refused')
      expect(await backfillShard({ ...options, request: { ...request, isPartial: true } })).toBe('done')
    })
  })

  it('are forgotten as a request after a day', async () => {
    await withFirstVersion(async (engine) => {
      const plan = await planOf(v2(), engine)
      await using app = await start(plan, engine)
      const stop = new AbortController()
      await ask(plan, engine, { at: epochMs(systemClock.now() - 25 * 3_600_000) })
      const serving = serve(app, stop.signal)
      await systemClock.sleep(ms(100))
      stop.abort()
      await serving
      const [keyed] = stagesOf(plan, engine)
      expect(await engine.store.load(shardOf(plan, keyed!, 0), [PROGRESS_KEY])).toEqual([undefined])
    })
  })
})

describe('side features', () => {
  it('take along what shares panes with them, and nothing else', async () => {
    const plan = await planOf(v2())
    const side = sideFeatures(plan.app, plan.expressions, ['mean_amount_1h'])
    expect(side.features).toEqual(['amount_1h', 'mean_amount_1h'])
    expect(side.featureSet.columns.map(({ feature }) => feature)).toEqual(['amount_1h', 'mean_amount_1h'])
  })

  it('are refused by name when there is no such feature', async () => {
    const plan = await planOf(v2())
    expect(() => sideFeatures(plan.app, plan.expressions, ['views'])).toThrow(
      'CONFIG features: there is no feature "views"',
    )
  })

  it('refuse to merge a state that has not seen the same events', async () => {
    const plan = await planOf(v2())
    const kernel = plan.featureSet.entities.get('profile')!
    const side = sideFeatures(plan.app, plan.expressions, NAMES).featureSet.entities.get('profile')!
    const event = {
      id: 'a',
      ts: epochMs(1_000),
      key: 'ECID:1',
      xdm: { _id: 'a', timestamp: '1970-01-01T00:00:01.000Z' },
    }
    const [into, from] = [kernel.empty(), side.empty()]
    kernel.update(into, event)
    expect(() => kernel.merge(into, from, side)).toThrow("can't take over")
    expect(() => side.merge(from, side.empty(), kernel)).toThrow('has no track')
  })
})

const sideOf = (plan: Plan, engine: Engine): KeyedStage[] =>
  replayStages(plan, {
    engine,
    clock: systemClock,
    env: () => undefined,
    featureSet: sideFeatures(plan.app, plan.expressions, NAMES).featureSet,
  })

async function* once(states: ReadonlyMap<string, Buffer>): AsyncGenerator<ReadonlyMap<string, Buffer>> {
  yield states
}
