import type { Offset } from '../../app/units.ts'
import type { PartitionBounds, Shard } from '../../engine/ports.ts'
import type { EntityKernel, KeyState } from '../../features/types.ts'
import type { Stage } from '../stage.ts'

/** A stage that keeps states, with what reads them. */
export interface KeyedStage {
  readonly stage: Stage
  readonly kernel: EntityKernel
  /** What a packed state has before the kernel's bytes. */
  readonly skipBytes: number
}

/** A packed state in its parts: what stands before the kernel's bytes, what the kernel makes of its own, and what follows. */
export interface StateParts {
  readonly head: Buffer
  readonly state: KeyState
  readonly tail: Buffer
}

/** @throws Error when the bytes are corrupt or of an unknown layout */
export function partsOf({ kernel, skipBytes }: Pick<KeyedStage, 'kernel' | 'skipBytes'>, packed: Buffer): StateParts {
  const { state, bytes } = kernel.decodeFirst(packed.subarray(skipBytes))
  return { head: packed.subarray(0, skipBytes), state, tail: packed.subarray(skipBytes + bytes) }
}

export const shardOf = ({ group, topic }: Pick<Stage, 'group' | 'topic'>, partition: number): Shard => ({
  group,
  topic,
  partition,
})

/** Note with the partition count that a stage's states are cut for. */
export const partitionsNote = (group: string) => `partitions:${group}`

/**
 * Note with the position below which a shard's states don't come from its own partition: they were moved here from other
 * shards. Without one they come from the log's first record on.
 */
export const originNote = ({ group, topic, partition }: Shard) => `origin:${group}:${topic}:${partition}`

export const placeOf = ({ topic, partition }: Pick<PartitionBounds, 'topic' | 'partition'>, at?: Offset) =>
  `${topic}[${partition}]${at === undefined ? '' : `@${at}`}`
