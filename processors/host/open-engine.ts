import { RtmlError } from '../app/errors.ts'
import { systemClock } from '../app/system-clock.ts'
import { openEmbedded } from '../engine/embedded/engine.ts'
import { kafkaConfig } from '../engine/kafka/config.ts'
import { openKafka } from '../engine/kafka/engine.ts'
import type { Engine } from '../engine/ports.ts'
import type { Env } from './application-file.ts'

const DEFAULT_DATA_DIR = '.rtml'

/**
 * The engine that the environment chooses: Kafka when KAFKA_BROKERS is set, else the embedded one in `dataDir`.
 * @param options `role`: `look` for commands that only read, so that background work is left to the running service
 * @throws RtmlError CONFIG
 */
export async function openEngine(
  env: Env,
  options: { dataDir?: string | undefined; role: 'run' | 'look'; onWarning?: (text: string) => void },
): Promise<Engine> {
  if (env.KAFKA_BROKERS) {
    return openKafka(kafkaConfig(env), {
      clock: systemClock,
      ...(options.onWarning ? { onWarning: options.onWarning } : {}),
    })
  }
  const dir = dataDirOf(env, options.dataDir) ?? DEFAULT_DATA_DIR
  return openDirectory(dir, options.role)
}

/** Directory of the embedded engine; undefined when the environment chooses Kafka. */
export function dataDirOf(env: Env, dataDir: string | undefined): string | undefined {
  return env.KAFKA_BROKERS ? undefined : (dataDir ?? env.RTML_DATA_DIR ?? DEFAULT_DATA_DIR)
}

/** @throws RtmlError CONFIG */
async function openDirectory(dir: string, role: 'run' | 'look'): Promise<Engine> {
  try {
    return await openEmbedded({ dir, clock: systemClock, upkeep: role === 'run' ? 'on' : 'off' })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new RtmlError('CONFIG', `can't be opened as the data directory: ${reason}. Name another with --data.`, {
      place: dir,
      cause,
    })
  }
}
