/** An application that runs on the embedded engine with its edge, for tests of the HTTP API. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { systemClock } from '../../processors/app/system-clock.ts'
import { type Security, securityFrom } from '../../processors/edge/auth/security.ts'
import { Edge, type EdgeOptions } from '../../processors/edge/edge.ts'
import { createServer } from '../../processors/edge/server.ts'
import { openEmbedded } from '../../processors/engine/embedded/engine.ts'
import type { Engine } from '../../processors/engine/ports.ts'
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { consoleDir } from '../../processors/host/console.ts'
import { startWorker, type Worker } from '../../processors/host/start.ts'
import { silentLogger } from '../../processors/runtime/telemetry.ts'
import { classifier } from './models.ts'

export const ORGANIZATION = '53A16ACB5CC1D3760A495C99@AdobeOrg'
export const DATASTREAM = 'a7c1f0de-edge'

/** Features that every kind of question can move, one model that is the sum of three of them, and a shadow. */
const APPLICATION = `
rtml: 1
name: shop
partitions: 2
sources:
  web: { mapping: websdk }
  orders: { mapping: shopify, secretEnv: SHOPIFY_SECRET }
  plain:
    mapping:
      mapping: plain
      fields: { _id: id, timestamp: time, eventType: type, identityMap.ECID: visitor }
identity: { priority: [Email, ECID] }
edge:
  organization: ${ORGANIZATION}
  datastreams: { ${DATASTREAM}: web }
  origins: ['https://shop.example']
  deadline: 5s
features:
  views: { kind: count, window: 1h, where: 'eventType == "commerce.productViews"' }
  events: { kind: count, window: 24h }
  spent: { kind: sum, value: commerce.order.priceTotal }
  page: { kind: last, value: web.webPageDetails.name, encode: { vocabulary: [home, cart, checkout] }, default: home }
models:
  propensity:
    file: propensity.onnx
    version: '7'
    inputs: [views, events, spent, page]
    service: buy
    fallback: { prior: 0.25 }
    deadline: 5s
  watcher: { file: propensity.onnx, version: '8', inputs: [events, views, spent, page], service: buy, role: shadow, deadline: 5s }
`

export interface Fixture extends AsyncDisposable {
  readonly server: FastifyInstance
  readonly edge: Edge
  readonly worker: Worker
  readonly engine: Engine
  /** Another server over the same edge. */
  serve(security: Security): Promise<FastifyInstance>
}

export interface FixtureOptions extends Partial<Pick<EdgeOptions, 'decisions' | 'region' | 'intake'>> {
  /** Wraps the engine that the edge works with: outages. */
  readonly engine?: (engine: Engine) => Engine
  readonly application?: (text: string) => string
}

export const SHOPIFY_SECRET = 'shpss_test'

export async function fixture(options: FixtureOptions = {}): Promise<Fixture> {
  await using cleanUp = new AsyncDisposableStack()
  const dir = await mkdtemp(join(tmpdir(), 'rtml-edge-'))
  cleanUp.defer(() => rm(dir, { recursive: true, force: true }))
  const file = join(dir, 'rtml.yaml')
  await writeFile(file, options.application?.(APPLICATION) ?? APPLICATION)
  await writeFile(join(dir, 'propensity.onnx'), classifier())
  const env = { SHOPIFY_SECRET }
  const engine = cleanUp.use(await openEmbedded({ dir: join(dir, 'data'), clock: systemClock, upkeep: 'off' }))
  const worker = cleanUp.use(
    await startWorker({ opened: openApplicationFile(file, env), env, logger: silentLogger, engine }),
  )
  const running = await worker.started
  const seen = options.engine?.(engine) ?? engine
  const edge = cleanUp.use(await Edge.open({ ...options, running: { ...running, engine: seen }, env }))
  const servers = cleanUp.use(new AsyncDisposableStack())
  const serve = async (security: Security) => {
    const server = await createServer(
      {
        health: () => worker.health(),
        metrics: () => worker.metrics.expose(),
        metricsType: worker.metrics.contentType,
        overview: () => ({
          app: 'shop',
          engine: 'embedded',
          topics: [],
          stages: [],
          counts: {},
          latencyMs: { p50: null, p99: null },
        }),
        figures: worker.metrics,
        consoleDir,
        clock: systemClock,
        edge: () => edge,
      },
      { security, origins: running.plan.app.edge.origins, record: worker.metrics },
    )
    servers.defer(() => server.close())
    return server
  }
  const server = await serve(securityFrom({}, '127.0.0.1'))
  const rest = cleanUp.move()
  return { server, edge, worker, engine, serve, [Symbol.asyncDispose]: () => rest.disposeAsync() }
}

/** Waits until `find` gives something. @throws Error naming `what` when it doesn't in 15 s */
export async function eventually<T>(what: string, find: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (const until = Date.now() + 15_000; Date.now() < until; ) {
    const found = await find()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`not within 15 s: ${what}`)
}
