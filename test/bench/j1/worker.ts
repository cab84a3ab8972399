import { fileURLToPath } from 'node:url'
import { groupOf } from '../../../processors/app/topics.ts'
import { openApplicationFile } from '../../../processors/host/application-file.ts'
import { startWorker, type Worker } from '../../../processors/host/start.ts'
import type { Logger } from '../../../processors/runtime/telemetry.ts'
import type { RunningApplication } from '../../../processors/topology.ts'
import type { PartOptions } from './children.ts'
import { topicOf } from './engine.ts'
import { JOB } from './job.ts'

const APPLICATION = fileURLToPath(new URL('rtml.yaml', import.meta.url))

export interface Batches {
  readonly stages: Readonly<Record<string, number>>
  readonly eventsPerBatch: number
}

export interface Job extends AsyncDisposable {
  readonly worker: Worker
  readonly running: RunningApplication
  /** From the histograms that /metrics shows: microseconds an event by step, and events a batch. */
  batches(events: number): Promise<Batches>
}

/** Errors and warnings go to standard error; the rest is not part of a benchmark. */
const logger: Logger = {
  debug() {},
  info() {},
  warn: (fields, message) => write(fields, message),
  error: (fields, message) => write(fields, message),
}
const write = (fields: object, message: string) => process.stderr.write(`${message} ${JSON.stringify(fields)}\n`)

/** Starts the job as `rtml run` does, and waits until its groups are joined. */
export async function startJob({ env, dataDir }: PartOptions): Promise<Job> {
  const variables = { ...process.env, ...env }
  const opened = openApplicationFile(APPLICATION, variables)
  const worker = await startWorker({ opened, env: variables, logger, dataDir })
  const running = await worker.started
  return {
    worker,
    running,
    batches: async (events) => batchesOf(await worker.metrics.expose(), events),
    [Symbol.asyncDispose]: () => worker[Symbol.asyncDispose](),
  }
}

function batchesOf(exposition: string, events: number): Batches {
  const sums = exposition.matchAll(/^rtml_stage_seconds_sum\{stage="profile",step="(\w+)"\} (\S+)$/gm)
  const figure = (name: string) =>
    Number(new RegExp(`^rtml_batch_events_${name}\\{stage="profile"\\} (\\S+)$`, 'm').exec(exposition)?.[1])
  return {
    stages: Object.fromEntries([...sums].map(([, step, sum]) => [step, (Number(sum) * 1e6) / events])),
    eventsPerBatch: figure('sum') / figure('count'),
  }
}

/** Whether everything in the raw topic has been scored and committed. */
export async function committedAll({ engine, plan }: RunningApplication, options: PartOptions): Promise<boolean> {
  const topic = topicOf(options, JOB.topic)
  const group = groupOf(plan.app, 'profile')
  for (const { partition, end } of await engine.log.bounds(topic)) {
    if ((await engine.log.committed(group, { topic, partition })) !== end) return false
  }
  return true
}
