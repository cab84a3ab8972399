/** What the killed writer and the test that checks after it agree on. */
import type { Shard } from '../../processors/engine/ports.ts'

export const TOPICS = { plain: 'plain', input: 'input', applied: 'applied', published: 'published' } as const
export const GROUP = 'app.stage'
export const SHARDS = 3
/** Partition of the input whose position the publisher commits. */
export const PUBLISHED = 3
export const OUTPUTS_PER_PUBLISH = 5
export const KEYS: readonly string[] = Array.from({ length: 40 }, (_, i) => `key ${i}`)

export const inputShard = (partition: number): Shard => ({ group: GROUP, topic: TOPICS.input, partition })

/** The state of every key after the input below `position` was applied. */
export const stateAt = (position: number): Buffer => Buffer.alloc(64 + (position % 400), position % 251)
