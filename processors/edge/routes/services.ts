import type { z } from 'zod'
import type { Edge } from '../edge.ts'
import { Problem } from '../problem.ts'
import { serviceAnswer, servicesAnswer } from '../schemas.ts'
import { answers, type RouteContext } from './route.ts'

type Service = z.output<typeof serviceAnswer>

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
    handler: async () => ({
      services: edge()
        .services()
        .map((id) => serviceOf(edge(), id)),
    }),
  })
  server.route<{ Params: { service: string } }>({
    method: 'GET',
    url: '/v1/services/:service',
    config: { scope: 'services:read' },
    schema: {
      tags: ['services'],
      summary: 'One service',
      params: { type: 'object', properties: { service: { type: 'string', maxLength: 64 } }, required: ['service'] },
      response: answers({ 200: serviceAnswer }, [404]),
    },
    handler: async ({ params }) => {
      const it = edge()
      if (it.services().includes(params.service)) return serviceOf(it, params.service)
      throw new Problem(
        'not-found',
        `There is no service ${JSON.stringify(params.service)}; GET /v1/services lists them.`,
      )
    },
  })
}

function serviceOf({ plan, scorer }: Edge, id: string): Service {
  const serving = scorer?.serving() ?? []
  return {
    id,
    type: 'both',
    deprecated: false,
    url: `/v1/predict/${id}`,
    featureSetVersion: plan.featureSet.version,
    models: serving
      .filter(({ service }) => service === id)
      .flatMap(({ model, version, role, key, binding, loaded }): Service['models'] => {
        const known = plan.models.find(({ name }) => name === model)
        return [
          {
            model,
            version,
            role,
            share: role === 'arm' ? (known?.share ?? null) : null,
            sha256: known?.sha256 ?? key.slice(key.indexOf('#') + 1),
            inputs: loaded.signature.inputs.map(({ name, type }) => ({ name, type })),
            outputs: binding.outputs.map(({ name }) => name),
            features: [...new Set(binding.inputs.flatMap(({ columns }) => columns.map(({ feature }) => feature)))],
            deadlineMs: known?.deadlineMs ?? 0,
            fallback: known?.fallback.kind ?? 'none',
          },
        ]
      }),
  }
}
