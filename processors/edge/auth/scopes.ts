/** What a caller may be allowed to do. A route names one; a route without one doesn't start. */
export const SCOPES = {
  collect: 'send events: /collect and /ee/…/collect',
  interact: 'send an event and get decisions: /ee/…/interact',
  predict: 'ask for scores',
  'services:read': 'list services and models',
  'models:write': 'push models, promote, roll back, switch services off and on',
  'profiles:read': 'read profiles, why a score is what it is, and exports',
  'profiles:erase': 'forget a person',
  'topology:read': 'figures of topics, stages and sources',
  'features:read': 'read feature definitions and how their values are distributed',
  'sources:try': 'try mappings out, with the newest raw record too',
  'dead-letters:read': 'read dead letters, original bytes included',
  'dead-letters:write': 'replay dead letters, repaired or as they were',
  'rules:read': 'read segments and decisions, and try them on a profile or on the log',
  'rules:write': 'change segments and decisions while the application runs',
  'audit:read': 'read who changed what',
  'metrics:read': 'Prometheus metrics',
} as const

export type Scope = keyof typeof SCOPES

export const isScope = (text: string): text is Scope => Object.hasOwn(SCOPES, text)

/** `public`: what holds no data (health, the console's files). `anybody`: says only what the caller brought along; limits hold. */
export type RouteScope = Scope | 'public' | 'anybody'

export interface Principal {
  /** For logs and rate limits: never the credential. */
  readonly id: string
  readonly scopes: ReadonlySet<Scope>
  /** Requests a second; absent: the default. */
  readonly rate?: number
}
