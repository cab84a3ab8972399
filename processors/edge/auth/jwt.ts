import { createHash } from 'node:crypto'
import { createRemoteJWKSet, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { isScope, type Principal, type Scope } from './scopes.ts'

export interface JwtSettings {
  /** Where the issuer publishes its keys. */
  readonly jwksUrl: string
  readonly issuer: string
  readonly audience: string
}

/** Asymmetric only: with a shared secret everybody who can check a token could make one. */
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']
const CLOCK_TOLERANCE_S = 30
const MAX_TOKEN_CHARS = 8_192
/** Checked tokens are remembered for a while: a signature costs about 100 µs. */
const MAX_REMEMBERED = 1_000
const REMEMBERED_MS = 60_000

export type VerifyJwt = (token: string) => Promise<Principal | undefined>

/**
 * Checks signature, issuer, audience and times of a token, and reads its scopes (`scope`, text or list; `scp`).
 * @param getKey keys other than those of `jwksUrl`, for tests
 * @returns undefined for a token that isn't valid; never why, and never the token in a message
 */
export function jwtVerifier(settings: JwtSettings, now: () => number, getKey?: JWTVerifyGetKey): VerifyJwt {
  const keys =
    getKey ?? createRemoteJWKSet(new URL(settings.jwksUrl), { timeoutDuration: 3_000, cooldownDuration: 30_000 })
  const remembered = new Map<string, { principal: Principal; until: number }>()
  return async (token) => {
    if (token.length > MAX_TOKEN_CHARS) return undefined
    const id = createHash('sha256').update(token).digest('base64')
    const known = remembered.get(id)
    if (known && known.until > now()) return known.principal
    remembered.delete(id)
    let payload: JWTPayload
    try {
      const checked = await jwtVerify(token, keys, {
        issuer: settings.issuer,
        audience: settings.audience,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_TOLERANCE_S,
        requiredClaims: ['exp', 'sub'],
        currentDate: new Date(now()),
      })
      payload = checked.payload
    } catch {
      return undefined
    }
    const principal = { id: `jwt:${String(payload.sub).slice(0, 128)}`, scopes: scopesOf(payload) }
    if (remembered.size >= MAX_REMEMBERED) remembered.delete(remembered.keys().next().value as string)
    remembered.set(id, { principal, until: Math.min(now() + REMEMBERED_MS, Number(payload.exp) * 1_000) })
    return principal
  }
}

function scopesOf({ scope, scp }: JWTPayload & { scope?: unknown; scp?: unknown }): ReadonlySet<Scope> {
  const listed = [scope, scp].flatMap((claim) =>
    typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim.map(String) : [],
  )
  return new Set(listed.filter(isScope))
}
