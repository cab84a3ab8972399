/** Looks for a person in everything that an application keeps: the states of all stages, and all of its topics. */
import { type EpochMs, epochMs, offset } from '../app/units.ts'
import type { Engine, Log, LogRecord, PartitionBounds, TopicSpec } from '../engine/ports.ts'
import { type KeyedStage, shardOf } from '../runtime/repair/keyed-stage.ts'
import { type Plan, topicSpecs } from '../topology.ts'
import type { Needles } from './needles.ts'

/** Records of one topic that hold the person. */
export interface TopicFindings {
  readonly topic: string
  readonly cleanup: TopicSpec['cleanup']
  readonly records: number
  readonly newest: EpochMs
  /** When retention has deleted the newest one; undefined: the topic keeps it until a newer record of its key. */
  readonly until: EpochMs | undefined
  readonly matches: readonly Match[]
}

export interface Match {
  readonly place: string
  readonly partition: number
  readonly offset: number
  readonly timestamp: EpochMs
  /** Its key says whose record it is, and it is the person's. */
  readonly isOwn: boolean
  readonly isTombstone: boolean
  /** A later record of the same key replaces it: compaction deletes it. */
  readonly isReplaced: boolean
  /** An earlier tombstone of the same key stands in the topic. */
  readonly isAfterTombstone: boolean
}

/** Matches of one topic that are listed; more are only counted. */
const MATCHES_MAX = 100_000

export interface ScanOptions {
  readonly plan: Pick<Plan, 'app'>
  readonly engine: Pick<Engine, 'log'>
  readonly needles: Needles
  readonly signal: AbortSignal
  readonly onTopic?: (topic: string) => void
  /** Only these topics. */
  readonly only?: (topic: string) => boolean
}

/** Reads every topic from its first record on. @throws RtmlError LOG_DOWN */
export async function scanTopics(options: ScanOptions): Promise<TopicFindings[]> {
  const found: TopicFindings[] = []
  for (const spec of topicSpecs(options.plan.app)) {
    if (options.signal.aborted) break
    if (options.only && !options.only(spec.topic)) continue
    options.onTopic?.(spec.topic)
    const matches: Match[] = []
    let records = 0
    for (const bounds of await options.engine.log.bounds(spec.topic)) {
      const some = await scanPartition(options, bounds)
      records += some.length
      for (const match of some) if (matches.length < MATCHES_MAX) matches.push(match)
    }
    if (records > 0) found.push(findingsOf(spec, records, matches))
  }
  return found
}

function findingsOf({ topic, cleanup, retentionMs }: TopicSpec, records: number, matches: Match[]): TopicFindings {
  const newest = epochMs(matches.reduce((latest, { timestamp }) => Math.max(latest, timestamp), 0))
  return {
    topic,
    cleanup,
    records,
    newest,
    until: retentionMs === undefined ? undefined : epochMs(newest + retentionMs),
    matches,
  }
}

async function scanPartition({ engine, needles, signal }: ScanOptions, bounds: PartitionBounds): Promise<Match[]> {
  const matches: (Match & { key: string | undefined })[] = []
  const newestOf = new Map<string, number>()
  const buried = new Set<string>()
  for await (const record of recordsOf(engine.log, bounds, signal)) {
    if (!needles.isInRecord(record)) continue
    const key = record.key?.toString('latin1')
    if (key !== undefined) newestOf.set(key, record.offset)
    matches.push({
      place: `${record.topic}[${record.partition}]@${record.offset}`,
      partition: record.partition,
      offset: record.offset,
      timestamp: record.timestamp,
      isOwn: needles.isKeyOf(record) || (key !== undefined && needles.isIn(key)),
      isTombstone: record.value === null,
      isReplaced: false,
      isAfterTombstone: key !== undefined && buried.has(key),
      key,
    })
    if (key !== undefined && record.value === null) buried.add(key)
  }
  return matches.map(({ key, ...match }) => ({
    ...match,
    isReplaced: key !== undefined && newestOf.get(key) !== match.offset,
  }))
}

async function* recordsOf(log: Log, bounds: PartitionBounds, signal: AbortSignal): AsyncGenerator<LogRecord> {
  if (bounds.start >= bounds.end) return
  for await (const run of log.read(bounds, offset(bounds.start), { until: bounds.end, signal })) yield* run.records
}

/** A state that holds the person. */
export interface StateFinding {
  readonly stage: string
  readonly partition: number
  readonly key: string
  /** Its key names the person; else the person stands in what it keeps. */
  readonly isOwn: boolean
}

/** Looks at every state of every stage. @throws RtmlError STORE_DOWN */
export async function scanStates(options: {
  readonly engine: Pick<Engine, 'log' | 'store'>
  readonly stages: readonly KeyedStage[]
  readonly needles: Needles
  readonly signal: AbortSignal
}): Promise<StateFinding[]> {
  const { engine, stages, needles, signal } = options
  const found: StateFinding[] = []
  for (const { stage } of stages) {
    for (const { partition } of await engine.log.bounds(stage.topic)) {
      for await (const states of engine.store.scan(shardOf(stage, partition))) {
        if (signal.aborted) return found
        for (const [key, packed] of states) {
          const isOwn = needles.isIn(key)
          if (isOwn || needles.isInBytes(packed)) found.push({ stage: stage.name, partition, key, isOwn })
        }
      }
    }
  }
  return found
}
