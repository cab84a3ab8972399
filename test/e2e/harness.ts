/** Applications on the embedded engine, from an application file on disk to what stands in the output topics. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../processors/app/system-clock.ts'
import { groupOf } from '../../processors/app/topics.ts'
import type { Clock } from '../../processors/app/units.ts'
import { type EmbeddedEngine, openEmbedded } from '../../processors/engine/embedded/engine.ts'
import type { Engine, LogRecord, NewRecord } from '../../processors/engine/ports.ts'
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { type PrometheusMetrics, prometheusMetrics } from '../../processors/host/prometheus.ts'
import { decodeSamples, decodeScores, type ProfileScores } from '../../processors/outputs/index.ts'
import { silentLogger } from '../../processors/runtime/telemetry.ts'
import type { ModelPool } from '../../processors/scorer/types.ts'
import { type Plan, planApplication, type RunningApplication, runPlan } from '../../processors/topology.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { identityModel, node } from '../unit/scorer/proto-writer.ts'

export const PATIENCE = { deadlineMs: 60_000, testMs: 90_000 }

/** A shop that scores every event with the number of the customer's events so far in the last hour. */
export const SHOP = `
rtml: 1
name: shop
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
        productListItems[0].SKU: sku
identity: { priority: [CustomerID] }
features:
  events_1h: { kind: count, window: 1h }
  spend: { kind: sum, value: commerce.order.priceTotal }
models:
  score: { file: same.onnx, version: 1, inputs: [events_1h], deadline: 20s }
`

/** A folder of its own with an application file and two models: same.onnx gives its input, minus.onnx its negative. */
export async function folder(
  yaml: string = SHOP,
): Promise<AsyncDisposable & { dir: string; file: string; data: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'rtml-e2e-'))
  await writeFile(join(dir, 'rtml.yaml'), yaml)
  await writeFile(join(dir, 'same.onnx'), identityModel())
  await writeFile(join(dir, 'minus.onnx'), identityModel({ nodes: [node('Neg', ['x'], ['y'])] }))
  return {
    dir,
    file: join(dir, 'rtml.yaml'),
    data: join(dir, 'data'),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  }
}

export const openData = (data: string, clock: Clock = systemClock): Promise<EmbeddedEngine> =>
  openEmbedded({ dir: data, clock, upkeep: 'off' })

export const planOf = (file: string): Promise<Plan> => planApplication(openApplicationFile(file, {}).planOptions)

export type Started = RunningApplication & { readonly metrics: PrometheusMetrics }

export async function start(
  file: string,
  engine: Engine,
  {
    alter = (plan) => plan,
    clock = systemClock,
    createPool,
  }: { alter?: (plan: Plan) => Plan; clock?: Clock; createPool?: () => Promise<ModelPool> } = {},
): Promise<Started> {
  const metrics = prometheusMetrics()
  const running = await runPlan(alter(await planOf(file)), {
    engine,
    clock,
    random: Math.random,
    hrtime: () => performance.now() / 1_000,
    metrics,
    logger: silentLogger,
    env: () => undefined,
    signal: new AbortController().signal,
    ...(createPool ? { createPool } : {}),
  })
  return Object.assign(running, { metrics })
}

const START = Date.parse('2026-01-01T10:00:00Z')

/** The n-th event of a shop with `customers` customers, one a second. */
export const shopEvent = (n: number, { customers = 10 } = {}): Record<string, unknown> => ({
  id: `e${n}`,
  time: new Date(START + n * 1_000).toISOString(),
  type: 'commerce.purchases',
  customer: `c${n % customers}`,
  total: n,
  sku: `s${n % 3}`,
})

/** Raw records keyed by customer, as a producer would append them. */
export const raw = (events: readonly Record<string, unknown>[], headers: NewRecord['headers'] = {}): NewRecord[] =>
  events.map((event) => ({
    topic: 'raw.web',
    key: Buffer.from(String(event.customer)),
    value: Buffer.from(JSON.stringify(event)),
    headers,
  }))

export const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

/** Everything that stands in a topic, by partition and offset. */
export async function everything(engine: Engine, topic: string): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  for (const bounds of await engine.log.bounds(topic)) {
    if (bounds.start >= bounds.end) continue
    for await (const run of engine.log.read(bounds, bounds.start, { until: bounds.end })) records.push(...run.records)
  }
  return records
}

export const scoresIn = async (engine: Engine): Promise<ProfileScores[]> =>
  (await everything(engine, 'profile.scores')).flatMap(({ value }) => (value ? [decodeScores(value)] : []))

/** Rows of the samples by event id. */
export async function samplesIn(engine: Engine): Promise<Map<string, Record<string, unknown>>> {
  const rows = new Map<string, Record<string, unknown>>()
  for (const { value } of await everything(engine, 'samples')) {
    for (const row of decodeSamples(value!).table.toArray()) {
      const plain = row.toJSON() as Record<string, unknown>
      rows.set(String(plain.event_id), plain)
    }
  }
  return rows
}

/** Waits until every stage stands at the end of its topic, but for the one that waits for time to pass. */
export async function settled({ engine, plan, service }: Pick<Started, 'engine' | 'plan' | 'service'>): Promise<void> {
  const isSettled = async () => {
    for (const { stage, topic } of service.status()) {
      if (stage === 'labels') continue
      for (const bounds of await engine.log.bounds(topic)) {
        const committed = await engine.log.committed(groupOf(plan.app, stage), bounds)
        if ((committed ?? 0) < bounds.end) return false
      }
    }
    return true
  }
  // A stage may feed one that was looked at before it: twice in a row means that nothing moves.
  await eventually('all stages are at the end', PATIENCE, async () => (await isSettled()) && (await isSettled()))
}
