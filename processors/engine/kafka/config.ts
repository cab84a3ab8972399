/** Connection settings of the Kafka engine from environment variables; `env` is passed in. See docs/kafka.md. */
import { z } from 'zod'
import { RtmlError } from '../../app/errors.ts'
import { type Ms, ms } from '../../app/units.ts'

/** TLS of one connection. Texts are PEM; the settings accept a file's path or the PEM itself. */
export interface TlsSettings {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly passphrase?: string
  readonly servername?: string
  /** false accepts any certificate: for tests only. */
  readonly verify: boolean
}

export type SaslSettings =
  | {
      readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
      readonly username: string
      readonly password: string
    }
  | {
      readonly mechanism: 'oauthbearer'
      readonly tokenUrl: string
      readonly clientId: string
      readonly clientSecret: string
      readonly scope?: string
    }

interface RedisNode {
  readonly host: string
  readonly port: number
}

type RedisTopology =
  | { readonly kind: 'single'; readonly node: RedisNode; readonly database: number }
  | { readonly kind: 'cluster'; readonly nodes: readonly RedisNode[] }
  | {
      readonly kind: 'sentinel'
      readonly sentinels: readonly RedisNode[]
      readonly master: string
      readonly database: number
      readonly sentinelUsername?: string
      readonly sentinelPassword?: string
    }

export interface BrokerSettings {
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly tls?: TlsSettings
  readonly sasl?: SaslSettings
  readonly compression: 'none' | 'gzip' | 'zstd'
  /** -1: the broker's default. */
  readonly replicationFactor: number
  /** A member that is silent for so long loses its partitions. */
  readonly sessionTimeoutMs: Ms
  readonly heartbeatMs: Ms
  /** A transaction that stays open for so long is aborted by the broker. */
  readonly transactionTimeoutMs: Ms
  /** No answer within this time: the broker counts as away. */
  readonly requestTimeoutMs: Ms
  /** Largest record batch to produce; below the topics' `max.message.bytes`. */
  readonly batchBytesMax: number
}

export interface RedisSettings {
  readonly topology: RedisTopology
  readonly username?: string
  readonly password?: string
  readonly tls?: TlsSettings
  /** Begins every key. */
  readonly keyPrefix: string
  readonly commandTimeoutMs: Ms
  /** Replicas that must have an apply before it counts: 0 = don't wait. */
  readonly minReplicas: number
  readonly replicaWaitMs: Ms
}

export interface RegistrySettings {
  readonly url: string
  readonly username?: string
  readonly password?: string
  readonly tls?: TlsSettings
  readonly requestTimeoutMs: Ms
}

export interface KafkaConfig {
  readonly kafka: BrokerSettings
  readonly redis: RedisSettings
  readonly registry: RegistrySettings
}

const flag = z.enum(['true', 'false']).transform((text) => text === 'true')
const text = z.string().min(1)
const milliseconds = (low: number, high: number) => z.coerce.number().int().min(low).max(high).transform(ms)

const variables = z.object({
  KAFKA_BROKERS: text.refine((list) => list.split(',').every((broker) => /^[^\s:/]+:\d+$/.test(broker.trim())), {
    error: 'expected host:port, or several with commas between',
  }),
  KAFKA_CLIENT_ID: text.default('rtml'),
  KAFKA_SASL_MECHANISM: z
    .string()
    .toLowerCase()
    .pipe(z.enum(['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer']))
    .optional(),
  KAFKA_SASL_USERNAME: text.optional(),
  KAFKA_SASL_PASSWORD: text.optional(),
  KAFKA_OAUTH_TOKEN_URL: z.url().optional(),
  KAFKA_OAUTH_CLIENT_ID: text.optional(),
  KAFKA_OAUTH_CLIENT_SECRET: text.optional(),
  KAFKA_OAUTH_SCOPE: text.optional(),
  KAFKA_SSL: flag.optional(),
  KAFKA_SSL_CA: text.optional(),
  KAFKA_SSL_CERT: text.optional(),
  KAFKA_SSL_KEY: text.optional(),
  KAFKA_SSL_KEY_PASSPHRASE: text.optional(),
  KAFKA_SSL_SERVERNAME: text.optional(),
  KAFKA_SSL_VERIFY: flag.default(true),
  KAFKA_COMPRESSION: z.enum(['none', 'gzip', 'zstd']).default('none'),
  KAFKA_REPLICATION_FACTOR: z.coerce.number().int().min(-1).max(15).default(-1),
  KAFKA_SESSION_TIMEOUT_MS: milliseconds(1_000, 300_000).default(ms(6_000)),
  KAFKA_HEARTBEAT_MS: milliseconds(50, 100_000).default(ms(500)),
  KAFKA_TRANSACTION_TIMEOUT_MS: milliseconds(1_000, 900_000).default(ms(60_000)),
  KAFKA_REQUEST_TIMEOUT_MS: milliseconds(500, 120_000).default(ms(10_000)),
  KAFKA_BATCH_BYTES_MAX: z.coerce.number().int().min(1_024).max(100_000_000).default(1_000_000),
  REDIS_URL: text,
  REDIS_USERNAME: text.optional(),
  REDIS_PASSWORD: text.optional(),
  REDIS_SENTINEL_USERNAME: text.optional(),
  REDIS_SENTINEL_PASSWORD: text.optional(),
  REDIS_SSL_CA: text.optional(),
  REDIS_SSL_CERT: text.optional(),
  REDIS_SSL_KEY: text.optional(),
  REDIS_SSL_SERVERNAME: text.optional(),
  REDIS_SSL_VERIFY: flag.default(true),
  REDIS_KEY_PREFIX: z
    .string()
    .regex(/^[^{}]*$/, { error: 'braces are not allowed: they mark the hash tag' })
    .default('rtml:'),
  REDIS_COMMAND_TIMEOUT_MS: milliseconds(50, 60_000).default(ms(2_000)),
  REDIS_MIN_REPLICAS: z.coerce.number().int().min(0).max(10).default(0),
  REDIS_REPLICA_WAIT_MS: milliseconds(1, 60_000).default(ms(500)),
  SCHEMA_REGISTRY_URL: z.url({ protocol: /^https?$/ }),
  SCHEMA_REGISTRY_USERNAME: text.optional(),
  SCHEMA_REGISTRY_PASSWORD: text.optional(),
  SCHEMA_REGISTRY_SSL_CA: text.optional(),
  SCHEMA_REGISTRY_SSL_CERT: text.optional(),
  SCHEMA_REGISTRY_SSL_KEY: text.optional(),
  SCHEMA_REGISTRY_SSL_VERIFY: flag.default(true),
  SCHEMA_REGISTRY_TIMEOUT_MS: milliseconds(100, 60_000).default(ms(5_000)),
})
type Variables = z.infer<typeof variables>
type Name = keyof Variables

/** Environment variables that the Kafka engine reads. */
export const KAFKA_VARIABLES = Object.keys(variables.shape) as Name[]

/**
 * Settings from environment variables.
 * @throws RtmlError CONFIG that names the first wrong or missing variable
 */
export function kafkaConfig(env: Readonly<Record<string, string | undefined>>): KafkaConfig {
  // An empty variable counts as absent: that is how compose files and charts write "not set".
  const given = Object.fromEntries(KAFKA_VARIABLES.flatMap((name) => (env[name] ? [[name, env[name]]] : [])))
  const parsed = variables.safeParse(given)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    const name = String(issue.path[0])
    const missing = given[name] === undefined
    throw wrong(name, missing ? 'is not set; the Kafka engine needs it.' : `${issue.message}.`)
  }
  const all = parsed.data
  return { kafka: brokerSettings(all), redis: redisSettings(all), registry: registrySettings(all) }
}

function brokerSettings(all: Variables): BrokerSettings {
  if (all.KAFKA_HEARTBEAT_MS * 2 > all.KAFKA_SESSION_TIMEOUT_MS) {
    throw wrong('KAFKA_HEARTBEAT_MS', 'must be at most half of KAFKA_SESSION_TIMEOUT_MS.')
  }
  const sasl = saslSettings(all)
  const asked = all.KAFKA_SSL ?? (all.KAFKA_SSL_CA ?? all.KAFKA_SSL_CERT) !== undefined
  const tls = asked ? tlsSettings(all, 'KAFKA_SSL') : undefined
  return {
    brokers: all.KAFKA_BROKERS.split(',').map((broker) => broker.trim()),
    clientId: all.KAFKA_CLIENT_ID,
    ...(tls && { tls }),
    ...(sasl && { sasl }),
    compression: all.KAFKA_COMPRESSION,
    replicationFactor: all.KAFKA_REPLICATION_FACTOR,
    sessionTimeoutMs: all.KAFKA_SESSION_TIMEOUT_MS,
    heartbeatMs: all.KAFKA_HEARTBEAT_MS,
    transactionTimeoutMs: all.KAFKA_TRANSACTION_TIMEOUT_MS,
    requestTimeoutMs: all.KAFKA_REQUEST_TIMEOUT_MS,
    batchBytesMax: all.KAFKA_BATCH_BYTES_MAX,
  }
}

function saslSettings(all: Variables): SaslSettings | undefined {
  const mechanism = all.KAFKA_SASL_MECHANISM
  if (mechanism === undefined) {
    if (all.KAFKA_SASL_USERNAME) throw wrong('KAFKA_SASL_MECHANISM', 'is not set although KAFKA_SASL_USERNAME is.')
    return undefined
  }
  if (mechanism === 'oauthbearer') {
    const scope = all.KAFKA_OAUTH_SCOPE
    return {
      mechanism,
      tokenUrl: needed(all, 'KAFKA_OAUTH_TOKEN_URL', mechanism),
      clientId: needed(all, 'KAFKA_OAUTH_CLIENT_ID', mechanism),
      clientSecret: needed(all, 'KAFKA_OAUTH_CLIENT_SECRET', mechanism),
      ...(scope && { scope }),
    }
  }
  const username = needed(all, 'KAFKA_SASL_USERNAME', mechanism)
  return { mechanism, username, password: needed(all, 'KAFKA_SASL_PASSWORD', mechanism) }
}

function redisSettings(all: Variables): RedisSettings {
  const url = redisUrl(all.REDIS_URL)
  const { REDIS_SENTINEL_USERNAME: sentinelUsername, REDIS_SENTINEL_PASSWORD: sentinelPassword } = all
  const sentinelLogin = { ...(sentinelUsername && { sentinelUsername }), ...(sentinelPassword && { sentinelPassword }) }
  const topology = url.topology.kind === 'sentinel' ? { ...url.topology, ...sentinelLogin } : url.topology
  const username = all.REDIS_USERNAME ?? url.username
  const password = all.REDIS_PASSWORD ?? url.password
  return {
    topology,
    ...(username && { username }),
    ...(password && { password }),
    ...(url.tls && { tls: tlsSettings(all, 'REDIS_SSL') }),
    keyPrefix: all.REDIS_KEY_PREFIX,
    commandTimeoutMs: all.REDIS_COMMAND_TIMEOUT_MS,
    minReplicas: all.REDIS_MIN_REPLICAS,
    replicaWaitMs: all.REDIS_REPLICA_WAIT_MS,
  }
}

const REDIS_URL =
  /^(?<scheme>rediss?)(?:\+(?<kind>cluster|sentinel))?:\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<nodes>[^/@?#]+)(?:\/(?<path>[^?#]*))?$/
const REDIS_PORT = 6379
const SENTINEL_PORT = 26379

/** `redis://`, `rediss://` (TLS), `redis+cluster://h1:p1,h2:p2`, `redis+sentinel://h1:p1,h2:p2/master/database`. */
function redisUrl(url: string): { topology: RedisTopology; username?: string; password?: string; tls: boolean } {
  const parts = REDIS_URL.exec(url)?.groups
  if (!parts) {
    throw wrong('REDIS_URL', 'is not redis://host:port/0, redis+cluster://h1:p1,h2:p2 or redis+sentinel://h1:p1/name.')
  }
  const { scheme, kind, user, password, nodes: list, path = '' } = parts
  const nodes = list!.split(',').map((node) => redisNode(node, kind === 'sentinel' ? SENTINEL_PORT : REDIS_PORT))
  return {
    topology: redisTopology(kind, nodes, path),
    tls: scheme === 'rediss',
    ...(user && { username: decodeURIComponent(user) }),
    ...(password && { password: decodeURIComponent(password) }),
  }
}

function redisTopology(kind: string | undefined, nodes: readonly RedisNode[], path: string): RedisTopology {
  if (kind === 'cluster') return { kind, nodes }
  if (kind === 'sentinel') {
    const [master, database = '0'] = path.split('/')
    if (!master) throw wrong('REDIS_URL', 'names no master: redis+sentinel://host:26379/NAME.')
    return { kind, sentinels: nodes, master, database: databaseNumber(database) }
  }
  if (nodes.length > 1) throw wrong('REDIS_URL', 'lists several nodes: write redis+cluster:// or redis+sentinel://.')
  return { kind: 'single', node: nodes[0]!, database: databaseNumber(path || '0') }
}

function redisNode(text: string, defaultPort: number): RedisNode {
  const parts = /^(?:\[(?<six>[^\]]+)\]|(?<host>[^:]+))(?::(?<port>\d+))?$/.exec(text.trim())?.groups
  const host = parts?.six ?? parts?.host
  if (!host) throw wrong('REDIS_URL', `${JSON.stringify(text)} is not host:port.`)
  return { host, port: parts?.port ? Number(parts.port) : defaultPort }
}

function databaseNumber(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw wrong('REDIS_URL', `${JSON.stringify(text)} is not a database number.`)
  return Number(text)
}

function registrySettings(all: Variables): RegistrySettings {
  const url = new URL(all.SCHEMA_REGISTRY_URL)
  const username = all.SCHEMA_REGISTRY_USERNAME ?? decodeURIComponent(url.username)
  const password = all.SCHEMA_REGISTRY_PASSWORD ?? decodeURIComponent(url.password)
  url.username = ''
  url.password = ''
  const asked =
    (all.SCHEMA_REGISTRY_SSL_CA ?? all.SCHEMA_REGISTRY_SSL_CERT) !== undefined || !all.SCHEMA_REGISTRY_SSL_VERIFY
  return {
    url: url.href.replace(/\/$/, ''),
    ...(username && { username }),
    ...(password && { password }),
    ...(asked && { tls: tlsSettings(all, 'SCHEMA_REGISTRY_SSL') }),
    requestTimeoutMs: all.SCHEMA_REGISTRY_TIMEOUT_MS,
  }
}

function tlsSettings(all: Variables, prefix: 'KAFKA_SSL' | 'REDIS_SSL' | 'SCHEMA_REGISTRY_SSL'): TlsSettings {
  const ca = all[`${prefix}_CA`]
  const cert = all[`${prefix}_CERT`]
  const key = all[`${prefix}_KEY`]
  if ((cert === undefined) !== (key === undefined)) {
    throw wrong(`${prefix}_${cert === undefined ? 'CERT' : 'KEY'}`, 'is not set: a client certificate needs both.')
  }
  const servername = prefix === 'SCHEMA_REGISTRY_SSL' ? undefined : all[`${prefix}_SERVERNAME`]
  const passphrase = prefix === 'KAFKA_SSL' ? all.KAFKA_SSL_KEY_PASSPHRASE : undefined
  return {
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(passphrase && { passphrase }),
    ...(servername && { servername }),
    verify: all[`${prefix}_VERIFY`],
  }
}

function needed(all: Variables, name: Name, mechanism: string): string {
  const value = all[name]
  if (typeof value === 'string') return value
  throw wrong(name, `is not set; SASL ${mechanism} needs it.`)
}

function wrong(name: string, message: string): RtmlError {
  return new RtmlError('CONFIG', message, { place: name })
}
