import type { FastifyInstance } from 'fastify'
import type { Health } from '../../runtime/service.ts'
import type { ServerSources } from '../server.ts'

/** Health for probes, metrics, and a worker's figures. Not part of the API document. */
export function operationRoutes(server: FastifyInstance, sources: ServerSources): void {
  const hidden = { hide: true } as object
  const probe = (url: string, isGood: (health: Health) => boolean) =>
    server.get(url, { config: { scope: 'public' }, schema: hidden }, async (request, reply) => {
      const health = sources.health()
      const good = isGood(health)
      // Reasons name hosts and stages: for those who may look at the topology.
      const reasons = request.principal.scopes.has('topology:read') ? { reasons: health.reasons } : {}
      return reply.code(good ? 200 : 503).send({ status: good ? 'ok' : 'failing', ...reasons })
    })
  probe('/healthz', ({ isLive }) => isLive)
  probe('/readyz', ({ isReady }) => isReady)
  server.get('/metrics', { config: { scope: 'metrics:read' }, schema: hidden }, async (_request, reply) =>
    reply.type(sources.metricsType).send(await sources.metrics()),
  )
  server.get('/v1/overview', { config: { scope: 'topology:read' }, schema: hidden }, async () => sources.overview())
}
