import { readFile } from 'node:fs/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Health } from '../../runtime/service.ts'
import type { ServerSources } from '../server.ts'

const TICK_MS = 1_000
const MAX_STREAMS = 32

/** Health for probes, metrics, and the local page. Not part of the API document. */
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
  const looking = { config: { scope: 'topology:read' as const }, schema: hidden }
  server.get('/v1/overview', looking, async () => sources.overview())
  server.get('/', looking, async (_request, reply) =>
    reply
      .type('text/html; charset=utf-8')
      .header(
        'content-security-policy',
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; frame-ancestors 'none'",
      )
      .send(await readFile(sources.pageFile)),
  )
  const streams = new Set<FastifyReply>()
  server.addHook('preClose', async () => {
    for (const { raw } of streams) raw.end()
  })
  server.get('/v1/overview/stream', looking, (request, reply) => stream(sources, streams, request, reply))
}

function stream(
  sources: ServerSources,
  streams: Set<FastifyReply>,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  if (streams.size >= MAX_STREAMS) {
    void reply.code(503).header('retry-after', '10').send({ status: 'busy' })
    return
  }
  streams.add(reply)
  reply.hijack()
  reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  const send = () => reply.raw.write(`data: ${JSON.stringify(sources.overview())}\n\n`)
  send()
  const timer = setInterval(send, TICK_MS)
  request.raw.on('close', () => {
    clearInterval(timer)
    streams.delete(reply)
  })
}
