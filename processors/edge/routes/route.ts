/** What all routes share: their documented answers, and the edge behind them. */
import type { FastifyInstance } from 'fastify'
import type { z } from 'zod'
import type { Edge } from '../edge.ts'
import { Problem } from '../problem.ts'
import { jsonSchemaOf, problem } from '../schemas.ts'

export interface RouteContext {
  readonly server: FastifyInstance
  /** @throws Problem while the application starts */
  readonly edge: () => Edge
}

const PROBLEM = jsonSchemaOf(problem, 'output')

/** Problems that any route may answer with: credentials, limits, load. */
const ALWAYS = [400, 401, 403, 429, 431, 500, 503]

export const problemAnswer = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: PROBLEM } },
})

/** Documented answers: what a route gives, its own problems, and those that every route has. */
export function answers(
  success: Readonly<Record<number, z.ZodType | null>>,
  problems: readonly number[] = [],
): Record<number, object> {
  const documented: Record<number, object> = {}
  for (const [status, schema] of Object.entries(success)) {
    documented[Number(status)] =
      schema === null
        ? { description: 'No body', type: 'null' }
        : { description: 'Done', ...jsonSchemaOf(schema, 'output') }
  }
  for (const status of new Set([...ALWAYS, ...problems])) documented[status] = problemAnswer(`Problem ${status}`)
  return documented
}

export const inputOf = (schema: z.ZodType): Record<string, unknown> => jsonSchemaOf(schema, 'input')

export const noEdge = (): never => {
  throw new Problem('not-found', 'This process has no role edge: it serves health and metrics only.')
}

export const starting = (): never => {
  throw new Problem('unavailable', 'The application is starting; /readyz says what it waits for.', { retryAfterS: 1 })
}
