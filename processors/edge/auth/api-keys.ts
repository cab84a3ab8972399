import { createHash, randomBytes } from 'node:crypto'
import { RtmlError } from '../../app/errors.ts'
import { isScope, type Principal, SCOPES, type Scope } from './scopes.ts'

const PREFIX = 'rtml_'
const SECRET_BYTES = 32

export interface NewApiKey {
  /** Shown once. 256 random bits, so a plain hash is enough at rest: there is nothing to guess. */
  readonly key: string
  /** The line for RTML_API_KEYS or its file. */
  readonly line: string
}

/** @param name letters, digits, . _ - : stands in logs and limits */
export function newApiKey(name: string, scopes: readonly Scope[]): NewApiKey {
  const key = PREFIX + randomBytes(SECRET_BYTES).toString('base64url')
  return { key, line: `${name} sha256:${hashOf(key)} ${scopes.join(',')}` }
}

export const isApiKey = (text: string): boolean => text.startsWith(PREFIX) && text.length < 128

/** Keys by hash. Looking up a hash tells nothing about other keys by its timing. */
export class ApiKeys {
  readonly #byHash: ReadonlyMap<string, Principal>

  constructor(byHash: ReadonlyMap<string, Principal>) {
    this.#byHash = byHash
  }

  get size(): number {
    return this.#byHash.size
  }

  find(key: string): Principal | undefined {
    return this.#byHash.get(hashOf(key))
  }
}

const hashOf = (key: string): string => createHash('sha256').update(key).digest('hex')

const LINE = /^([A-Za-z0-9._-]{1,64})\s+sha256:([0-9a-f]{64})\s+([a-z:,*-]+)(?:\s+rate=(\d{1,6}))?$/

/**
 * Reads lines `<name> sha256:<hex of the key> <scope,scope,…|*> [rate=<requests a second>]`; blank lines and lines that
 * begin with # say nothing. Also separated by ; for an environment variable.
 * @throws RtmlError CONFIG naming the line, never its content
 */
export function parseApiKeys(text: string, place: string): ApiKeys {
  const keys = new Map<string, Principal>()
  text.split(/[\n;]/).forEach((raw, index) => {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) return
    const where = `${place}:${index + 1}`
    const [, name, hash, list, rate] = LINE.exec(line) ?? []
    if (!name || !hash || !list) {
      const message = 'not a key line. Write: name sha256:<64 hex digits> scope,scope. Make one with: rtml keys new'
      throw new RtmlError('CONFIG', message, { place: where })
    }
    if (keys.has(hash)) throw new RtmlError('CONFIG', 'the key of this line stands above already.', { place: where })
    keys.set(hash, { id: `key:${name}`, scopes: parseScopes(list, where), ...(rate ? { rate: Number(rate) } : {}) })
  })
  return new ApiKeys(keys)
}

/** @throws RtmlError CONFIG */
export function parseScopes(list: string, place: string): ReadonlySet<Scope> {
  const names = list.split(',').map((it) => it.trim())
  if (names.includes('*')) return new Set(Object.keys(SCOPES) as Scope[])
  const unknown = names.find((name) => !isScope(name))
  if (unknown !== undefined) {
    const message = `there is no scope ${JSON.stringify(unknown)}; there are ${Object.keys(SCOPES).join(', ')}, and * for all.`
    throw new RtmlError('CONFIG', message, { place })
  }
  return new Set(names as Scope[])
}
