import { partitionOf } from '../murmur2.ts'
import type { NewRecord } from '../ports.ts'
import { recordBytesMax } from './protocol/record-batch.ts'

/** A record names a partition that its topic doesn't have: a mistake of the caller, which no retry heals. */
export class NoSuchPartition extends Error {
  readonly type = 'NO_SUCH_PARTITION'
  constructor(topic: string, partition: number) {
    super(`${topic} has no partition ${partition}`)
  }
}

export interface PartitionRecords {
  readonly topic: string
  readonly partition: number
  readonly records: NewRecord[]
}

/**
 * Records by partition, in their order.
 * @param counts partitions of each topic
 * @param spare partition for records without a key: any number, taken modulo the count, so that one call fills one batch
 * @throws NoSuchPartition
 */
export function groupByPartition(
  records: readonly NewRecord[],
  counts: ReadonlyMap<string, number>,
  spare: number,
): PartitionRecords[] {
  const topics = new Map<string, (PartitionRecords | undefined)[]>()
  const groups: PartitionRecords[] = []
  for (const record of records) {
    const { topic, key } = record
    let partitions = topics.get(topic)
    if (!partitions) {
      partitions = []
      topics.set(topic, partitions)
    }
    const count = counts.get(topic)!
    const partition = record.partition ?? (key === null ? spare % count : partitionOf(key, count))
    if (partition < 0 || partition >= count) throw new NoSuchPartition(topic, partition)
    const group = partitions[partition]
    if (group) group.records.push(record)
    else {
      const made = { topic, partition, records: [record] }
      partitions[partition] = made
      groups.push(made)
    }
  }
  return groups
}

/** Pieces whose batches stay below `bytesMax`; a larger record is a piece of its own. */
export function splitBySize(records: readonly NewRecord[], bytesMax: number): (readonly NewRecord[])[] {
  const pieces: NewRecord[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const record of records) {
    const more = recordBytesMax(record)
    if (bytes + more > bytesMax) {
      pieces.push([])
      bytes = 0
    }
    pieces.at(-1)!.push(record)
    bytes += more
  }
  return pieces
}
