import { ms } from '../../../processors/app/units.ts'
import type { Engine, NewRecord } from '../../../processors/engine/ports.ts'
import { openEngine } from '../../../processors/host/open-engine.ts'
import type { PartOptions } from './children.ts'
import { type GeneratedRecord, generate } from './generate.ts'
import { JOB } from './job.ts'

/** An engine that only looks and appends. */
export const openForLooking = ({ env, dataDir }: PartOptions): Promise<Engine> =>
  openEngine({ ...process.env, ...env }, { dataDir, role: 'look' })

export const topicOf = ({ env }: Pick<PartOptions, 'env'>, name: string): string => `${env.BENCH_PREFIX ?? ''}${name}`

/**
 * Makes the topics that must not be as the application would make them: every score is kept, also an older one of the
 * same profile, because the checker reads them all afterwards.
 */
export async function makeTopics(engine: Engine, options: PartOptions): Promise<void> {
  const kept = { partitions: JOB.partitions, cleanup: 'delete', retentionMs: ms(86_400_000) } as const
  await engine.log.ensureTopics(
    [JOB.topic, 'profile.scores', 'samples'].map((name) => ({ topic: topicOf(options, name), ...kept })),
  )
}

export const newRecord = (topic: string, { key, json }: GeneratedRecord): NewRecord => ({
  topic,
  key: Buffer.from(key),
  value: Buffer.from(json, 'latin1'),
})

const BATCH = 2_000
const AT_ONCE = 4

/** Appends all records of the job as fast as the log takes them. */
export async function fill(engine: Engine, options: PartOptions): Promise<void> {
  const topic = topicOf(options, JOB.topic)
  let batch: NewRecord[] = []
  let pending: Promise<void>[] = []
  const flush = async () => {
    pending.push(engine.log.append(batch))
    batch = []
    if (pending.length < AT_ONCE) return
    await Promise.all(pending)
    pending = []
  }
  for (const record of generate(options)) {
    batch.push(newRecord(topic, record))
    if (batch.length === BATCH) await flush()
  }
  await flush()
  await Promise.all(pending)
}
