/** Who may call what, and how often: read from the environment, because it belongs to a deployment. */
import { readFileSync } from 'node:fs'
import { RtmlError } from '../../app/errors.ts'
import { ApiKeys, parseApiKeys, parseScopes } from './api-keys.ts'
import { jwtVerifier, type VerifyJwt } from './jwt.ts'
import type { Scope } from './scopes.ts'

type Env = Readonly<Record<string, string | undefined>>

export interface Security {
  /** `open`: a loopback address and no authentication; everything is allowed to whoever is on this machine. */
  readonly mode: 'open' | 'guarded'
  readonly keys: ApiKeys
  readonly jwt: VerifyJwt | undefined
  /** What a caller without credentials may do. */
  readonly anonymous: ReadonlySet<Scope>
  /** Requests a second of one key, and of one address without a key. */
  readonly ratePerKey: number
  readonly ratePerAddress: number
  readonly tls: { readonly cert: Buffer; readonly key: Buffer } | undefined
  /** Number of proxies in front whose X-Forwarded-For is believed. */
  readonly trustedProxies: number
}

/** Every variable, for docs and messages. */
export const SECURITY_VARIABLES = {
  RTML_API_KEYS: 'API keys, one a line or separated by ;: name sha256:<hash> scopes',
  RTML_API_KEYS_FILE: 'file with the same lines',
  RTML_JWKS_URL: 'key set of the token issuer; with issuer and audience',
  RTML_JWT_ISSUER: 'issuer that a token must name',
  RTML_JWT_AUDIENCE: 'audience that a token must name',
  RTML_ANONYMOUS_SCOPES: 'scopes of callers without credentials, such as collect,interact',
  RTML_RATE_PER_KEY: 'requests a second of one key (default 2000)',
  RTML_RATE_PER_ADDRESS: 'requests a second of one address without a key (default 50)',
  RTML_TLS_CERT_FILE: 'certificate chain, PEM: with it the edge speaks HTTPS',
  RTML_TLS_KEY_FILE: 'private key of the certificate, PEM',
  RTML_TRUSTED_PROXIES: 'how many proxies stand in front (default 0)',
} as const

const DEFAULT_RATE_PER_KEY = 2_000
const DEFAULT_RATE_PER_ADDRESS = 50

/**
 * @param host address to listen on
 * @throws RtmlError CONFIG when a setting isn't valid, or when `host` can be reached from outside and nothing guards it
 */
export function securityFrom(env: Env, host: string, now: () => number = Date.now): Security {
  const keys = apiKeysFrom(env)
  const jwt = jwtFrom(env, now)
  const anonymous = env.RTML_ANONYMOUS_SCOPES
    ? parseScopes(env.RTML_ANONYMOUS_SCOPES, 'RTML_ANONYMOUS_SCOPES')
    : new Set<Scope>()
  const isGuarded = keys.size > 0 || jwt !== undefined || anonymous.size > 0
  if (!isGuarded && !isLoopback(host)) {
    const message =
      'others can reach this address, and nothing says who may do what. Set RTML_API_KEYS (make one: rtml keys new), or ' +
      'RTML_JWKS_URL, or RTML_ANONYMOUS_SCOPES for what everybody may do; or listen on 127.0.0.1.'
    throw new RtmlError('CONFIG', message, { place: `--host ${host}` })
  }
  return {
    mode: isGuarded ? 'guarded' : 'open',
    keys,
    jwt,
    anonymous,
    ratePerKey: whole(env, 'RTML_RATE_PER_KEY', DEFAULT_RATE_PER_KEY, 1),
    ratePerAddress: whole(env, 'RTML_RATE_PER_ADDRESS', DEFAULT_RATE_PER_ADDRESS, 1),
    tls: tlsFrom(env),
    trustedProxies: whole(env, 'RTML_TRUSTED_PROXIES', 0, 0),
  }
}

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

function apiKeysFrom(env: Env): ApiKeys {
  const file = env.RTML_API_KEYS_FILE
  if (file && env.RTML_API_KEYS) {
    throw new RtmlError('CONFIG', 'RTML_API_KEYS is set too. Use one of them.', { place: 'RTML_API_KEYS_FILE' })
  }
  if (file) return parseApiKeys(read(file, 'RTML_API_KEYS_FILE').toString('utf8'), file)
  return env.RTML_API_KEYS ? parseApiKeys(env.RTML_API_KEYS, 'RTML_API_KEYS') : new ApiKeys(new Map())
}

function jwtFrom(env: Env, now: () => number): VerifyJwt | undefined {
  const { RTML_JWKS_URL: jwksUrl, RTML_JWT_ISSUER: issuer, RTML_JWT_AUDIENCE: audience } = env
  if (!jwksUrl) return undefined
  if (!issuer || !audience) {
    const message =
      'a token of any issuer for any audience would be good. Set RTML_JWT_ISSUER and RTML_JWT_AUDIENCE too.'
    throw new RtmlError('CONFIG', message, { place: 'RTML_JWKS_URL' })
  }
  const isSafe = /^https:\/\//.test(jwksUrl) || /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])[:/]/.test(jwksUrl)
  if (!isSafe) {
    throw new RtmlError('CONFIG', 'keys that come over plain HTTP can be exchanged on the way. Use https.', {
      place: 'RTML_JWKS_URL',
    })
  }
  return jwtVerifier({ jwksUrl, issuer, audience }, now)
}

function tlsFrom(env: Env): Security['tls'] {
  const { RTML_TLS_CERT_FILE: cert, RTML_TLS_KEY_FILE: key } = env
  if (!cert && !key) return undefined
  if (!cert || !key) {
    const place = cert ? 'RTML_TLS_KEY_FILE' : 'RTML_TLS_CERT_FILE'
    throw new RtmlError('CONFIG', 'is missing: a certificate needs its key, and the key its certificate.', { place })
  }
  return { cert: read(cert, 'RTML_TLS_CERT_FILE'), key: read(key, 'RTML_TLS_KEY_FILE') }
}

function read(file: string, variable: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new RtmlError('CONFIG', `${file} can't be read (${code}).`, { place: variable, cause })
  }
}

function whole(env: Env, variable: string, absent: number, least: number): number {
  const text = env[variable]
  if (text === undefined || text === '') return absent
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new RtmlError('CONFIG', `${JSON.stringify(text)} is not a whole number ≥ ${least}.`, { place: variable })
}
