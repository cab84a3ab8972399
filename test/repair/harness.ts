import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { loadApplication } from '../../processors/app/load.ts'
import { systemClock } from '../../processors/app/system-clock.ts'
import { groupOf } from '../../processors/app/topics.ts'
import { epochMs } from '../../processors/app/units.ts'
import { openEmbedded } from '../../processors/engine/embedded/engine.ts'
import { partitionOf } from '../../processors/engine/murmur2.ts'
import type { Engine, NewRecord, Shard } from '../../processors/engine/ports.ts'
import { planOptions } from '../../processors/host/application-file.ts'
import { READY_MAPPINGS } from '../../processors/mapper/index.ts'
import type { KeyedStage } from '../../processors/runtime/repair/keyed-stage.ts'
import { silentLogger, silentMetrics } from '../../processors/runtime/telemetry.ts'
import {
  type Plan,
  planApplication,
  type RunningApplication,
  replayStages,
  runPlan,
} from '../../processors/topology.ts'

/** One application file, small and with everything that states are made of: two entities, all kinds of windows, a decay. */
export function applicationOf(over: Record<string, unknown> = {}, features: Record<string, unknown> = {}): object {
  return {
    rtml: 1,
    name: 'shop',
    partitions: 2,
    sources: {
      web: {
        timeUnit: 'ms',
        mapping: {
          mapping: 'web',
          format: 'json',
          fields: {
            _id: 'id',
            timestamp: 'time',
            eventType: 'type',
            'identityMap.ECID': 'visitor',
            'productListItems[0].SKU': 'sku',
            'productListItems[0].priceTotal': 'amount',
          },
        },
      },
    },
    identity: { priority: ['ECID'] },
    entities: { item: { key: 'productListItems[0].SKU' } },
    features: {
      views_1h: { kind: 'count', window: '1h' },
      amount_1h: { kind: 'sum', value: 'productListItems[0].priceTotal', window: '1h' },
      skus_24h: { kind: 'distinct', value: 'productListItems[0].SKU', window: '24h' },
      last_types: { kind: 'lastN', n: 3, value: 'eventType' },
      activity: { kind: 'decayedCount', halfLife: '30m' },
      item_views: { kind: 'count', entity: 'item', window: '1h' },
      ...features,
    },
    ...over,
  }
}

export async function planOf(definition: object, engine?: Engine): Promise<Plan> {
  const { app } = loadApplication(stringify(definition), {
    file: 'rtml.yaml',
    env: () => undefined,
    mappings: READY_MAPPINGS,
    readFile: () => undefined,
  })
  return planApplication({
    ...planOptions({ app }, '.', {}),
    ...(engine ? { schemaById: (id: number) => engine.registry.schema(id) } : {}),
  })
}

export interface Fixture extends AsyncDisposable {
  readonly dir: string
  readonly engine: Engine
  /** A store for scratch states. */
  readonly scratch: Engine
}

export async function fixture(): Promise<Fixture> {
  const dir = mkdtempSync(join(tmpdir(), 'rtml-repair-'))
  const engine = await openEmbedded({ dir: join(dir, 'live'), clock: systemClock, upkeep: 'off' })
  const scratch = await openEmbedded({ dir: join(dir, 'scratch'), clock: systemClock, upkeep: 'off' })
  return {
    dir,
    engine,
    scratch,
    [Symbol.asyncDispose]: async () => {
      await engine[Symbol.asyncDispose]()
      await scratch[Symbol.asyncDispose]()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

export function start(
  plan: Plan,
  engine: Engine,
  tuning: Parameters<typeof runPlan>[1]['tuning'] = {},
): Promise<RunningApplication> {
  return runPlan(plan, {
    engine,
    clock: systemClock,
    random: Math.random,
    hrtime: () => performance.now() / 1_000,
    metrics: silentMetrics,
    logger: silentLogger,
    env: () => undefined,
    signal: new AbortController().signal,
    tuning,
  })
}

export const stagesOf = (plan: Plan, engine: Engine): KeyedStage[] =>
  replayStages(plan, { engine, clock: systemClock, env: () => undefined })

export const stageOf = (plan: Plan, engine: Engine, name: string): KeyedStage => {
  const found = stagesOf(plan, engine).find(({ stage }) => stage.name === name)
  if (!found) throw new Error(`no stage ${name}`)
  return found
}

/** The instant of the first event: near enough to now that no store forgets a state by age. */
export const T0 = epochMs(Math.floor(Date.now() / 3_600_000) * 3_600_000 - 6 * 3_600_000)

/**
 * Raw events number `first` to `first + count`, a function of their numbers: 40 visitors, 12 items, half a minute between
 * events, every 17th a repetition, every 11th late within the bound, every 29th not JSON.
 */
export function rawEvents(topic: string, count: number, first = 0): NewRecord[] {
  return Array.from({ length: count }, (_, index) => {
    const number = first + index
    const event = eventOf(number % 17 === 16 ? number - 1 : number)
    const value = number % 29 === 28 ? Buffer.from('{"broken') : Buffer.from(JSON.stringify(event))
    return { topic, key: Buffer.from(event.visitor), value }
  })
}

export function eventOf(number: number) {
  const late = number % 11 === 10 ? 20_000 : 0
  const mixed = (number * 2_654_435_761) >>> 8
  return {
    id: `e${number}`,
    time: T0 + number * 5_000 - late,
    type: ['web.webpagedetails.pageViews', 'commerce.productViews', 'commerce.purchases'][mixed % 3],
    visitor: `v${mixed % 40}`,
    sku: `sku${mixed % 12}`,
    amount: (mixed % 1_000) / 8,
  }
}

export const shardOf = (plan: Plan, { stage }: KeyedStage, partition: number): Shard => ({
  group: groupOf(plan.app, stage.name),
  topic: stage.topic,
  partition,
})

/** Waits until every stage has applied all that is in the log and published what follows from it. */
export async function drained(app: RunningApplication): Promise<void> {
  const deadline = performance.now() + 60_000
  let calm = 0
  let last = ''
  for (;;) {
    const positions: string[] = []
    let isBehind = false
    for (const { stage, topic, shards } of app.service.status()) {
      for (const { partition, end } of await app.engine.log.bounds(topic)) {
        const position = shards.get(partition)?.position
        // Committed, hence published too: what a stage still has to publish is input of the next one.
        const committed = await app.engine.log.committed(groupOf(app.plan.app, stage), { topic, partition })
        if (position !== end || (committed ?? 0) !== end) isBehind = true
        positions.push(`${topic}/${partition}=${position}`)
      }
    }
    const now = positions.join()
    calm = !isBehind && now === last ? calm + 1 : 0
    last = now
    if (calm >= 2) return
    if (performance.now() > deadline) throw new Error(`not drained: ${now}`)
    await systemClock.sleep(20 as never)
  }
}

/** All states of a stage, by shard and key, as hex. */
export async function statesOf(
  plan: Plan,
  engine: Engine,
  keyed: KeyedStage,
  partitions: number,
): Promise<Map<string, string>> {
  const all = new Map<string, string>()
  for (let partition = 0; partition < partitions; partition++) {
    for await (const some of engine.store.scan(shardOf(plan, keyed, partition)))
      for (const [key, packed] of some) all.set(`${partition}|${key}`, packed.toString('hex'))
  }
  return new Map([...all].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Writes over a live state behind the application's back, as a defect or a hand would. */
export async function tamper(engine: Engine, shard: Shard, key: string, packed: Buffer | null): Promise<void> {
  const { epoch, position } = await engine.store.own(shard)
  const applied = await engine.store.apply(shard, epoch, {
    from: position!,
    to: position!,
    states: new Map([[key, packed]]),
    outputs: [],
    rebuild: true,
  })
  if (applied.kind !== 'applied') throw new Error(`tampering was ${applied.kind}`)
}

export const partitionFor = (key: string, partitions: number): number => partitionOf(Buffer.from(key), partitions)
