import type { Ms } from '../app/units.ts'
import type { FeatureStore, Log } from '../engine/ports.ts'
import type { RetryContext } from './retry.ts'

export interface ShardOptions {
  readonly delivery: 'exactly-once' | 'at-least-once'
  readonly maxBatchEvents: number
  /** Batches between compute and apply: scoring of one overlaps features of the next. */
  readonly pipelineDepth: number
  readonly publishEveryMs: Ms
  readonly maxOutboxBytes: number
  readonly maxCachedStates: number
  /** Undefined: no snapshots (states and log live in one place). */
  readonly snapshot: { readonly topic: string; readonly everyMs: Ms; readonly maxBytes: number } | undefined
  /** How often an idle shard asks the store whether it still stands where the shard stands. */
  readonly storeCheckEveryMs: Ms
  /** How long a fenced worker that is still assigned waits before it takes the shard back. */
  readonly fencedPauseMs: Ms
}

/** What every shard of a process shares. */
export interface ShardContext extends RetryContext {
  readonly log: Log
  readonly store: FeatureStore
  /** The engine writes states, outputs and group position in one transaction: `apply` also publishes. */
  readonly isAtomic: boolean
  readonly options: ShardOptions
  /** Seconds of a monotonic clock, for durations in metrics. */
  hrtime(): number
}
