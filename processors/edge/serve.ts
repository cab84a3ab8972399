import type { Health } from '../runtime/service.ts'
import type { Logger, Metrics } from '../runtime/telemetry.ts'
import type { RunningApplication } from '../topology.ts'
import { securityFrom } from './auth/security.ts'
import { Edge } from './edge.ts'
import { createServer, type Overview } from './server.ts'
import type { Decisions } from './types.ts'

export interface ServeOptions {
  readonly worker: {
    health(): Health
    readonly started: Promise<RunningApplication>
    readonly metrics: Metrics & { expose(): Promise<string>; readonly contentType: string }
  }
  readonly overview: () => Overview
  readonly pageFile: string
  readonly origins: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly logger: Logger
  readonly host: string
  readonly port: number
  /** Another free port instead of a failure when the wanted one is taken. */
  readonly anyPort?: boolean
  readonly decisions?: Decisions
}

/**
 * Serves a worker over HTTP: at once health and metrics, and the API as soon as the application has started.
 * @throws RtmlError CONFIG when the address can be reached from outside and nothing guards it
 */
export async function serve(
  options: ServeOptions,
): Promise<AsyncDisposable & { address: string; edge: Promise<Edge> }> {
  const { worker, env, host, port, logger } = options
  const security = securityFrom(env, host)
  let opened: Edge | undefined
  const edge = worker.started.then(async (running) => {
    opened = await Edge.open({
      running,
      env,
      region: env.RTML_REGION,
      ...(options.decisions ? { decisions: options.decisions } : {}),
    })
    return opened
  })
  edge.catch((error: unknown) => logger.error({ error: String(error) }, 'the edge did not open'))
  const server = await createServer(
    {
      health: () => worker.health(),
      metrics: () => worker.metrics.expose(),
      metricsType: worker.metrics.contentType,
      overview: options.overview,
      pageFile: options.pageFile,
      edge: () => opened,
    },
    { security, origins: options.origins, logger, record: worker.metrics },
  )
  const listen = (at: number) => server.listen({ host, port: at })
  const address = await listen(port).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE' || !options.anyPort) throw error
    return listen(0)
  })
  return {
    address,
    edge,
    // First no new requests, then what they left for the log.
    async [Symbol.asyncDispose]() {
      await server.close()
      await opened?.[Symbol.asyncDispose]()
    },
  }
}
