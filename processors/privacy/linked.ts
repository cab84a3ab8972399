import type { Engine } from '../engine/ports.ts'
import type { KeyedStage } from '../runtime/repair/keyed-stage.ts'
import type { Sourced } from '../runtime/stages/event-source.ts'
import { identitiesOf, LINKED_MAX, parseLink } from '../runtime/stages/links.ts'
import type { Plan } from '../topology.ts'
import { needlesOf } from './needles.ts'

/** Steps from one identity to the next: device → account → other device. */
const STEPS_MAX = 4

/**
 * All identities of the person who has one of `keys`: those that events carried together with them, and so on; `keys` first.
 * Read from the events that the log still has and from the links of those that are gone, one pass a step. Only `keys` without `identity.link`.
 * @throws RtmlError LOG_DOWN, REGISTRY_DOWN
 */
export async function linkedIdentities(
  { app, topics }: Pick<Plan, 'app' | 'topics'>,
  { log }: Pick<Engine, 'log'>,
  stages: readonly KeyedStage[],
  keys: readonly string[],
): Promise<readonly string[]> {
  const found = new Set(keys)
  if (!app.identity.link) return [...found]
  const { stage } = stages.find(({ stage }) => stage.name === 'profile')!
  for (let step = 0; step < STEPS_MAX; step++) {
    const before = found.size
    const needles = needlesOf([...found])
    await addLinked(log, topics.links, found)
    for (const bounds of await log.bounds(stage.topic)) {
      if (bounds.start >= bounds.end) continue
      for await (const run of log.read(bounds, bounds.start, { until: bounds.end })) {
        const records = run.records.filter((record) => record.value !== null && needles.isInRecord(record))
        const { events } = (await stage.prepare(records, 'rebuild')) as Sourced
        for (const { event } of events) {
          const carried = identitiesOf(event)
          // The bytes may have been alike by chance.
          if (!carried.some((it) => found.has(it))) continue
          for (const it of carried) if (found.size < LINKED_MAX) found.add(it)
        }
      }
    }
    if (found.size === before) break
  }
  return [...found]
}

/** What links say, in both directions. They are kept for as long as the topic is, however old the events. */
async function addLinked(log: Engine['log'], topic: string, found: Set<string>): Promise<void> {
  for (const bounds of await log.bounds(topic)) {
    if (bounds.start >= bounds.end) continue
    for await (const run of log.read(bounds, bounds.start, { until: bounds.end })) {
      for (const { key, value } of run.records) {
        const profile = value && parseLink(value)
        const identity = key?.toString()
        if (!profile || identity === undefined || !(found.has(identity) || found.has(profile))) continue
        for (const it of [identity, profile]) if (found.size < LINKED_MAX) found.add(it)
      }
    }
  }
}
