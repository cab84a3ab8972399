import { RtmlError } from '../../app/errors.ts'
import type { Offset } from '../../app/units.ts'
import type { Log, LogRecord, Shard } from '../../engine/ports.ts'
import { readRange } from '../read-range.ts'
import { Stopped } from '../retry.ts'
import type { Stage } from '../stage.ts'

/** Packed states by key, wherever they are kept. */
export interface StateTable {
  load(keys: readonly string[]): Promise<(Buffer | undefined)[]>
  /** null: the key has no state any more. */
  save(changed: ReadonlyMap<string, Buffer | null>): Promise<void>
}

export interface ReplayOptions {
  readonly log: Log
  readonly stage: Stage
  readonly shard: Shard
  readonly table: StateTable
  /** Position that the table's states reflect. */
  readonly from: Offset
  /** Keys that matter; others are left out before they are decoded. A keyed stage's records are keyed by their state. */
  readonly only?: (key: string) => boolean
  /** Called with the number of records before they are taken: waits where the log must not be read faster. */
  readonly pace?: (records: number) => Promise<void>
}

/** Records of one step: bounds the decoded states in memory. */
const BATCH_RECORDS = 1_000

/**
 * Computes states from the log with the code of the stage, beside the running application: nothing is owned, scored or
 * published. One event after the other, which is what the live states must be equal to.
 */
export class Replay {
  readonly #options: ReplayOptions
  #position: Offset
  /** Records read, and those whose processing failed: the live stage has sent them to the dead letters. */
  records = 0
  poisoned = 0

  constructor(options: ReplayOptions) {
    this.#options = options
    this.#position = options.from
  }

  get position(): Offset {
    return this.#position
  }

  /**
   * Goes on to exactly `until`; does nothing when it is there already.
   * @throws Stopped; RtmlError LOG_TRUNCATED, LOG_DOWN, REGISTRY_DOWN
   */
  async advance(until: Offset, signal: AbortSignal): Promise<void> {
    const { log, shard, pace } = this.#options
    for await (const run of readRange(log, shard, this.#position, until, signal)) {
      for (let at = 0; at < run.records.length; at += BATCH_RECORDS) {
        const batch = run.records.slice(at, at + BATCH_RECORDS)
        await pace?.(batch.length)
        if (signal.aborted) throw new Stopped()
        await this.#take(this.#wanted(batch))
        this.records += batch.length
      }
      this.#position = run.to
    }
  }

  #wanted(records: readonly LogRecord[]): readonly LogRecord[] {
    const { only } = this.#options
    return only ? records.filter(({ key }) => key === null || only(key.toString())) : records
  }

  async #take(records: readonly LogRecord[]): Promise<void> {
    if (records.length === 0) return
    try {
      await this.#apply(records)
    } catch (error) {
      if (error instanceof Stopped || error instanceof RtmlError) throw error
      // As the live stage does: each record alone, and those that fail leave no trace in the states.
      if (records.length > 1) for (const record of records) await this.#take([record])
      else this.poisoned++
    }
  }

  async #apply(records: readonly LogRecord[]): Promise<void> {
    const { stage, table } = this.#options
    const prepared = await stage.prepare(records, 'rebuild')
    const keys = [...stage.keys(prepared)]
    const packed = await table.load(keys)
    await stage.layouts?.learn(packed)
    const states = new Map<string, unknown>()
    keys.forEach((key, index) => {
      const bytes = packed[index]
      if (bytes) states.set(key, stage.decode(key, bytes))
    })
    await table.save(stage.compute(prepared, states, 'rebuild').changed)
  }
}
