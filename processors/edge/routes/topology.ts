import type { z } from 'zod'
import { topicSpecs } from '../../topology.ts'
import type { Edge } from '../edge.ts'
import { stageState } from '../overview.ts'
import { topologyAnswer } from '../schemas.ts'
import { answers, type RouteContext } from './route.ts'

export function topologyRoutes({ server, edge }: RouteContext): void {
  server.route({
    method: 'GET',
    url: '/v1/topology',
    config: { scope: 'topology:read' },
    schema: {
      tags: ['operations'],
      summary: 'Stages with their shards and lag, topics with their sizes, dependencies that are away',
      response: answers({ 200: topologyAnswer }),
    },
    handler: () => topologyOf(edge()),
  })
}

async function topologyOf({ plan, engine, service }: Edge): Promise<z.output<typeof topologyAnswer>> {
  const { app, topics } = plan
  const roles = new Map<string, string>([
    ...Object.keys(app.sources).map((source): [string, string] => [topics.raw(source), 'raw']),
    [topics.events, 'events'],
    [topics.scores, 'scores'],
    [topics.samples, 'samples'],
    [topics.examples, 'examples'],
    [topics.deadRaw, 'dead letters'],
    [topics.deadXdm, 'dead letters'],
    [topics.audit, 'audit'],
    [topics.alerts, 'alerts'],
    [topics.snapshots, 'snapshots'],
  ])
  const bounds = new Map(
    await Promise.all(topicSpecs(app).map(async ({ topic }) => [topic, await engine.log.bounds(topic)] as const)),
  )
  return {
    app: app.name,
    engine: engine.name,
    stages: service.status().map((stage) => ({
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
      role: roles.get(name) ?? 'entity or lookup',
      partitions: partitions.length,
      records: partitions.reduce((sum, { start, end }) => sum + (end - start), 0),
    })),
    down: [...engine.down()].map(([dependency, since]) => ({ dependency, since: new Date(since).toISOString() })),
  }
}
