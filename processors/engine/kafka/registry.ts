/** The `Registry` port on a Confluent-compatible registry. */
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { COMPATIBILITY, SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry'
import { RtmlError } from '../../app/errors.ts'
import { type Clock, type EpochMs, epochMs, ms } from '../../app/units.ts'
import type { Registry } from '../ports.ts'
import type { RegistrySettings } from './config.ts'
import type { Health } from './health.ts'
import { tlsOptions } from './tls.ts'

/** How long "there is no such id" is believed: an id that a producer is just registering must not stay unknown. */
const UNKNOWN_MS = 5_000
/** Ids and registrations remembered. */
const MEMORY_MAX = 10_000

interface Unknown {
  readonly error: RtmlError
  readonly until: EpochMs
}

/** A schema as the registry has it. */
interface Found {
  readonly schema: string
  readonly schemaType?: string
  readonly references?: readonly unknown[]
}

type Middleware = NonNullable<ConstructorParameters<typeof SchemaRegistry>[0]['middlewares']>[number]

/** A registration asks for the subject's level, then registers, and maybe again. */
const REQUESTS_OF_A_CALL = 4

/** Of one registration: the subject's level becomes known by one, a conflict with another worker by one. */
const REGISTER_TRIES = 4

export class ConfluentRegistry implements Registry {
  readonly #settings: RegistrySettings
  readonly #clock: Clock
  readonly #health: Health
  readonly #client: Promise<SchemaRegistry>
  /** What the client was answered: it keeps only its own form, which has lost attributes such as logical types. */
  readonly #found = new Map<number, Found>()
  /** Compatibility level of subjects that have their own. */
  readonly #levels = new Map<string, string>()
  readonly #schemas = new Map<number, Promise<object>>()
  readonly #unknown = new Map<number, Unknown>()
  readonly #registered = new Map<string, number>()

  constructor(settings: RegistrySettings, clock: Clock, health: Health) {
    this.#settings = settings
    this.#clock = clock
    this.#health = health
    this.#client = this.#open()
    this.#client.catch(() => {})
  }

  async register(subject: string, schema: object): Promise<number> {
    const text = JSON.stringify(schema)
    const key = `${subject}\n${text}`
    const known = this.#registered.get(key)
    if (known !== undefined) return known
    const body = { type: SchemaType.AVRO as const, schema: text }
    const { id } = await this.#call(subject, async (client) => {
      let compatibility = COMPATIBILITY.BACKWARD
      for (let tries = 1; ; tries++) {
        try {
          return await client.register(body, { subject, compatibility })
        } catch (error) {
          if (tries === REGISTER_TRIES) throw error
          // The client insists on its own level; the operators' choice for the subject counts, be it stricter or looser.
          const level = this.#levels.get(subject)
          if (nameOf(error) === 'ConfluentSchemaRegistryCompatibilityError' && level !== undefined)
            compatibility = level as COMPATIBILITY
          // Workers that start together register the same schema: a registry may let one through and tell the others of
          // a conflict. An incompatible schema is refused again.
          else if (statusOf(error) !== 409) throw error
        }
      }
    })
    remember(this.#registered, key, id)
    remember(this.#schemas, id, Promise.resolve(schema))
    return id
  }

  async schema(id: number): Promise<object> {
    const unknown = this.#unknown.get(id)
    if (unknown && this.#clock.now() < unknown.until) throw unknown.error
    const known = this.#schemas.get(id)
    if (known) return known
    // Shared by all who ask meanwhile, and forgotten when it fails.
    const asked = this.#fetch(id)
    remember(this.#schemas, id, asked)
    asked.catch((error: unknown) => {
      this.#schemas.delete(id)
      if (!(error instanceof RtmlError) || error.code !== 'SCHEMA_ID') return
      remember(this.#unknown, id, { error, until: epochMs(this.#clock.now() + UNKNOWN_MS) })
    })
    return asked
  }

  /** @throws RtmlError REGISTRY_DOWN, CONFIG */
  async probe(): Promise<void> {
    const subject = 'rtml-probe'
    await this.#call(subject, (client) => client.getLatestSchemaId(subject)).catch((error: unknown) => {
      if (statusOf(error) !== 404) throw error
    })
  }

  async close(): Promise<void> {
    this.#schemas.clear()
  }

  async #fetch(id: number): Promise<object> {
    const parsed = await this.#call(`schema ${id}`, (client) => {
      // Its cache has no bound and would keep the answer from us; ours is in front of it.
      client.cache.clear()
      return client.getSchema(id)
    }).catch((error: unknown) => {
      if (error instanceof RtmlError) throw error
      throw unusable(id, error instanceof Error ? error.message : String(error), error)
    })
    const found = this.#found.get(id)
    this.#found.delete(id)
    if (!found) throw unusable(id, 'the registry answered without a schema')
    if (found.schemaType !== undefined && found.schemaType !== 'AVRO') {
      throw unusable(id, `it is of type ${found.schemaType}, not AVRO`)
    }
    const withReferences = found.references !== undefined && found.references.length > 0
    // Types of other subjects are resolved by the client only in its own form.
    if (withReferences && 'schema' in parsed && typeof parsed.schema === 'function') {
      return parsed.schema({ exportAttrs: true }) as object
    }
    const schema: unknown = JSON.parse(found.schema)
    return typeof schema === 'object' && schema !== null ? schema : { type: schema }
  }

  /** @throws RtmlError; the client's own error for what the registry says of a request */
  async #call<T>(place: string, use: (client: SchemaRegistry) => Promise<T>): Promise<T> {
    try {
      const value = await this.#inTime(use(await this.#client))
      this.#health.up('registry')
      return value
    } catch (error) {
      throw this.#classified(place, error)
    }
  }

  /** The HTTP client's own time-out doesn't see a connection that ends in the middle of an answer. */
  async #inTime<T>(asked: Promise<T>): Promise<T> {
    const limitMs = this.#settings.requestTimeoutMs * REQUESTS_OF_A_CALL
    const timer = new AbortController()
    const late = this.#clock.sleep(ms(limitMs), timer.signal).then(() => {
      if (!timer.signal.aborted) this.#health.silent('registry')
      throw new RtmlError('REGISTRY_DOWN', `${this.#settings.url} has not answered within ${limitMs} ms. Retried.`)
    })
    try {
      return await Promise.race([asked, late])
    } finally {
      timer.abort()
    }
  }

  #classified(place: string, error: unknown): unknown {
    if (error instanceof RtmlError) return error
    const status = statusOf(error)
    const message = error instanceof Error ? error.message : String(error)
    if (isSilent(status, message)) {
      this.#health.silent('registry')
      const text = `${this.#settings.url} does not answer: ${message}. Retried.`
      return new RtmlError('REGISTRY_DOWN', text, { place, cause: error })
    }
    this.#health.up('registry')
    if (status === 401 || status === 403) {
      const text = `${this.#settings.url} refuses: ${message}. Check SCHEMA_REGISTRY_USERNAME and _PASSWORD.`
      return new RtmlError('CONFIG', text, { place, cause: error })
    }
    if (status === 409 || status === 422 || nameOf(error).startsWith('ConfluentSchemaRegistry')) {
      const text = `the registry does not accept the schema: ${message}. Give new fields a default, or use another subject.`
      return new RtmlError('CONFIG', text, { place, cause: error })
    }
    return error
  }

  async #open(): Promise<SchemaRegistry> {
    const { url, username, password, tls } = this.#settings
    const agent = url.startsWith('https:')
      ? new HttpsAgent({ keepAlive: true, ...(tls && (await tlsOptions(tls))) })
      : new HttpAgent({ keepAlive: true })
    return new SchemaRegistry({
      host: url,
      agent,
      clientId: 'rtml',
      retry: { retries: 0 },
      ...(username && { auth: { username, password: password ?? '' } }),
      middlewares: [this.#watch()],
    })
  }

  /** Bounds requests in time, and sees answers before the client has digested them. */
  #watch(): Middleware {
    return ({ resourceName, resourceMethod }) => ({
      prepareRequest: async (next) => (await next()).enhance({ timeout: this.#settings.requestTimeoutMs }),
      response: async (next) => {
        const response = await next()
        const { id, subject } = response.request().params() as { id?: number; subject?: string }
        if (resourceName === 'Schema' && id !== undefined) remember(this.#found, Number(id), response.data<Found>())
        if (resourceName === 'Subject' && resourceMethod === 'config' && subject !== undefined) {
          const { compatibilityLevel } = response.data<{ compatibilityLevel: string }>()
          remember(this.#levels, subject, compatibilityLevel.toUpperCase())
        }
        return response
      },
    })
  }
}

function unusable(id: number, why: string, cause?: unknown): RtmlError {
  return new RtmlError('SCHEMA_ID', `schema ${id}: ${why}. Register the producer's schema, or fix its serializer.`, {
    cause,
  })
}

/**
 * No answer at all: the HTTP client reports it as status 400 with a bare text, while a registry's own 400 comes as JSON.
 * Throttling and server errors pass by themselves, too.
 */
function isSilent(status: number | undefined, message: string): boolean {
  if (status === 400) return message.includes('Error, status 400:')
  return status !== undefined && (status === 408 || status === 429 || status >= 500)
}

function statusOf(error: unknown): number | undefined {
  return error instanceof Error && 'status' in error && typeof error.status === 'number' ? error.status : undefined
}

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : '')

/** Sets and keeps the map bounded: the oldest entry goes first. */
function remember<K, V>(map: Map<K, V>, key: K, value: V): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= MEMORY_MAX) return
  for (const oldest of map.keys()) {
    map.delete(oldest)
    return
  }
}
