import type { z } from 'zod'
import type { Routing } from '../../gallery/index.ts'
import { championOf, currentOf, type GalleryService, type Role, shareOf } from '../../gallery/index.ts'
import type { ServingModel } from '../../scorer/index.ts'
import type { Edge } from '../edge.ts'
import { Problem } from '../problem.ts'
import { type serviceAnswer, serviceDetail, servicesAnswer } from '../schemas-models.ts'
import { answers, type RouteContext } from './route.ts'

type Service = z.output<typeof serviceAnswer>
type Detail = z.output<typeof serviceDetail>

const MAX_LISTED = 100
export const SERVICE_PARAMS = {
  type: 'object',
  properties: { service: { type: 'string', maxLength: 64 } },
  required: ['service'],
}

export function serviceRoutes({ server, edge }: RouteContext): void {
  server.route({
    method: 'GET',
    url: '/v1/services',
    config: { scope: 'services:read' },
    schema: {
      tags: ['services'],
      summary: 'The service gallery: what can be asked for predictions, and the models behind it',
      response: answers({ 200: servicesAnswer }),
    },
    handler: async () => ({ services: namesOf(edge()).map((id) => serviceOf(edge(), id)) }),
  })
  server.route<{ Params: { service: string } }>({
    method: 'GET',
    url: '/v1/services/:service',
    config: { scope: 'services:read' },
    schema: {
      tags: ['services'],
      summary: 'One service: who serves, its versions, and every change with who, when and why',
      params: SERVICE_PARAMS,
      response: answers({ 200: serviceDetail }, [404]),
    },
    handler: async ({ params }) => {
      const it = edge()
      if (namesOf(it).includes(params.service)) return detailOf(it, params.service)
      throw unknownService(params.service)
    },
  })
}

export const unknownService = (service: string): Problem =>
  new Problem('not-found', `There is no service ${JSON.stringify(service)}; GET /v1/services lists them.`)

/** Services of the gallery, or of what serves where no gallery is followed. */
const namesOf = ({ registry, scorer }: Edge): string[] =>
  registry
    ? registry.gallery.services().flatMap((it) => (currentOf(it).action === 'retire' ? [] : [it.name]))
    : [...new Set(scorer.serving().map(({ service }) => service))]

function serviceOf(edge: Edge, id: string): Service {
  const { plan, scorer, models, registry } = edge
  const serving = scorer.serving().filter(({ service }) => service === id)
  const service = registry?.gallery.service(id)
  const current = service && currentOf(service)
  const champion = current && championOf(current)
  const version = champion && registry?.gallery.version(champion.model, champion.version)
  const state = models?.services().find((it) => it.service === id)
  return {
    id,
    type: version?.manifest.deploy ?? serving[0]?.definition.deploy ?? 'both',
    deprecated: current?.disabled ?? false,
    url: `/v1/predict/${id}`,
    featureSetVersion: plan.featureSet.version,
    created: service?.revisions[0]?.at ?? null,
    updated: current?.at ?? null,
    revision: current?.revision ?? 0,
    serving: state ? (state.serving ?? null) : 0,
    roles: current ? current.roles.map(roleOf) : serving.map((it) => roleOf(it.definition)),
    models: serving.map(modelOf),
    problems: (models?.refused() ?? [])
      .filter((it) => it.service === id)
      .map(({ model, version, reason }) => `${model}@${version}: ${reason}`),
  }
}

function detailOf(edge: Edge, id: string): Detail {
  const { registry } = edge
  const service = registry?.gallery.service(id)
  const listed = service && registry ? { ...listsOf(registry, service) } : { blocked: [], versions: [], history: [] }
  return { ...serviceOf(edge, id), ...listed }
}

function listsOf(
  { gallery }: NonNullable<Edge['registry']>,
  service: GalleryService,
): Pick<Detail, 'blocked' | 'versions' | 'history'> {
  const current = currentOf(service)
  return {
    blocked: [...current.blocked],
    versions: gallery
      .versions(service.name)
      .slice(-MAX_LISTED)
      .reverse()
      .map((it) => ({
        model: it.model,
        version: it.version,
        origin: it.origin,
        sha256: it.sha256,
        sizeBytes: it.sizeBytes,
        kept: it.onnx.at !== 'dropped',
        share: shareOf(current, it),
        metrics: it.metrics,
        live: gallery.metrics(it.model, it.version)?.metrics ?? null,
        provenance: it.provenance,
        at: it.at,
        by: it.by,
        why: it.why,
      })),
    history: service.revisions.slice(-MAX_LISTED).reverse().map(routingOf),
  }
}

export function routingOf(routing: Routing): Detail['history'][number] {
  const { revision, action, roles, disabled, blocked, at, by, why, evidence } = routing
  return { revision, action, roles: roles.map(roleOf), disabled, blocked: [...blocked], at, by, why, evidence }
}

type Named = Pick<Role, 'version' | 'role' | 'share'> & ({ readonly model: string } | { readonly name: string })

const roleOf = (it: Named): Detail['roles'][number] => ({
  model: 'model' in it ? it.model : it.name,
  version: it.version,
  role: it.role,
  share: it.role === 'arm' ? it.share : null,
})

function modelOf({ model, version, role, definition, binding, loaded }: ServingModel): Service['models'][number] {
  return {
    model,
    version,
    role,
    share: role === 'arm' ? definition.share : null,
    sha256: definition.sha256,
    inputs: loaded.signature.inputs.map(({ name, type }) => ({ name, type })),
    outputs: binding.outputs.map(({ name }) => name),
    features: [...new Set(binding.inputs.flatMap(({ columns }) => columns.map(({ feature }) => feature)))],
    deadlineMs: definition.deadlineMs,
    fallback: definition.fallback.kind,
    deploy: definition.deploy,
  }
}
