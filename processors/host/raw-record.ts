import type { XdmEvent } from '../app/event.ts'
import { systemClock } from '../app/system-clock.ts'
import { epochMs } from '../app/units.ts'
import type { Headers, NewRecord } from '../engine/ports.ts'
import type { Mapper } from '../mapper/index.ts'

export interface RawRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: Headers
}

/**
 * A raw record as a good producer would append it: with a key, so that a visitor's events stay in order. Without one of
 * its own it is keyed by the identity that it maps to; one that can't be mapped goes to any partition, and from there to
 * the dead letters.
 */
export async function keyedRecord(
  mapper: Mapper,
  topic: string,
  { key, value, headers = {} }: RawRecord,
): Promise<{ record: NewRecord; event: XdmEvent | undefined }> {
  const raw = { key, value, headers, timestamp: epochMs(systemClock.now()), place: topic }
  await mapper.prepare([raw])
  const event = mapper.map(raw).events[0]
  return { record: { topic, key: key ?? (event ? Buffer.from(event.key) : null), value, headers }, event }
}
