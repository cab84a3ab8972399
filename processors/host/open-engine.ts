import { openEmbedded } from '../engine/embedded/engine.ts'
import { kafkaConfig } from '../engine/kafka/config.ts'
import { openKafka } from '../engine/kafka/engine.ts'
import type { Engine } from '../engine/ports.ts'
import { systemClock } from '../runtime/clock.ts'
import type { Env } from './application-file.ts'

export const DEFAULT_DATA_DIR = '.rtml'

/**
 * The engine that the environment chooses: Kafka when KAFKA_BROKERS is set, else the embedded one in `dataDir`.
 * @param options `role`: `look` for commands that only read, so that background work is left to the running service
 * @throws RtmlError CONFIG
 */
export function openEngine(
  env: Env,
  options: { dataDir?: string | undefined; role: 'run' | 'look'; onWarning?: (text: string) => void },
): Promise<Engine> {
  if (env.KAFKA_BROKERS) {
    return openKafka(kafkaConfig(env), {
      clock: systemClock,
      ...(options.onWarning ? { onWarning: options.onWarning } : {}),
    })
  }
  const dir = options.dataDir ?? env.RTML_DATA_DIR ?? DEFAULT_DATA_DIR
  return openEmbedded({ dir, clock: systemClock, upkeep: options.role === 'run' ? 'on' : 'off' })
}
