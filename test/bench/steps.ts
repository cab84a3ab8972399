/**
 * Where the main thread's time goes in job J1, step by step and without an engine: `node test/bench/steps.ts [--json]`.
 * Microseconds of processor time an event. All states are at hand; loading, applying and publishing come on top.
 */
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../processors/app/system-clock.ts'
import { fusedSource, groupOf } from '../../processors/app/topics.ts'
import { epochMs, offset } from '../../processors/app/units.ts'
import type { LogRecord } from '../../processors/engine/ports.ts'
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { Layouts } from '../../processors/runtime/layouts.ts'
import { EntityReader } from '../../processors/runtime/stages/entity-reader.ts'
import { mappedSource } from '../../processors/runtime/stages/event-source.ts'
import { type ProfileWork, profileStage } from '../../processors/runtime/stages/profile-stage.ts'
import { type ProfileState, PSEUDONYM_BYTES } from '../../processors/runtime/stages/profile-state.ts'
import { silentMetrics } from '../../processors/runtime/telemetry.ts'
import { createModelPool, createScorer } from '../../processors/scorer/index.ts'
import { planApplication } from '../../processors/topology.ts'
import { generate } from './j1/generate.ts'
import { JOB } from './j1/job.ts'

const EVENTS = 200_000
const WARM_EVENTS = 60_000
const BATCH = 512

const { app, planOptions } = openApplicationFile(fileURLToPath(new URL('j1/rtml.yaml', import.meta.url)), {})
const plan = await planApplication(planOptions)
await using pool = await createModelPool({})
const models = await createScorer({
  plan: { models: plan.models },
  featureSet: plan.featureSet,
  pool,
  clock: systemClock,
})

const used = new Map<string, number>()
let isMeasured = false

/** Adds what the main thread spends in `work` to a step. */
async function timed<T>(step: string, work: () => T | Promise<T>): Promise<T> {
  const before = process.threadCpuUsage()
  const result = await work()
  const { user, system } = process.threadCpuUsage(before)
  if (isMeasured) used.set(step, (used.get(step) ?? 0) + user + system)
  return result
}

const { topics, featureSet, schema } = plan
const fused = fusedSource(app)!
const nothing = { note: async () => undefined, setNote: async () => {}, load: async () => [] }
const layouts = new Layouts({
  kernel: featureSet.entities.get('profile')!,
  store: nothing,
  group: groupOf(app, 'profile'),
  skipBytes: PSEUDONYM_BYTES,
})
const stage = profileStage({
  app,
  topics,
  topic: topics.raw(fused),
  fused,
  events: mappedSource(plan.mappers.get(fused)!, silentMetrics),
  schema,
  schemaIds: { events: 1, scores: 2 },
  featureSet,
  scorer: { score: (rows) => timed('outputs: score', () => models.score(rows)), outputs: () => models.outputs() },
  labels: plan.labels,
  entities: new EntityReader({
    app,
    topics,
    featureSet,
    store: nothing as never,
    clock: systemClock,
    layouts: new Map([['profile', layouts]]),
    partitions: () => 1,
  }),
  layouts,
  lookups: { get: () => undefined },
  clock: systemClock,
  metrics: silentMetrics,
  pseudonymKey: 'bench',
})

const states = new Map<string, ProfileState>()

async function work(batch: readonly LogRecord[]): Promise<void> {
  const prepared = await timed('prepare: parse and map', () => stage.prepare(batch, 'live'))
  const { work } = await timed('compute: features, vectors, packed states', () => {
    const found = new Map<string, ProfileState>()
    for (const key of stage.keys(prepared)) {
      const state = states.get(key)
      if (state) found.set(key, state)
    }
    const computed = stage.compute(prepared, found, 'live')
    for (const [key, state] of found) states.set(key, state)
    return computed as { work: ProfileWork }
  })
  await timed('outputs: all', () => stage.outputs(work))
}

let batch: LogRecord[] = []
let position = 0
for (const { key, json } of generate({ events: WARM_EVENTS + EVENTS, seed: JOB.seed })) {
  const value = Buffer.from(json, 'latin1')
  const timestamp = epochMs(JOB.startMs + 2 * JOB.spanMs)
  const place = { topic: topics.raw(fused), partition: 0, offset: offset(position++), timestamp }
  batch.push({ ...place, key: Buffer.from(key), value, headers: {} })
  if (batch.length < BATCH) continue
  isMeasured = position > WARM_EVENTS
  await work(batch)
  await timed('baseline: JSON.parse alone', () => {
    for (const record of batch) JSON.parse(record.value!.toString())
  })
  batch = []
}

used.set('outputs: encode scores and samples', (used.get('outputs: all') ?? 0) - (used.get('outputs: score') ?? 0))
used.delete('outputs: all')
const results = [...used].map(([name, micros]) => ({ name, microseconds: Number((micros / EVENTS).toFixed(3)) }))
if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(results)}\n`)
else
  for (const { name, microseconds } of results)
    process.stdout.write(`${microseconds.toFixed(3).padStart(8)} µs  ${name}\n`)
