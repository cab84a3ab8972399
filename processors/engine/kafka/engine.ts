/** The Kafka engine: log on Kafka, feature store on Redis, schemas in a Confluent-compatible registry. */
import { systemClock } from '../../app/system-clock.ts'
import { type Clock, ms } from '../../app/units.ts'
import type { Engine } from '../ports.ts'
import type { KafkaConfig } from './config.ts'
import { type Dependency, Health } from './health.ts'
import { KafkaLog } from './log.ts'
import { RedisLine } from './redis.ts'
import { ConfluentRegistry } from './registry.ts'
import { bounded } from './retry.ts'
import { RedisStore } from './store.ts'
import { Wire } from './wire.ts'

/** A dependency that nobody has heard of for so long is asked whether it is there. */
const PROBE_EVERY_MS = ms(2_000)
const CLOSE_MS = ms(1_000)

export interface KafkaEngineOptions {
  /** Wall time unless given. */
  readonly clock?: Clock
  /** What kafkajs warns of, one line each. */
  readonly onWarning?: (text: string) => void
}

/**
 * Opens the engine. Doesn't wait for the services: what is away is reported by `down()` and by each call.
 * @throws RtmlError CONFIG when a certificate or key file can't be read
 */
export async function openKafka(config: KafkaConfig, options: KafkaEngineOptions = {}): Promise<Engine> {
  const { clock = systemClock, onWarning } = options
  const health = new Health(clock)
  const wire = new Wire(config.kafka, clock, health, onWarning)
  await wire.kafka()
  const log = new KafkaLog(wire)
  const redis = new RedisLine(config.redis, clock, health)
  const store = new RedisStore(redis)
  const registry = new ConfluentRegistry(config.registry, clock, health)
  const closing = new AbortController()
  const probes = { kafka: () => log.probe(), redis: () => redis.probe(), registry: () => registry.probe() }
  const watches = Object.entries(probes).map(([dependency, probe]) =>
    watch(dependency as Dependency, probe, health, clock, closing.signal),
  )
  return {
    name: 'kafka',
    log,
    store,
    registry,
    down: () => health.down(),
    [Symbol.asyncDispose]: async () => {
      closing.abort()
      await log.close()
      await store.close()
      await registry.close()
      // A probe under way may wait for a server that is away: nobody needs its answer any more.
      await bounded(clock, CLOSE_MS, Promise.all(watches))
    },
  }
}

/** Keeps `down()` true for a dependency that nobody uses at the moment. */
async function watch(
  dependency: Dependency,
  probe: () => Promise<void>,
  health: Health,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    // Its outcome is in `health`; the reason is told to whoever calls.
    if (health.quietMs(dependency) >= PROBE_EVERY_MS) await probe().catch(() => {})
    await clock.sleep(PROBE_EVERY_MS, signal)
  }
}
