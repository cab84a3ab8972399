/** The HTTP server: limits, authentication, routes, and the document that describes them. */
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import cors from '@fastify/cors'
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify'
import type { Clock } from '../app/units.ts'
import type { Health } from '../runtime/service.ts'
import { type Logger, type Metrics, silentLogger, silentMetrics } from '../runtime/telemetry.ts'
import { authorize, installAuthentication, isAnonymous } from './auth/guard.ts'
import { isLoopback, type Security, securityFrom } from './auth/security.ts'
import { installDecompression } from './body.ts'
import { Overloaded } from './coalesce.ts'
import type { Edge } from './edge.ts'
import type { Figures } from './live.ts'
import type { Overview } from './overview.ts'
import { Problem, problemOf } from './problem.ts'
import { auditRoutes } from './routes/audit.ts'
import { bundleRoutes } from './routes/bundles.ts'
import { collectRoutes } from './routes/collect.ts'
import { consoleRoutes } from './routes/console.ts'
import { deadLetterRoutes } from './routes/dead-letters.ts'
import { eraseRoutes } from './routes/erase.ts'
import { experienceEdgeRoutes } from './routes/experience-edge.ts'
import { featureRoutes } from './routes/features.ts'
import { learnerRoutes } from './routes/learners.ts'
import { liveRoutes } from './routes/live.ts'
import { modelRoutes } from './routes/models.ts'
import { operationRoutes } from './routes/operations.ts'
import { predictRoutes } from './routes/predict.ts'
import { profileRoutes } from './routes/profiles.ts'
import { noEdge, type RouteContext, starting } from './routes/route.ts'
import { ruleRoutes } from './routes/rules.ts'
import { serviceRoutes } from './routes/services.ts'
import { setConsentRoutes } from './routes/set-consent.ts'
import { sourceRoutes } from './routes/sources.ts'
import { topologyRoutes } from './routes/topology.ts'

export { type Overview, stageState } from './overview.ts'

/** What the server shows of a worker. */
export interface ServerSources {
  health(): Health
  metrics(): Promise<string>
  readonly metricsType: string
  overview(): Overview
  /** What live figures are made of. */
  readonly figures: Figures
  /** Folder of the built console. @throws Error when it isn't there and can't be built */
  consoleDir(): Promise<string>
  readonly clock: Clock
  /** Undefined while the application starts. */
  edge?(): Edge | undefined
  /** `false`: this process has no API, and never will. */
  readonly isEdge?: boolean
}

export interface ServerOptions {
  /** Default: none, for a loopback address. */
  readonly security?: Security
  /** Web origins that may call from a browser. */
  readonly origins?: readonly string[]
  readonly logger?: Logger
  /** Where answers are counted. */
  readonly record?: Metrics
}

const BODY_BYTES = 65_536
const HEADER_BYTES = 16_384
/** A request must have arrived by then, whatever its sender does. */
const REQUEST_MS = 10_000
const HEADERS_MS = 5_000
/** Longer than the idle time of the usual balancers, so that they close first. */
const KEEP_ALIVE_MS = 65_000
/** Requests under way; more are refused at once. */
const MAX_IN_FLIGHT = 1_024
const MAX_CONNECTIONS = 8_192

/**
 * `/healthz` answers 200 while the process works or waits for something that it names, `/readyz` while events flow; the
 * API answers 503 until the application has started. Every route denies by default: see auth/guard.ts.
 */
export async function createServer(sources: ServerSources, options: ServerOptions = {}): Promise<FastifyInstance> {
  const security = options.security ?? securityFrom({}, '127.0.0.1')
  const origins = new Set(options.origins ?? [])
  const logger = options.logger ?? silentLogger
  const server = newServer(security)
  server.server.maxConnections = MAX_CONNECTIONS
  server.setValidatorCompiler(({ schema }) => validatorOf(schema as object))
  server.setSerializerCompiler(() => (data) => JSON.stringify(data))
  server.setErrorHandler<FastifyError>((error, request, reply) => answerProblem(error, request, reply, logger))
  const known = knownRoutes(server)

  await server.register(cors, {
    origin: (origin, done) => done(null, origin !== undefined && origins.has(origin)),
    credentials: true,
    methods: ['GET', 'POST'],
    allowedHeaders: ['authorization', 'content-type', 'content-encoding', 'x-api-key', 'traceparent'],
    exposedHeaders: ['x-request-id', 'retry-after'],
    maxAge: 600,
  })
  installBounds(server, security)
  server.addHook('onRequest', async (request, reply) => {
    if (!METHODS.has(request.method)) refuseMethod(known(request.url), reply)
  })
  installAuthentication(server, security)
  await server.register(rateLimit, limitsOf(security))
  server.addHook(
    'preParsing',
    authorize(security, (request) => isLocal(request, origins)),
  )
  installDecompression(server)
  server.addContentTypeParser('text/plain', { parseAs: 'string' }, server.getDefaultJsonParser('error', 'error'))
  await server.register(swagger, { openapi: OPENAPI, hideUntagged: true })
  server.setNotFoundHandler({ preHandler: server.rateLimit() }, async (request, reply) => {
    refuseMethod(known(request.url), reply)
  })

  installMetrics(server, sources, options.record ?? silentMetrics)
  operationRoutes(server, sources)
  const context: RouteContext = {
    server,
    edge: () => sources.edge?.() ?? (sources.isEdge === false ? noEdge() : starting()),
  }
  predictRoutes(context)
  experienceEdgeRoutes(context)
  setConsentRoutes(context)
  collectRoutes(context)
  serviceRoutes(context)
  modelRoutes(context)
  bundleRoutes(context)
  profileRoutes(context)
  eraseRoutes(context)
  topologyRoutes(context)
  deadLetterRoutes(context)
  ruleRoutes(context)
  auditRoutes(context)
  learnerRoutes(context)
  sourceRoutes(context)
  featureRoutes(context)
  liveRoutes(context, sources)
  consoleRoutes(context, sources, security)
  server.get('/openapi.json', { config: { scope: 'public' }, schema: { hide: true } as object }, async () =>
    server.swagger(),
  )
  return server
}

const OPENAPI = {
  openapi: '3.1.0',
  info: {
    title: 'rtml edge',
    version: '1',
    description: 'Collection, predictions and decisions of an rtml application.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  components: {
    securitySchemes: {
      bearer: { type: 'http' as const, scheme: 'bearer', description: 'API key or JWT' },
      apiKey: { type: 'apiKey' as const, in: 'header' as const, name: 'x-api-key' },
    },
  },
  security: [{ bearer: [] }, { apiKey: [] }],
}

function newServer({ tls, trustedProxies }: Security): FastifyInstance {
  const http = { maxHeaderSize: HEADER_BYTES, headersTimeout: HEADERS_MS }
  const settings = {
    bodyLimit: BODY_BYTES,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle' as const,
    trustProxy: trustedProxies > 0 && ((_address: string, hop: number) => hop < trustedProxies),
    genReqId: () => randomUUID(),
    routerOptions: { maxParamLength: 600 },
    clientErrorHandler: answerClientError as never,
    frameworkErrors: ((error: FastifyError, request: FastifyRequest, reply: FastifyReply) =>
      answerProblem(error, request, reply, silentLogger)) as never,
  }
  if (tls) return fastify({ ...settings, https: { ...tls, ...http } } as FastifyServerOptions) as FastifyInstance
  return fastify({ ...settings, http } as FastifyServerOptions) as FastifyInstance
}

/** Others are refused before anything looks at them. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'])

/** @throws Problem: a wrong method, or a wrong address */
function refuseMethod(allowed: readonly string[], reply: FastifyReply): never {
  if (allowed.length === 0) throw new Problem('not-found', 'There is nothing here.')
  void reply.header('allow', allowed.join(', '))
  throw new Problem('method-not-allowed', `This address takes ${allowed.join(' and ')}.`)
}

function installBounds(server: FastifyInstance, { tls }: Security): void {
  let inFlight = 0
  server.addHook('onRequest', async (request, reply) => {
    inFlight++
    reply.raw.once('close', () => {
      inFlight--
    })
    void reply.headers({
      'x-request-id': request.id,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      ...(tls ? { 'strict-transport-security': 'max-age=31536000' } : {}),
    })
    if (inFlight > MAX_IN_FLIGHT && request.routeOptions.config.scope !== 'public') {
      throw new Problem('unavailable', 'Too many requests are under way.', { retryAfterS: 1 })
    }
  })
}

function installMetrics(server: FastifyInstance, sources: ServerSources, metrics: Metrics): void {
  server.addHook('onResponse', async (request, reply) => {
    // The pattern of the route, never the address: labels stay few.
    const route = request.is404 ? 'none' : (request.routeOptions.url ?? 'none')
    metrics.count('rtml_http_requests_total', [route, String(reply.statusCode)])
    metrics.observe('rtml_http_seconds', [route], reply.elapsedTime / 1_000)
    metrics.gauge('rtml_intake_bytes', [], sources.edge?.()?.intake.waitingBytes ?? 0)
  })
}

function limitsOf(security: Security) {
  return {
    timeWindow: 1_000,
    cache: 10_000,
    keyGenerator: (request: FastifyRequest) =>
      isAnonymous(request.principal) ? `address:${request.ip}` : request.principal.id,
    max: ({ principal }: FastifyRequest) =>
      isAnonymous(principal) ? security.ratePerAddress : (principal.rate ?? security.ratePerKey),
    // Probes must get through whoever floods; without authentication only this machine calls.
    allowList: ({ routeOptions }: FastifyRequest) =>
      security.mode === 'open' || routeOptions.config?.scope === 'public',
    errorResponseBuilder: () =>
      new Problem('too-many-requests', 'The limit of requests a second is reached.', { retryAfterS: 1 }),
  }
}

/** From this machine, and not from a foreign web page that this machine's browser shows. */
function isLocal({ ip, hostname, headers }: FastifyRequest, origins: ReadonlySet<string>): boolean {
  const bare = (host: string) => host.replace(/^\[|\]$/g, '')
  if (!isLoopback(bare(ip.replace(/^::ffff:/, ''))) || !isLoopback(bare(hostname))) return false
  const { origin } = headers
  if (origin === undefined || origins.has(origin)) return true
  return URL.canParse(origin) && isLoopback(bare(new URL(origin).hostname))
}

const ajv = new Ajv2020({ strict: false, allErrors: false, coerceTypes: false, useDefaults: false })
addFormats.default(ajv)

const validatorOf = (schema: object) => ajv.compile(schema)

function answerProblem(error: FastifyError, request: FastifyRequest, reply: FastifyReply, logger: Logger): void {
  const problem = read(error)
  if (problem.statusCode >= 500 && problem.problem !== 'unavailable') {
    const { message, stack } = error
    logger.error({ requestId: request.id, route: request.routeOptions?.url, error: message, stack }, 'request failed')
  }
  if (problem.retryAfterS !== undefined) void reply.header('retry-after', String(problem.retryAfterS))
  // Some errors meet the hooks' own error path: the body is JSON whatever was set before.
  void reply
    .code(problem.statusCode)
    .type('application/problem+json')
    .send(JSON.stringify(problem.body(request.id)))
}

function read(error: FastifyError): Problem {
  if (error instanceof Overloaded) return new Problem('unavailable', 'Too much is asked at once.', { retryAfterS: 1 })
  if (!error.validation) return problemOf(error)
  const faults = error.validation.map(({ instancePath, message }) =>
    `${error.validationContext}${instancePath.replaceAll('/', '.')}: ${message}`.slice(0, 300),
  )
  return new Problem('bad-request', 'Invalid request (report attached). Please check your input and try again.', {
    errors: [...new Set(faults)].slice(0, 20),
  })
}

/** What isn't even HTTP. */
function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const name =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? 'headers-too-large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? 'timeout'
        : 'bad-request'
  const problem = new Problem(name, 'The request could not be read.')
  const body = JSON.stringify(problem.body(''))
  const head = `HTTP/1.1 ${problem.statusCode} ${problem.statusCode === 431 ? 'Request Header Fields Too Large' : problem.statusCode === 408 ? 'Request Timeout' : 'Bad Request'}`
  socket.end(
    `${head}\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

/** Methods by address, so that a wrong method is told from a wrong address. */
function knownRoutes(server: FastifyInstance): (url: string) => string[] {
  const routes: { pattern: RegExp; methods: string[] }[] = []
  server.addHook('onRoute', ({ url, method }) => {
    if (url === '*' || method === 'HEAD' || method === 'OPTIONS') return
    const source = url.replace(/[.]/g, '\\.').replace(/:[A-Za-z]+/g, '[^/]+')
    routes.push({ pattern: new RegExp(`^${source}$`), methods: [method].flat() })
  })
  return (url) => {
    const path = url.split('?', 1)[0] ?? ''
    return [...new Set(routes.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods))]
  }
}
