import type { Application } from '../../app/schema.ts'
import type { TopicNames } from '../../app/topics.ts'
import type { EpochMs } from '../../app/units.ts'
import type { NewRecord } from '../../engine/ports.ts'
import { type EraseOrder, erasedRecord, subjectOf } from '../../outputs/index.ts'
import { controlRecord } from './control-records.ts'

/** A profile that the profile stage has forgotten. */
export interface Erasure {
  readonly key: string
  readonly order: EraseOrder
  /** Of the state that is gone; undefined: there was none. */
  readonly pseudonym: Uint8Array | undefined
  /** Of the order. */
  readonly partition: number
  readonly place: string
}

/**
 * What follows from a forgotten profile: tombstones of what was published of it, orders to the stages that keep something of
 * it, and the answer to who asked. They go out after everything that the profile's earlier events gave, so nothing comes
 * after them that they were to remove.
 */
export function erasureRecords(
  options: { readonly app: Application; readonly topics: TopicNames; readonly pseudonymKey: string },
  { key, order, pseudonym, place }: Erasure,
  at: EpochMs,
): NewRecord[] {
  const { app, topics, pseudonymKey } = options
  const records: NewRecord[] = [{ topic: topics.scores, key: Buffer.from(key), value: null }]
  for (const [entity, keys] of Object.entries(order.entities)) {
    // An order may be older than the application file: an entity that is gone has no topic.
    if (!Object.hasOwn(app.entities, entity)) continue
    for (const it of keys) {
      records.push(controlRecord({ topic: topics.entity(entity), kind: 'erase', key: it, data: { id: order.id } }))
    }
  }
  const subject = subjectOf(pseudonymKey, key)
  records.push(erasedRecord(topics.control, { request: order.id, subject, at, place, found: pseudonym !== undefined }))
  return records
}
