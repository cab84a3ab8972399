import type { Ms, Offset } from '../app/units.ts'
import type { LogRecord, NewRecord } from '../engine/ports.ts'
import type { Alignment } from './alignment.ts'
import type { Layouts } from './layouts.ts'

/**
 * One step of the topology that reads a topic: what it computes, without any I/O to log or store. The shard worker
 * around it owns, loads, applies and publishes.
 *
 * @typeParam Prepared decoded input of a batch
 * @typeParam State decoded state of one key
 * @typeParam Work what `outputs` needs from `compute`
 */
export interface Stage<Prepared = unknown, State = unknown, Work = unknown> {
  /** `map.web`, `profile`, `entity.item`: label of metrics. */
  readonly name: string
  /** Consumer group and name of the shards: `<app>.<name>`. */
  readonly group: string
  readonly topic: string
  /** How long an untouched state is kept by the store, in wall time. Undefined: the stage keeps no state. */
  readonly stateExpireMs: Ms | undefined
  /** Layouts of packed states, which must be known before `decode`. Undefined: states have only ever one form. */
  readonly layouts?: Layouts
  /** Records of a batch at most, where the usual bound is too much for one turn. */
  readonly maxBatchRecords?: number
  /** Records that retention deleted before they were read are lost to this stage, and it goes on behind them; else it stops. */
  readonly mayLoseInput?: true
  /**
   * Resolves when the batch's time has come; until then the stage stands still. Absent: at once.
   * @param signal aborts when the shard is let go; the promise then settles soon, in either way
   */
  due?(records: readonly LogRecord[], signal: AbortSignal): Promise<void>
  /** How its partitions are kept together in event time. Undefined: they needn't be. */
  readonly aligned?: Aligned<Prepared> | undefined
  /** Decodes a batch. May wait for the registry, hence may fail transiently; must be repeatable. */
  prepare(records: readonly LogRecord[], mode: ComputeMode): Promise<Prepared>
  /** Distinct keys whose state `compute` will ask for. */
  keys(prepared: Prepared): Iterable<string>
  decode(key: string, packed: Buffer): State
  /**
   * Applies the batch in log order to `states`, which holds the decoded states of the keys (absent = new) and is
   * updated in place. Synchronous and pure.
   * @param mode `rebuild`: only the states matter, `outputs` will not be called
   * @returns packed states of the keys that changed (a key that lost its state is gone from `states` too), and what `outputs` needs
   */
  compute(prepared: Prepared, states: Map<string, State>, mode: ComputeMode): Computed<Work>
  /** Scores, decides and encodes. Called once a batch, and not at all for batches whose outputs are already published. */
  outputs(work: Work): Promise<NewRecord[]>
  /** Dead letter of a record whose processing failed unexpectedly. */
  poison(record: LogRecord, message: string): NewRecord
}

export interface Aligned<Prepared> {
  readonly alignment: Alignment
  /** Records of the batch with events, in log order: the offset, and the event time that the record stands at. */
  times(prepared: Prepared): readonly { readonly offset: Offset; readonly time: number }[]
  /** The batch in two: records before the offset, and the others. */
  split(prepared: Prepared, at: Offset): [Prepared, Prepared]
}

export type ComputeMode = 'live' | 'rebuild'

export interface Computed<Work> {
  /** null: the key has no state any more. */
  readonly changed: ReadonlyMap<string, Buffer | null>
  readonly work: Work
}
