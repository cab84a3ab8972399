import { topologyAnswer } from '../schemas.ts'
import { topologyOf } from '../topology-view.ts'
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
