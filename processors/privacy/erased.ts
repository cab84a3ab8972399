/** Proves that an erasure holds: looks through stores and topics again for what should not be there. */
import { type Clock, ms, type Offset, offset } from '../app/units.ts'
import { partitionOf } from '../engine/murmur2.ts'
import type { Engine, Shard } from '../engine/ports.ts'
import { type Erased, subjectOf } from '../outputs/index.ts'
import { type KeyedStage, shardOf } from '../runtime/repair/keyed-stage.ts'
import { Replay } from '../runtime/repair/replay.ts'
import { controlKind } from '../runtime/stages/control-records.ts'
import { type Plan, pseudonymKey } from '../topology.ts'
import { readControl } from './control-topic.ts'
import { needlesOf } from './needles.ts'
import { checkSignature } from './report.ts'
import type { ErasureReport } from './report-schema.ts'
import { type Match, type ScanOptions, type StateFinding, scanStates, scanTopics, type TopicFindings } from './scan.ts'

export interface VerifyOptions {
  readonly plan: Plan
  readonly engine: Engine
  readonly stages: readonly KeyedStage[]
  readonly clock: Clock
  readonly env: (name: string) => string | undefined
  readonly report: ErasureReport
  readonly signal: AbortSignal
  readonly onTopic?: (topic: string) => void
}

export interface Verified {
  readonly request: string
  readonly signature: 'valid' | 'wrong' | 'none'
  /** Profiles that have a state again, made of later events alone. */
  readonly startedAnew: readonly string[]
  /** What should not be there. */
  readonly left: readonly { readonly where: string; readonly what: string }[]
  /** What is there as the report says. */
  readonly remaining: readonly { readonly where: string; readonly records: number; readonly until: string | null }[]
}

/** Kafka deletes whole segments: a record may outlive its retention by the life of its segment, 7 days by default. */
const OVERDUE_MS = ms(8 * 86_400_000)

/** @throws RtmlError LOG_DOWN, STORE_DOWN, CONFIG (report key) */
export async function verifyErasure(options: VerifyOptions): Promise<Verified> {
  const { plan, engine, env, report } = options
  const { topics } = plan
  const left: { where: string; what: string }[] = []
  const startedAnew: string[] = []
  const signature = checkSignature(report, env)
  if (signature === 'wrong')
    left.push({ where: 'report', what: 'the signature is wrong: the report was changed, or signed with another key' })

  const needles = needlesOf(report.identities)
  const secret = pseudonymKey(plan.app, env)
  const control = await readControl(engine, topics)
  const newest = new Map<string, Erased>()
  for (const answer of control.answers) newest.set(answer.subject, answer)
  const profile = options.stages.find(({ stage }) => stage.name === 'profile')!
  for (const key of report.identities) {
    const answer = newest.get(subjectOf(secret, key))
    if (!answer) {
      left.push({ where: topics.control, what: `no worker has answered the order for ${key}` })
      continue
    }
    const found = await stateAfter(options, profile, key, answer.place)
    if (found === 'older') left.push({ where: `profile, ${key}`, what: 'a state that is older than the erasure' })
    if (found === 'new') startedAnew.push(key)
  }
  const erasedAt = Math.max(0, ...report.identities.map((key) => newest.get(subjectOf(secret, key))?.at ?? 0))
  const states = await scanStates({ engine, stages: options.stages, needles, signal: options.signal })
  for (const state of states) {
    const { stage, partition, key, isOwn } = state
    if (stage === 'profile' && report.identities.includes(key)) continue
    // Of new events, entities may keep new states of the person.
    if (isOwn && (await isStartedAnew(options, state, erasedAt))) continue
    const what = isOwn ? `the state of ${key}` : `the state of ${key} holds an id of the person as a value`
    left.push({ where: `${stage}[${partition}]`, what })
  }

  const hidden = new Set(control.requests.flatMap(({ letters }) => letters))
  const found = await scanTopics(scanning(options, needles))
  const since = Date.parse(report.requestedAt)
  for (const findings of found) {
    const { topic } = findings
    const isDead = topic === topics.deadRaw || topic === topics.deadXdm
    for (const match of findings.matches) {
      const what = isDead ? letterLeft(match, hidden, since) : recordLeft(match, findings, options, erasedAt)
      if (what !== undefined) left.push({ where: match.place, what })
    }
  }
  return {
    request: report.request,
    signature,
    startedAnew,
    left,
    remaining: found.map(({ topic, records, until }) => ({
      where: topic,
      records,
      until: until === undefined ? null : new Date(until).toISOString(),
    })),
  }
}

const scanning = ({ plan, engine, signal, onTopic }: VerifyOptions, needles: ScanOptions['needles']): ScanOptions => ({
  plan,
  engine,
  needles,
  signal,
  ...(onTopic ? { onTopic } : {}),
})

function letterLeft({ place, timestamp }: Match, hidden: ReadonlySet<string>, since: number): string | undefined {
  if (hidden.has(place) || timestamp > since) return undefined
  return 'a dead letter that is not hidden: erase once more'
}

function recordLeft(
  match: Match,
  { topic, cleanup, until }: TopicFindings,
  { plan, clock }: VerifyOptions,
  erasedAt: number,
): string | undefined {
  const { topics } = plan
  if (topic === topics.control || topic === topics.audit) return 'an identity in clear'
  if (cleanup === 'delete') {
    const isOverdue = until !== undefined && until + OVERDUE_MS < clock.now()
    return isOverdue ? 'older than the retention of its topic' : undefined
  }
  if (match.isTombstone || match.isReplaced) return undefined
  // After a tombstone of its key it is of a new profile; without one it is what should be gone.
  return match.isAfterTombstone || match.timestamp > erasedAt ? undefined : 'no tombstone follows'
}

/** Whether the state of another entity is made of what came after the newest order for its key alone; without one, after the erasure. */
async function isStartedAnew(
  options: VerifyOptions,
  { stage: name, partition, key }: StateFinding,
  erasedAt: number,
): Promise<boolean> {
  const { engine, stages, signal } = options
  const keyed = stages.find(({ stage }) => stage.name === name)!
  const { topic } = keyed.stage
  const bounds = (await engine.log.bounds(topic))[partition]!
  const bytes = Buffer.from(key)
  let place: string | undefined
  let isOlder = false
  for await (const run of engine.log.read(bounds, bounds.start, { until: bounds.end, signal })) {
    for (const record of run.records) {
      if (!record.key?.equals(bytes)) continue
      if (controlKind(record) === 'erase') place = `${topic}[${partition}]@${record.offset}`
      else if (record.timestamp <= erasedAt) isOlder = true
    }
  }
  if (place === undefined) return !isOlder
  return (await stateAfter(options, keyed, key, place)) !== 'older'
}

/**
 * Whether a key has a state, and whether it is exactly what the events after the order make of it: computed again from
 * nothing at the order, with the code of the stage.
 */
async function stateAfter(
  { engine, signal }: VerifyOptions,
  { stage }: KeyedStage,
  key: string,
  place: string,
): Promise<'none' | 'new' | 'older'> {
  const shard = shardAt(stage, place) ?? (await shardOfKey(engine, stage, key))
  const from = offset(Number(/@(\d+)$/.exec(place)?.[1] ?? 0) + 1)
  const { start } = (await engine.log.bounds(shard.topic))[shard.partition]!
  for (let tries = 0; ; tries++) {
    const { position, states } = await engine.store.peek(shard, [key])
    const live = states[0]
    if (live === undefined || position === undefined) return 'none'
    // Retention has passed the order: whatever a replay could bring back is gone too, and nothing is left to compare with.
    if (start > from) return 'new'
    const computed = await recomputed(engine, stage, shard, key, from, position, signal)
    if (computed?.equals(live)) return 'new'
    // A backfill may have rewritten the state in between.
    if (tries >= 2) return 'older'
  }
}

async function recomputed(
  engine: Engine,
  stage: KeyedStage['stage'],
  shard: Shard,
  key: string,
  from: Offset,
  until: Offset,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  if (from > until) return undefined
  let state: Buffer | undefined
  const table = {
    load: async (keys: readonly string[]) => keys.map((it) => (it === key ? state : undefined)),
    save: async (changed: ReadonlyMap<string, Buffer | null>) => {
      const packed = changed.get(key)
      if (packed !== undefined) state = packed ?? undefined
    },
  }
  await new Replay({ log: engine.log, stage, shard, table, from, only: (it) => it === key }).advance(until, signal)
  return state
}

function shardAt(stage: KeyedStage['stage'], place: string): Shard | undefined {
  const [, topic, partition] = /^(.+)\[(\d+)\]@\d+$/.exec(place) ?? []
  return topic === stage.topic ? shardOf(stage, Number(partition)) : undefined
}

async function shardOfKey(engine: Engine, stage: KeyedStage['stage'], key: string): Promise<Shard> {
  const partitions = (await engine.log.bounds(stage.topic)).length
  return shardOf(stage, partitionOf(Buffer.from(key), partitions))
}
