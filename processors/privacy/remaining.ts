import { type EpochMs, epochMs } from '../app/units.ts'
import type { TopicSpec } from '../engine/ports.ts'
import { type Plan, topicSpecs } from '../topology.ts'
import type { Remaining } from './report-schema.ts'
import type { TopicFindings } from './scan.ts'

/**
 * What the log keeps of a person after the erasure, and until when. Nothing reads it any more: readers stand behind the order,
 * and every replay meets the order after it.
 * @param found undefined: the topics were not read; then every topic that can hold something is named
 */
export function remainingOf(
  { app, topics }: Pick<Plan, 'app' | 'topics'>,
  found: readonly TopicFindings[] | undefined,
  now: EpochMs,
): Remaining[] {
  const what = whatIn(topics, app)
  const specs = topicSpecs(app)
  const remaining: Remaining[] = []
  for (const spec of specs) {
    const findings = found?.find(({ topic }) => topic === spec.topic)
    const known = what.get(spec.topic)
    if (known === undefined || (found && !findings)) continue
    remaining.push({
      where: spec.topic,
      what: known,
      records: findings?.records ?? null,
      until: untilOf(spec, findings, now),
      why: WHY[spec.cleanup],
    })
  }
  if (app.outputs.samples.enabled) {
    const retention = specs.find(({ topic }) => topic === topics.samples)?.retentionMs ?? 0
    remaining.push({
      where: topics.samples,
      what: 'rows without a person, with the ids of events',
      records: null,
      until: new Date(now + retention).toISOString(),
      why: 'rows lie together with those of others; see the notes',
    })
  }
  return remaining
}

const WHY: Record<TopicSpec['cleanup'], string> = {
  delete: 'the log deletes by age, not single records; readers and replays stop at the order',
  compact: 'replaced by a tombstone; compaction deletes what is older',
  'compact+delete': 'replaced by a tombstone; compaction deletes what is older, retention the rest',
}

function untilOf({ retentionMs }: TopicSpec, findings: TopicFindings | undefined, now: EpochMs): string | null {
  if (retentionMs === undefined) return null
  return new Date(epochMs((findings?.newest ?? now) + retentionMs)).toISOString()
}

function whatIn(topics: Plan['topics'], app: Plan['app']): ReadonlyMap<string, string> {
  return new Map([
    ...Object.keys(app.sources).map((it) => [topics.raw(it), 'events as they came, and the order'] as const),
    [topics.events, 'mapped events, and the order'],
    ...Object.keys(app.entities).map((it) => [topics.entity(it), 'events for other entities'] as const),
    [topics.scores, 'scores, replaced by a tombstone'],
    [topics.segments, 'memberships, replaced by tombstones'],
    [topics.timers, 'when memberships end, replaced by tombstones'],
    [topics.links, 'which identities are one person, replaced by tombstones'],
    [topics.decisions, 'what was decided'],
    [topics.snapshots, 'packed states, replaced by a tombstone'],
    [topics.examples, 'training examples without a person'],
    [topics.deadRaw, 'refused records, hidden'],
    [topics.deadXdm, 'refused events, hidden'],
  ])
}
