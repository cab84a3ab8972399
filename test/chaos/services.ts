/** Broker, Redis with a replica, and registry, each behind a link; everything on loopback and on ports of its own. */
import { Redis } from 'ioredis'
import { type KafkaServer, SASL_USERS, startKafka } from '../services/processes/kafka.ts'
import { until } from '../services/processes/process.ts'
import { type RedisServer, startRedis } from '../services/processes/redis.ts'
import { startRegistry } from '../services/processes/registry.ts'
import { Link } from './link.ts'
import type { LinkName } from './plan.ts'

const REPLICA_DEADLINE_MS = 30_000

export interface ChaosServices extends AsyncDisposable {
  readonly kafka: KafkaServer
  readonly links: Readonly<Record<LinkName, Link>>
  readonly redis: RedisPair
  /** What points a worker at the services, through the links. */
  readonly env: Readonly<Record<string, string>>
  /** Straight to the registry. */
  readonly registryUrl: string
}

export async function startServices(): Promise<ChaosServices> {
  await using started = new AsyncDisposableStack()
  // The broker tells clients where it is, so the link must exist before it.
  const broker = started.use(await Link.open(0))
  const [kafka, redis, registry] = await Promise.all([
    startKafka({ advertise: broker.port }).then((it) => started.use(it)),
    RedisPair.start().then((it) => started.use(it)),
    startRegistry().then((it) => started.use(it)),
  ])
  broker.target(Number(kafka.brokers.split(':')[1]))
  const registryUrl = new URL(registry.url)
  const registryLink = started.use(await Link.open(Number(registryUrl.port)))
  const stack = started.move()
  return {
    kafka,
    redis,
    links: { broker, redis: redis.link, registry: registryLink },
    env: {
      KAFKA_BROKERS: `127.0.0.1:${broker.port}`,
      REDIS_URL: `redis://127.0.0.1:${redis.link.port}`,
      SCHEMA_REGISTRY_URL: `http://127.0.0.1:${registryLink.port}${registryUrl.pathname}`,
    },
    registryUrl: registry.url,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** What a kafkajs client needs to talk to the broker past the link: its other listener wants a login. */
export const directly = (kafka: KafkaServer) => ({
  brokers: [kafka.saslBrokers],
  ssl: false,
  sasl: { mechanism: 'plain' as const, ...SASL_USERS.plain },
})

/** A primary and its replica. Workers reach whichever is the primary through one link; the replica, through another. */
export class RedisPair implements AsyncDisposable {
  readonly link: Link
  readonly #replication: Link
  #primary: RedisServer
  #replica: RedisServer

  private constructor(primary: RedisServer, replica: RedisServer, link: Link, replication: Link) {
    this.#primary = primary
    this.#replica = replica
    this.link = link
    this.#replication = replication
  }

  static async start(): Promise<RedisPair> {
    await using started = new AsyncDisposableStack()
    const primary = started.use(await startRedis())
    const link = started.use(await Link.open(primary.port))
    const replication = started.use(await Link.open(primary.port))
    // By command and not by option: roles change, and a server that is started anew must not fall back into its first one.
    const replica = started.use(await startRedis())
    await using follower = clientOf(replica.url)
    await follower.redis.replicaof('127.0.0.1', replication.port)
    const pair = new RedisPair(primary, replica, link, replication)
    await pair.inStep()
    started.move()
    return pair
  }

  get primaryUrl(): string {
    return this.#primary.url
  }

  get primary(): RedisServer {
    return this.#primary
  }

  /** Waits until the replica has all that the primary has. */
  async inStep(): Promise<void> {
    await using client = clientOf(this.#replica.url)
    await until(async () => {
      if (!/master_link_status:up/.test(await client.redis.info('replication'))) throw new Error('replica not in step')
    }, REPLICA_DEADLINE_MS)
  }

  /**
   * The replica, which has got nothing for `lagMs`, becomes the primary; the old one follows it and forgets what only it
   * had: that tail is gone for good.
   */
  async failOver(lagMs: number): Promise<void> {
    await this.inStep()
    this.#replication.silent('both')
    await new Promise((resolve) => setTimeout(resolve, lagMs))
    const [from, to] = [this.#primary, this.#replica]
    await using promoted = clientOf(to.url)
    await promoted.redis.replicaof('NO', 'ONE')
    this.link.target(to.port)
    this.link.reset()
    this.#replication.target(to.port)
    this.#replication.reset()
    this.#replication.heal()
    await using follower = clientOf(from.url)
    await follower.redis.replicaof('127.0.0.1', this.#replication.port)
    this.#primary = to
    this.#replica = from
  }

  async flush(): Promise<void> {
    await using client = clientOf(this.#primary.url)
    await client.redis.flushall()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.link[Symbol.asyncDispose]()
    await this.#replication[Symbol.asyncDispose]()
    await this.#replica[Symbol.asyncDispose]()
    await this.#primary[Symbol.asyncDispose]()
  }
}

function clientOf(url: string): AsyncDisposable & { redis: Redis } {
  const redis = new Redis(url)
  redis.on('error', () => {})
  return {
    redis,
    async [Symbol.asyncDispose]() {
      redis.disconnect()
    },
  }
}
