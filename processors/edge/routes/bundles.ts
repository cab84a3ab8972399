/** Bundles over HTTP: deploy one, and take a service away. */
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { deployBundle } from '../../runtime/gallery/bundles.ts'
import { audited } from '../audit.ts'
import type { Edge } from '../edge.ts'
import { Problem } from '../problem.ts'
import { changedAnswer } from '../schemas-models.ts'
import { actorOf, asProblem, operationsOf, parseManifest } from './models.ts'
import { answers, inputOf, type RouteContext } from './route.ts'
import { routingOf, SERVICE_PARAMS, unknownService } from './services.ts'

/** Larger bundles are named in the application file, or pushed by address. */
const BUNDLE_BYTES = 64 * 1_048_576
/** How long a deployment waits until this process serves it; it serves all the same, only later. */
const SERVING_MS = 10_000
const POLL_MS = 20

const query = z.strictObject({
  service: z.string().max(64).optional().meta({ description: 'default: the name of the graph' }),
  targets: z
    .string()
    .regex(/^(hub|edge)(,(hub|edge))?$/)
    .optional()
    .meta({ description: 'hub, edge or hub,edge: the stream, HTTP, or both; default: both' }),
  role: z.enum(['none', 'shadow', 'challenger', 'champion']).optional().meta({ description: 'default: champion' }),
  manifest: z.string().max(8_192).optional().meta({
    description: 'JSON with deadline, fallback, when… as in the application file; absent: as the version before',
  }),
  why: z.string().max(1_000).optional().meta({ description: 'kept in the history and in the audit log' }),
})
const deployed = z.object({
  service: z.string(),
  version: z.string(),
  id: z.string().meta({ description: 'SHA-256 of the bundle' }),
  tests: z.int().meta({ description: "rows of the bundle's tests, all equal" }),
  url: z.string(),
  serving: z.boolean().meta({ description: 'this process serves it now' }),
})

type Query = z.output<typeof query>

export function bundleRoutes(context: RouteContext): void {
  // In a scope of its own: no other route takes zip files.
  void context.server.register(async (server) => installRoutes({ ...context, server }))
}

function installRoutes({ server, edge }: RouteContext): void {
  server.addContentTypeParser('application/zip', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  server.route<{ Querystring: Query; Body: Buffer }>({
    method: 'POST',
    url: '/v1/bundles',
    bodyLimit: BUNDLE_BYTES,
    config: { scope: 'models:write' },
    schema: {
      tags: ['services'],
      summary: 'Deploys a bundle: its own tests are replayed here first; the same bundle again is the same version',
      consumes: ['application/zip'],
      querystring: inputOf(query),
      response: answers({ 200: deployed }, [409, 413, 415, 422]),
    },
    handler: (request) => deploy(edge(), request),
  })
  server.route<{ Params: { service: string } }>({
    method: 'DELETE',
    url: '/v1/services/:service',
    config: { scope: 'models:write' },
    schema: {
      tags: ['services'],
      summary: 'Takes a service away: nobody serves it, and it is no longer listed; its versions stay in the history',
      params: SERVICE_PARAMS,
      response: answers({ 200: changedAnswer }, [404, 409]),
    },
    handler: (request) => retire(edge(), request),
  })
}

async function deploy(
  edge: Edge,
  request: FastifyRequest<{ Querystring: Query; Body: Buffer }>,
): Promise<z.output<typeof deployed>> {
  const { service, targets, role, manifest, why } = request.query
  const about = {
    action: 'model.push',
    subject: service ?? 'bundle',
    reason: why,
    detail: { targets: targets ?? 'both' },
  } as const
  return audited(edge, request, about, async (note) => {
    const { body } = request
    if (!Buffer.isBuffer(body) || body.length === 0)
      throw new Problem('unsupported-media-type', 'The body is the bundle, as application/zip.')
    const operations = operationsOf(edge)
    const { version, rows } = await asProblem(() =>
      deployBundle(operations, {
        bytes: body,
        service,
        deploy: targetOf(targets),
        role,
        manifest: manifest === undefined ? undefined : parseManifest(manifest),
        by: actorOf(request),
        why,
      }),
    )
    note({ version: `${version.model}@${version.version}`, tests: rows })
    const isServing = () =>
      edge.scorer.serving().some((it) => it.model === version.model && it.version === version.version)
    return {
      service: version.service,
      version: version.version,
      id: version.sha256,
      tests: rows,
      url: `/v1/predict/${version.service}`,
      serving: await waitFor(isServing, edge),
    }
  })
}

function targetOf(targets: string | undefined): 'hub' | 'edge' | 'both' | undefined {
  if (targets === undefined || targets === 'hub' || targets === 'edge') return targets
  const [first, second] = targets.split(',')
  return first === second ? (first as 'hub' | 'edge') : 'both'
}

async function waitFor(isDone: () => boolean, { clock }: Edge): Promise<boolean> {
  const until = clock.now() + SERVING_MS
  while (!isDone()) {
    if (clock.now() > until) return false
    await clock.sleep(POLL_MS as never)
  }
  return true
}

async function retire(
  edge: Edge,
  request: FastifyRequest<{ Params: { service: string } }>,
): Promise<z.output<typeof changedAnswer>> {
  const { service } = request.params
  return audited(
    edge,
    request,
    { action: 'service.disable', subject: service, detail: { retired: true } },
    async () => {
      const { registry } = operationsOf(edge)
      await registry.catchUp()
      const known = registry.gallery.service(service)
      if (!known || isRetired(known)) throw unknownService(service)
      const routing = await asProblem(() =>
        registry.change({
          service,
          action: 'retire',
          by: actorOf(request),
          change: (it) => ({ roles: [], disabled: false, blocked: it.revisions.at(-1)?.blocked ?? [] }),
        }),
      )
      await waitFor(() => !edge.scorer.serving().some((it) => it.service === service), edge)
      return { service, routing: routingOf(routing) }
    },
  )
}

const isRetired = ({ revisions }: { readonly revisions: readonly { readonly action: string }[] }): boolean =>
  revisions.at(-1)?.action === 'retire'
