import { systemClock } from '../app/system-clock.ts'
import { retry } from '../runtime/retry.ts'
import type { Health } from '../runtime/service.ts'
import type { Logger, Metrics } from '../runtime/telemetry.ts'
import type { RunningApplication } from '../topology.ts'
import { securityFrom } from './auth/security.ts'
import { Edge } from './edge.ts'
import type { Figures } from './live.ts'
import { createServer, type Overview } from './server.ts'
import type { Decisions } from './types.ts'

export interface ServeOptions {
  readonly worker: {
    health(): Health
    readonly started: Promise<RunningApplication>
    readonly metrics: Metrics & Figures & { expose(): Promise<string>; readonly contentType: string }
  }
  readonly overview: () => Overview
  readonly consoleDir: () => Promise<string>
  readonly origins: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly logger: Logger
  readonly host: string
  readonly port: number
  /** Another free port instead of a failure when the wanted one is taken. */
  readonly anyPort?: boolean
  readonly decisions?: Decisions
  /** `false`: health and metrics only. Default: the API too. */
  readonly api?: boolean
}

export interface Served extends AsyncDisposable {
  readonly address: string
  /** Resolves when the API answers; with undefined where there is none. @throws what made it fail */
  readonly edge: Promise<Edge | undefined>
  /** Settles with the error when the API can't open: a setting that isn't valid. */
  readonly failed: Promise<unknown>
}

/**
 * Serves a worker over HTTP: at once health and metrics, and the API as soon as the application has started.
 * @throws RtmlError CONFIG when the address can be reached from outside and nothing guards it
 */
export async function serve(options: ServeOptions): Promise<Served> {
  const { worker, env, host, port, logger } = options
  const security = securityFrom(env, host)
  const stop = new AbortController()
  const failed = Promise.withResolvers<unknown>()
  let opened: Edge | undefined
  const open = (running: RunningApplication) =>
    Edge.open({
      running,
      env,
      region: env.RTML_REGION,
      ...(options.decisions ? { decisions: options.decisions } : {}),
    })
  const isEdge = options.api ?? true
  const edge = worker.started.then(async (running) => {
    if (!isEdge) return undefined
    opened = await retry(running.context, stop.signal, () => open(running))
    return opened
  })
  edge.catch((error: unknown) => {
    if (!stop.signal.aborted) failed.resolve(error)
  })
  const server = await createServer(
    {
      health: () => worker.health(),
      metrics: () => worker.metrics.expose(),
      metricsType: worker.metrics.contentType,
      overview: options.overview,
      figures: worker.metrics,
      consoleDir: options.consoleDir,
      clock: systemClock,
      edge: () => opened,
      isEdge,
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
    failed: failed.promise,
    // First no new requests, then what they left for the log.
    async [Symbol.asyncDispose]() {
      stop.abort()
      await server.close()
      await opened?.[Symbol.asyncDispose]()
    },
  }
}
