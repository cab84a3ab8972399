/** Stages, topics and what flows between them, as the log and this process know it. */
import type { z } from 'zod'
import { topicSpecs } from '../topology.ts'
import type { Edge } from './edge.ts'
import { flowOf } from './flow.ts'
import { stageState } from './overview.ts'
import type { topologyAnswer } from './schemas.ts'

export type Topology = z.output<typeof topologyAnswer>

/** @throws RtmlError LOG_DOWN */
export async function topologyOf({ plan, engine, service }: Edge): Promise<Topology> {
  const { app } = plan
  const roles = rolesOf(plan)
  const bounds = new Map(
    await Promise.all(topicSpecs(app).map(async ({ topic }) => [topic, await engine.log.bounds(topic)] as const)),
  )
  const status = service.status()
  return {
    app: app.name,
    engine: engine.name,
    stages: status.map((stage) => ({
      name: stage.stage,
      topic: stage.topic,
      state: stageState(stage),
      shards: [...stage.shards].map(([partition, { state, position }]) => {
        const end = bounds.get(stage.topic)?.[partition]?.end ?? null
        const lagEvents = end === null || position === undefined ? null : Math.max(0, end - position)
        return { partition, state, position: position ?? null, end, lagEvents }
      }),
    })),
    topics: [...bounds].map(([name, partitions]) => ({
      name,
      role: roles.get(name) ?? 'other',
      partitions: partitions.length,
      records: partitions.reduce((sum, { start, end }) => sum + (end - start), 0),
      appended: partitions.reduce((sum, { end }) => sum + end, 0),
    })),
    edges: flowOf(plan, status, new Set(bounds.keys())),
    down: [...engine.down()].map(([dependency, since]) => ({ dependency, since: new Date(since).toISOString() })),
  }
}

function rolesOf({ app, topics }: Edge['plan']): Map<string, string> {
  return new Map<string, string>([
    ...Object.keys(app.entities).map((name): [string, string] => [topics.entity(name), 'entity']),
    ...Object.keys(app.lookups).map((name): [string, string] => [topics.lookup(name), 'lookup']),
    ...Object.keys(app.sources).map((source): [string, string] => [topics.raw(source), 'raw']),
    [topics.events, 'events'],
    [topics.scores, 'scores'],
    [topics.segments, 'segments'],
    [topics.decisions, 'decisions'],
    [topics.samples, 'samples'],
    [topics.examples, 'examples'],
    [topics.deadRaw, 'dead letters'],
    [topics.deadXdm, 'dead letters'],
    [topics.audit, 'audit'],
    [topics.alerts, 'alerts'],
    [topics.models, 'models'],
    [topics.control, 'control'],
    [topics.snapshots, 'snapshots'],
  ])
}
