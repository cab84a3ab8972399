/** Changes of who serves: the steps of `rtml models`, over HTTP. Each is a record on `models` and one in the audit log. */
import type { FastifyRequest } from 'fastify'
import type { z } from 'zod'
import { RtmlError } from '../../app/errors.ts'
import type { ModelManifest } from '../../app/schema.ts'
import type { Routing } from '../../gallery/index.ts'
import type { AuditAction } from '../../outputs/index.ts'
import {
  disableModel,
  enableModel,
  type Operations,
  promoteModel,
  pushModel,
  rollbackModel,
} from '../../runtime/gallery/operations.ts'
import { audited } from '../audit.ts'
import { isAnonymous } from '../auth/guard.ts'
import type { Edge } from '../edge.ts'
import { Problem } from '../problem.ts'
import { changedAnswer, promoteBody, pushedAnswer, pushQuery, rollbackBody, switchBody } from '../schemas-models.ts'
import { answers, inputOf, type RouteContext } from './route.ts'
import { routingOf, SERVICE_PARAMS, unknownService } from './services.ts'

type Params = { Params: { service: string } }
type Promote = z.output<typeof promoteBody>
type Rollback = z.output<typeof rollbackBody>
type Switch = z.output<typeof switchBody>
type Push = z.output<typeof pushQuery>

/** Larger files are pushed from the command line, by address. */
const MODEL_BYTES = 64 * 1_048_576

export function modelRoutes({ server, edge }: RouteContext): void {
  // In a scope of its own: no other route takes bytes.
  void server.register(async (scope) => installRoutes({ server: scope, edge }))
}

function installRoutes({ server, edge }: RouteContext): void {
  server.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  )
  const changing = (body: z.ZodType, summary: string) => ({
    config: { scope: 'models:write' as const },
    schema: {
      tags: ['services'],
      summary,
      params: SERVICE_PARAMS,
      body: inputOf(body),
      response: answers({ 200: changedAnswer }, [404, 409, 413, 415, 422]),
    },
  })
  server.route<Params & { Body: Promote }>({
    method: 'POST',
    url: '/v1/services/:service/promote',
    ...changing(promoteBody, 'Gives a version more profiles: the next step, a share, or all'),
    handler: (request) => {
      const { version, share, evidence } = request.body
      return change(edge(), request, 'service.promote', { version, share }, (operations, common) =>
        promoteModel(operations, { ...common, version, share, evidence }),
      )
    },
  })
  server.route<Params & { Body: Rollback }>({
    method: 'POST',
    url: '/v1/services/:service/rollback',
    ...changing(rollbackBody, 'Goes back to the former champion, in one record'),
    handler: (request) => {
      const { version, evidence } = request.body
      return change(edge(), request, 'service.rollback', { version }, (operations, common) =>
        rollbackModel(operations, { ...common, version, evidence }),
      )
    },
  })
  for (const [verb, action, work, summary] of [
    ['disable', 'service.disable', disableModel, 'Switches a service off, or takes a version out of it'],
    ['enable', 'service.enable', enableModel, 'Switches a service on again, or lets a version have a role again'],
  ] as const) {
    server.route<Params & { Body: Switch }>({
      method: 'POST',
      url: `/v1/services/:service/${verb}`,
      ...changing(switchBody, summary),
      handler: (request) => {
        const { version } = request.body
        return change(edge(), request, action, { version }, (operations, common) =>
          work(operations, { ...common, version }),
        )
      },
    })
  }
  server.route<Params & { Querystring: Push; Body: Buffer }>({
    method: 'POST',
    url: '/v1/services/:service/versions',
    bodyLimit: MODEL_BYTES,
    config: { scope: 'models:write' },
    schema: {
      tags: ['services'],
      summary: 'Puts a model version into the registry: the body is the ONNX file; checked against the features first',
      consumes: ['application/octet-stream'],
      params: SERVICE_PARAMS,
      querystring: inputOf(pushQuery),
      response: answers({ 200: pushedAnswer }, [404, 409, 413, 415, 422]),
    },
    handler: (request) => push(edge(), request),
  })
}

interface Common {
  readonly name: string
  readonly by: string
  readonly why: string | undefined
  readonly revision: number | undefined
}

type Change = FastifyRequest<Params & { Body: Switch }>

async function change(
  edge: Edge,
  request: Change | FastifyRequest<Params & { Body: Promote }> | FastifyRequest<Params & { Body: Rollback }>,
  action: AuditAction,
  detail: Readonly<Record<string, string | number | undefined>>,
  work: (operations: Operations, common: Common) => Promise<Routing>,
): Promise<z.output<typeof changedAnswer>> {
  const { service } = request.params
  const { model, why, revision } = request.body
  const given = Object.entries({ model, ...detail }).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, value]],
  )
  const about = { action, subject: service, reason: why, detail: Object.fromEntries(given) }
  return audited(edge, request, about, async (note) => {
    const operations = operationsOf(edge)
    await known(operations, service)
    const common = { name: model ?? service, by: actorOf(request), why, revision }
    checkModel(operations, service, common)
    const routing = await asProblem(() => work(operations, common))
    note({ revision: routing.revision })
    return { service, routing: routingOf(routing) }
  })
}

/** The model that was named must be one of the service in the address. @throws Problem */
function checkModel({ registry }: Operations, service: string, { name }: Common): void {
  if (name === service || registry.gallery.serviceOf(name) === service) return
  throw new Problem('unprocessable', `Service ${service} has no model ${JSON.stringify(name)}.`)
}

async function push(
  edge: Edge,
  request: FastifyRequest<Params & { Querystring: Push; Body: Buffer }>,
): Promise<z.output<typeof pushedAnswer>> {
  const { service } = request.params
  const { model, version, role, manifest, origin = 'push', why } = request.query
  const about = { action: 'model.push', subject: service, reason: why, detail: { role: role ?? 'default' } } as const
  return audited(edge, request, about, async (note) => {
    const { body } = request
    if (!Buffer.isBuffer(body) || body.length === 0) {
      throw new Problem('unsupported-media-type', 'The body is the ONNX file, as application/octet-stream.')
    }
    const operations = operationsOf(edge)
    const given = manifest === undefined ? undefined : parseManifest(manifest)
    const pushed = await asProblem(() =>
      pushModel(operations, {
        name: model ?? service,
        service,
        version,
        manifest: given,
        bytes: body,
        role,
        origin,
        by: actorOf(request),
        why,
      }),
    )
    const { version: published, routing } = pushed
    note({ version: `${published.model}@${published.version}`, ...(routing ? { revision: routing.revision } : {}) })
    return {
      service: published.service,
      model: published.model,
      version: published.version,
      sha256: published.sha256,
      routing: routing ? routingOf(routing) : null,
    }
  })
}

export function parseManifest(text: string): ModelManifest {
  try {
    return JSON.parse(text) as ModelManifest
  } catch {
    throw new Problem('unprocessable', 'The manifest is not JSON.')
  }
}

export function operationsOf({ registry, plan, scorer, clock }: Edge): Operations {
  if (!registry) throw new Problem('unavailable', 'This process does not follow the registry of models.')
  return {
    registry,
    expressions: plan.expressions,
    check: (model) => scorer.check(model),
    now: () => new Date(clock.now()).toISOString(),
  }
}

/** @throws Problem 404 */
async function known({ registry }: Operations, service: string): Promise<void> {
  await registry.catchUp()
  if (!registry.gallery.service(service)) throw unknownService(service)
}

export const actorOf = ({ principal }: FastifyRequest): string => (isAnonymous(principal) ? 'local' : principal.id)

/** What the registry refuses, in the words of HTTP. */
export async function asProblem<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof RtmlError)) throw error
    switch (error.code) {
      case 'MODEL_CONFLICT':
        throw new Problem('conflict', error.message)
      case 'BUNDLE':
      case 'GRAPH':
      case 'MODEL_ROUTING':
      case 'MODEL_LOAD':
      case 'MODEL_INPUT':
      case 'CONFIG':
        throw new Problem('unprocessable', error.message)
      default:
        throw error.isTransient ? new Problem('unavailable', 'The log does not answer.', { retryAfterS: 1 }) : error
    }
  }
}
