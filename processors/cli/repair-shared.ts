import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../app/system-clock.ts'
import { openEmbedded } from '../engine/embedded/engine.ts'
import type { Engine, FeatureStore } from '../engine/ports.ts'
import type { OpenedApplication } from '../host/application-file.ts'
import type { KeyedStage } from '../runtime/repair/keyed-stage.ts'
import { type Plan, planApplication, replayStages } from '../topology.ts'
import { BadUsage } from './output.ts'

/** A planned application beside its engine, for commands that compute states again. */
export interface RepairSetting {
  readonly plan: Plan
  readonly stages: readonly KeyedStage[]
  /** Undefined where the engine needs no snapshots. */
  readonly snapshotTopic: string | undefined
}

/** @throws RtmlError CONFIG, MODEL_LOAD */
export async function repairSetting(opened: OpenedApplication, engine: Engine): Promise<RepairSetting> {
  const schemaById = (id: number) => engine.registry.schema(id)
  const plan = await planApplication({ ...opened.planOptions, schemaById })
  const stages = replayStages(plan, { engine, clock: systemClock, env: opened.planOptions.env })
  return { plan, stages, snapshotTopic: engine.name === 'embedded' ? undefined : plan.topics.snapshots }
}

/** @throws BadUsage when no stage that keeps states has the name */
export function stageNamed(stages: readonly KeyedStage[], name: string): KeyedStage {
  const found = stages.find(({ stage }) => stage.name === name)
  if (found) return found
  const names = stages.map(({ stage }) => stage.name).join(', ')
  throw new BadUsage(`--stage ${JSON.stringify(name)}: no stage of that name keeps states. There are: ${names}.`)
}

/** A store in a directory of its own under the system's temporary one (TMPDIR moves it), deleted at the end. */
export async function withScratch<T>(work: (store: FeatureStore) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'rtml-scratch-'))
  try {
    await using engine = await openEmbedded({ dir, clock: systemClock, upkeep: 'off' })
    return await work(engine.store)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** Aborts at SIGINT and SIGTERM, so that long work ends with what it opened closed. */
export function interrupted(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  return stop.signal
}
