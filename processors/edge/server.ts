import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fastify, { type FastifyInstance } from 'fastify'
import type { Health, StageStatus } from '../runtime/service.ts'

/** What the server shows of a worker. */
export interface ServerSources {
  health(): Health
  metrics(): Promise<string>
  readonly metricsType: string
  /** Figures of the page, once a second. */
  overview(): Overview
  readonly pageFile: string
}

export interface Overview {
  readonly app: string
  readonly engine: string
  readonly topics: readonly { readonly name: string; readonly events: number }[]
  readonly stages: readonly { readonly name: string; readonly state: string; readonly shards: number }[]
  readonly counts: Readonly<Record<string, number>>
  readonly latencyMs: { readonly p50: number | null; readonly p99: number | null }
  readonly scores: readonly {
    readonly profile: string
    readonly model: string
    readonly score: number
    readonly at: number
  }[]
}

const TICK_MS = 1_000
const MAX_STREAMS = 32

/**
 * Health, metrics and the local page. Listens where it is told; everything is read-only.
 * `/healthz` answers 200 while the process works or waits for something that it names; `/readyz` while events flow.
 */
export async function createServer(sources: ServerSources): Promise<FastifyInstance> {
  const server = fastify({ bodyLimit: 65_536, forceCloseConnections: true })
  const answer = (isGood: boolean, { reasons }: Health) => ({ status: isGood ? 'ok' : 'failing', reasons })
  server.get('/healthz', async (_request, reply) => {
    const health = sources.health()
    return reply.code(health.isLive ? 200 : 503).send(answer(health.isLive, health))
  })
  server.get('/readyz', async (_request, reply) => {
    const health = sources.health()
    return reply.code(health.isReady ? 200 : 503).send(answer(health.isReady, health))
  })
  server.get('/metrics', async (_request, reply) => reply.type(sources.metricsType).send(await sources.metrics()))
  server.get('/v1/overview', async () => sources.overview())
  server.get('/', async (_request, reply) => {
    const page = await readFile(sources.pageFile)
    return reply
      .type('text/html; charset=utf-8')
      .header(
        'content-security-policy',
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:",
      )
      .header('x-content-type-options', 'nosniff')
      .send(page)
  })
  let streams = 0
  server.get('/v1/overview/stream', (request, reply) => {
    if (streams >= MAX_STREAMS) {
      void reply.code(503).header('retry-after', '10').send({ status: 'busy' })
      return
    }
    streams++
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    const send = () => reply.raw.write(`data: ${JSON.stringify(sources.overview())}\n\n`)
    send()
    const timer = setInterval(send, TICK_MS)
    request.raw.on('close', () => {
      clearInterval(timer)
      streams--
    })
  })
  return server
}

/** Text of a stage's shards: the worst state wins. */
export function stageState({ shards }: StageStatus): string {
  const states = [...shards.values()].map(({ state }) => state)
  return states.find((state) => state !== 'running') ?? (states.length > 0 ? 'running' : 'waiting')
}

export const pageFile = (root: string): string => join(root, 'console', 'overview.html')
