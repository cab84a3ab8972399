import type { Clock, EpochMs, Ms } from '../../app/units.ts'
import type { Engine } from '../ports.ts'
import { Environment } from './environment.ts'
import { EmbeddedLog } from './log.ts'
import { EmbeddedRegistry } from './registry.ts'
import { EmbeddedStore } from './store.ts'
import { Topics } from './topics.ts'
import { Upkeep } from './upkeep.ts'

export interface EmbeddedOptions {
  /** Directory of the LMDB files; made when absent. Several processes may open it at the same time. */
  readonly dir: string
  readonly clock: Clock
  /** Bytes that log and states may use together; above it writes wait. Default 64 GiB. */
  readonly maxBytes?: number
  /** Room that the disk must keep; below it writes wait. Default 64 MiB. */
  readonly minDiskFreeBytes?: number
  /** Bytes that a partition of a `delete` topic keeps at most. Default: no such bound. */
  readonly retentionBytes?: number
  /** Run retention, compaction and expiry here: 'off' for a process that only looks, such as the command line. */
  readonly upkeep?: 'on' | 'off'
  /** Pause between two rounds of upkeep. Default 30 s. */
  readonly upkeepMs?: Ms
  /** Tombstones of a compacted topic are kept for so long, that readers may see them. Default 24 h. */
  readonly tombstoneMs?: Ms
}

const GIB = 2 ** 30
const MIB = 2 ** 20

export class EmbeddedEngine implements Engine {
  readonly name = 'embedded'
  readonly log: EmbeddedLog
  readonly store: EmbeddedStore
  readonly registry: EmbeddedRegistry
  readonly upkeep: Upkeep
  readonly #environment: Environment
  #closed: Promise<void> | undefined

  constructor(environment: Environment, options: EmbeddedOptions) {
    const topics = new Topics(environment)
    this.#environment = environment
    this.log = new EmbeddedLog(environment, topics)
    this.store = new EmbeddedStore(environment, topics)
    this.registry = new EmbeddedRegistry(environment)
    this.upkeep = new Upkeep(environment, topics, options)
    if (options.upkeep !== 'off') this.upkeep.start()
  }

  down(): ReadonlyMap<string, EpochMs> {
    return this.#environment.down
  }

  /** What the directory holds: entries of states (expired and replaced ones until upkeep deletes them) and bytes in use. */
  size(): { readonly states: number; readonly usedBytes: number } {
    return this.#environment.size()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await this.log.close()
    await this.upkeep.close()
    await this.#environment.close()
  }
}

/**
 * Opens the engine that needs nothing but a directory. All writes are durable when they are acknowledged.
 * @throws Error when the directory can't be made or isn't an LMDB environment
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<EmbeddedEngine> {
  const { dir, clock, maxBytes = 64 * GIB, minDiskFreeBytes = 64 * MIB } = options
  return new EmbeddedEngine(new Environment(dir, clock, { maxBytes, minDiskFreeBytes }), options)
}
