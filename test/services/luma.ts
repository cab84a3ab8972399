/** The demo's application on any engine, and what it left there, without what differs between two runs. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import { groupOf } from '../../processors/app/topics.ts'
import { type Clock, epochMs } from '../../processors/app/units.ts'
import type { Engine, NewRecord } from '../../processors/engine/ports.ts'
import type { EntityKernel } from '../../processors/features/types.ts'
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { PACKAGE_ROOT } from '../../processors/host/package-root.ts'
import { decodeScores } from '../../processors/outputs/index.ts'
import { packProfile, unpackProfile } from '../../processors/runtime/stages/profile-state.ts'
import { silentLogger, silentMetrics } from '../../processors/runtime/telemetry.ts'
import { type RunningApplication, runApplication } from '../../processors/topology.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { SERVICE_PATIENCE } from './fixtures.ts'

const FOLDER = join(PACKAGE_ROOT, 'examples', 'luma')
const FRAME_BYTES = 5

/** Time stands still for what is written (`processedAt`), and goes on for waits. */
const frozen: Clock = { now: () => epochMs(1_790_000_000_000), sleep: systemClock.sleep, turn: systemClock.turn }

export interface Outcome {
  /** Event id → the score record without its schema id, which each registry gives anew. */
  readonly scores: ReadonlyMap<string, Buffer>
  readonly states: ReadonlyMap<string, Buffer>
}

export function runLuma(engine: Engine, topicPrefix: string): Promise<RunningApplication> {
  const { planOptions } = openApplicationFile(join(FOLDER, 'rtml.yaml'), {})
  const { app } = planOptions
  // A slow machine must not turn a score into a fallback.
  const patient = Object.entries(app.models).map(([name, model]) => [name, { ...model, deadline: 60_000 as never }])
  return runApplication({
    ...planOptions,
    app: { ...app, topicPrefix, models: Object.fromEntries(patient) },
    engine,
    clock: frozen,
    random: () => 0.5,
    hrtime: () => performance.now() / 1_000,
    metrics: silentMetrics,
    logger: silentLogger,
    signal: new AbortController().signal,
  })
}

/** The first `count` real events, keyed by visitor as a producer would. */
export function lumaEvents(topic: string, count: number): NewRecord[] {
  const text = gunzipSync(readFileSync(join(FOLDER, 'luma_events.jsonl.gz'))).toString('utf8')
  return text
    .split('\n')
    .slice(0, count)
    .map((line) => {
      const { endUserIDs } = JSON.parse(line) as { endUserIDs: { _experience: Record<string, { id: string }> } }
      return { topic, key: Buffer.from(endUserIDs._experience.mcid?.id ?? ''), value: Buffer.from(line) }
    })
}

export async function outcomeOf(running: RunningApplication): Promise<Outcome> {
  // Scores come back through the log, for segments that ask for them.
  await eventually(
    'everything is read',
    SERVICE_PATIENCE,
    async () => (await isRead(running)) && (await isRead(running)),
  )
  return { scores: await scoresOf(running), states: await statesOf(running) }
}

export async function scoresOf({ plan, engine }: RunningApplication): Promise<Map<string, Buffer>> {
  const scores = new Map<string, Buffer>()
  for (const bounds of await engine.log.bounds(plan.topics.scores)) {
    if (bounds.start >= bounds.end) continue
    for await (const run of engine.log.read(bounds, bounds.start, { until: bounds.end })) {
      for (const { value } of run.records) {
        const { eventId } = decodeScores(value!)
        expect(scores.has(eventId), `${eventId} is scored twice`).toBe(false)
        scores.set(eventId, value!.subarray(FRAME_BYTES))
      }
    }
  }
  return scores
}

async function statesOf({ plan, engine }: RunningApplication): Promise<Map<string, Buffer>> {
  const states = new Map<string, Buffer>()
  const kernel = plan.featureSet.entities.get('profile')!
  for (let partition = 0; partition < plan.app.partitions; partition++) {
    const shard = { group: groupOf(plan.app, 'profile'), topic: plan.topics.events, partition }
    for await (const some of engine.store.scan(shard)) {
      for (const [key, packed] of some) states.set(key, comparable(kernel, packed))
    }
  }
  return states
}

/**
 * A profile's state without what depends on where its scores came back among its events: when it entered a segment, and at
 * which offset.
 */
function comparable(kernel: EntityKernel, packed: Buffer): Buffer {
  const { rules, ...state } = unpackProfile(kernel, packed)
  const segments = [...(rules?.memberships ?? [])].map(([name, { isIn }]) => `${name} ${isIn}`).sort()
  return Buffer.concat([packProfile(kernel, state), Buffer.from(segments.join('\n'))])
}

async function isRead({ plan, engine }: RunningApplication): Promise<boolean> {
  const group = groupOf(plan.app, 'profile')
  for (const bounds of await engine.log.bounds(plan.topics.events)) {
    if (((await engine.log.committed(group, bounds)) ?? 0) < bounds.end) return false
  }
  return true
}
