import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../problem.ts'
import { isApiKey } from './api-keys.ts'
import { type Principal, type RouteScope, SCOPES, type Scope } from './scopes.ts'
import type { Security } from './security.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a caller needs for this route. */
    scope?: RouteScope
    /** The route checks its callers by their signature (webhooks): see routes/collect.ts. */
    isSigned?: (request: FastifyRequest) => boolean
  }
  interface FastifyRequest {
    /** Who calls: with a key or token, or nobody in particular. */
    principal: Principal
  }
}

const ANONYMOUS = 'anonymous'
export const isAnonymous = ({ id }: Principal): boolean => id === ANONYMOUS

/** Authentication first (limits count by who calls), authorisation after the limits. Denies by default. */
export function installAuthentication(server: FastifyInstance, security: Security): void {
  const everything = new Set(Object.keys(SCOPES) as Scope[])
  const nobody: Principal = { id: ANONYMOUS, scopes: security.mode === 'open' ? everything : security.anonymous }
  server.decorateRequest('principal')
  server.addHook('onRoute', ({ method, url, config }) => {
    // A route that forgot its scope would be open to everybody: it never starts.
    if (config?.scope === undefined && method !== 'OPTIONS') throw new Error(`${method} ${url} names no scope`)
  })
  server.addHook('onRequest', async (request) => {
    request.principal = (await principalOf(request, security)) ?? nobody
  })
}

/** Hook of the routes, to be added after the rate limits. */
export function authorize(security: Security, isLocal: (request: FastifyRequest) => boolean) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const { scope, isSigned } = request.routeOptions.config
    if (request.is404 || scope === 'public') return
    if (scope === undefined) throw new Problem('forbidden', 'This route is not for callers.')
    if (security.mode === 'open') {
      // Another web site open in the same browser could reach a loopback address too.
      if (!isLocal(request)) throw new Problem('forbidden', 'Without authentication only this machine may call.')
      return
    }
    if (scope === 'anybody') return
    if (request.principal.scopes.has(scope) || security.anonymous.has(scope) || isSigned?.(request)) return
    if (isAnonymous(request.principal)) {
      void reply.header('www-authenticate', `Bearer realm="rtml", scope="${scope}"`)
      throw new Problem('unauthorized', `Send a key or token with the scope ${scope}: Authorization: Bearer …`)
    }
    throw new Problem('forbidden', `These credentials don't have the scope ${scope}.`)
  }
}

async function principalOf(request: FastifyRequest, { keys, jwt }: Security): Promise<Principal | undefined> {
  const credential = credentialOf(request)
  if (credential === undefined) return undefined
  return isApiKey(credential) ? keys.find(credential) : await jwt?.(credential)
}

function credentialOf({ headers }: FastifyRequest): string | undefined {
  const { authorization, 'x-api-key': key } = headers
  if (authorization !== undefined) return /^Bearer +([^\s]+)$/i.exec(authorization)?.[1]
  return typeof key === 'string' && key !== '' ? key : undefined
}
