/** Services for the Kafka engine: the environment's, else processes of this run alone, else shared ones in Docker. */
import { environment, localProcessesUnavailable, services } from '../services/harness.ts'
import { startKafka } from '../services/processes/kafka.ts'
import { startRedis } from '../services/processes/redis.ts'
import { startRegistry } from '../services/processes/registry.ts'

export interface BenchServices extends AsyncDisposable {
  readonly env: Record<string, string>
  /** Nobody else uses the Redis: the memory that it uses is ours. */
  readonly isAlone: boolean
}

export async function benchServices(): Promise<BenchServices> {
  const { KAFKA_BROKERS, REDIS_URL, SCHEMA_REGISTRY_URL } = process.env
  const isGiven = KAFKA_BROKERS && REDIS_URL && SCHEMA_REGISTRY_URL
  if (isGiven || localProcessesUnavailable())
    return { env: environment(await services()), isAlone: false, async [Symbol.asyncDispose]() {} }
  await using started = new AsyncDisposableStack()
  const [kafka, redis, registry] = await Promise.all([
    startKafka().then((it) => started.use(it)),
    startRedis().then((it) => started.use(it)),
    startRegistry().then((it) => started.use(it)),
  ])
  const stack = started.move()
  return {
    env: environment({ brokers: kafka.brokers, redisUrl: redis.url, registryUrl: registry.url }),
    isAlone: true,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}
