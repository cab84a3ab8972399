/**
 * The requests that carry records (Fetch, Produce), exact bounds (ListOffsets) and those whose newer versions kafkajs
 * lacks (InitProducerId with an epoch, OffsetFetch of stable positions). Needs Kafka ≥ 2.5.
 * Source: kafka.apache.org/protocol and the message definitions of apache/kafka (clients/src/main/resources/common/message).
 */
import { type Offset, offset } from '../../../app/units.ts'
import type { TopicPartition } from '../../ports.ts'
import { accept } from './errors.ts'
import { send, type WireBroker } from './node.ts'
import type { AbortedTransaction } from './record-batch.ts'
import { WireReader, WireWriter } from './wire-bytes.ts'

const READ_COMMITTED = 1
const CONSUMER = -1

export interface FetchPosition extends TopicPartition {
  readonly position: Offset
}

export interface FetchedPartition extends TopicPartition {
  readonly position: Offset
  readonly errorCode: number
  /** Positions below it are committed or aborted for good. */
  readonly stable: Offset
  readonly aborted: readonly AbortedTransaction[]
  readonly records: Buffer
}

export interface FetchLimits {
  readonly waitMs: number
  readonly bytesMax: number
  readonly partitionBytesMax: number
}

/** Committed records from each position on; waits up to `waitMs` for the first byte. */
export async function fetchRecords(
  broker: WireBroker,
  positions: readonly FetchPosition[],
  limits: FetchLimits,
): Promise<FetchedPartition[]> {
  const writer = new WireWriter().int32(CONSUMER).int32(limits.waitMs).int32(1).int32(limits.bytesMax)
  writer.int8(READ_COMMITTED).int32(0).int32(-1)
  const asked = new Map<string, Offset>()
  // One topic entry a partition: order is kept, and with it who is served first.
  writer.int32(positions.length)
  for (const { topic, partition, position } of positions) {
    asked.set(`${topic}\n${partition}`, position)
    writer.string(topic).int32(1).int32(partition).int32(-1).int64(position).int64(-1).int32(limits.partitionBytesMax)
  }
  writer.int32(0).string('')
  const api = { key: 1, version: 11, name: 'Fetch' }
  return send(broker, api, writer.buffer, (raw) => {
    const reader = new WireReader(raw)
    reader.int32()
    accept(reader.int16(), 'Fetch')
    reader.int32()
    const topics = reader.array(() => {
      const topic = reader.string()
      return reader.array(() => fetchedPartition(reader, topic, asked))
    })
    return topics.flat()
  })
}

function fetchedPartition(reader: WireReader, topic: string, asked: ReadonlyMap<string, Offset>): FetchedPartition {
  const partition = reader.int32()
  const errorCode = reader.int16()
  reader.int64()
  const stable = reader.int64()
  reader.int64()
  const aborted = reader.array(() => ({ producerId: reader.int64(), firstOffset: reader.int64() }))
  reader.int32()
  const records = reader.bytes()
  const position = asked.get(`${topic}\n${partition}`)!
  return {
    topic,
    partition,
    position,
    errorCode,
    stable: offset(stable),
    aborted,
    records,
  }
}

export interface ProducedBatch extends TopicPartition {
  readonly batch: Buffer
}

export interface ProduceAnswer extends TopicPartition {
  readonly errorCode: number
}

/** Appends one batch to each partition, all of which the node leads; acknowledged by all in-sync replicas. */
export async function produceBatches(
  broker: WireBroker,
  batches: readonly ProducedBatch[],
  options: { transactionalId: string | null; timeoutMs: number },
): Promise<ProduceAnswer[]> {
  const size = batches.reduce((sum, { topic, batch }) => sum + batch.length + topic.length * 3 + 32, 256)
  const writer = new WireWriter(size).string(options.transactionalId).int16(-1).int32(options.timeoutMs)
  writer.int32(batches.length)
  for (const { topic, partition, batch } of batches) writer.string(topic).int32(1).int32(partition).bytes(batch)
  const api = { key: 0, version: 7, name: 'Produce' }
  return send(broker, api, writer.buffer, (raw) => {
    const reader = new WireReader(raw)
    const topics = reader.array(() => {
      const topic = reader.string()
      return reader.array(() => {
        const partition = reader.int32()
        const errorCode = reader.int16()
        reader.int64()
        reader.int64()
        reader.int64()
        return { topic, partition, errorCode }
      })
    })
    return topics.flat()
  })
}

export type OffsetKind = 'start' | 'end'

export interface ListedOffset extends TopicPartition {
  readonly errorCode: number
  readonly offset: Offset
}

/** Start of each partition, or the end of what is committed. */
export async function listOffsets(
  broker: WireBroker,
  sources: readonly TopicPartition[],
  kind: OffsetKind,
): Promise<ListedOffset[]> {
  const writer = new WireWriter().int32(CONSUMER).int8(READ_COMMITTED).int32(sources.length)
  const timestamp = kind === 'start' ? -2 : -1
  for (const { topic, partition } of sources) writer.string(topic).int32(1).int32(partition).int64(timestamp)
  return send(broker, { key: 2, version: 3, name: 'ListOffsets' }, writer.buffer, (raw) => {
    const reader = new WireReader(raw)
    reader.int32()
    const topics = reader.array(() => {
      const topic = reader.string()
      return reader.array(() => {
        const partition = reader.int32()
        const errorCode = reader.int16()
        reader.int64()
        return { topic, partition, errorCode, offset: offset(reader.int64()) }
      })
    })
    return topics.flat()
  })
}

export interface ProducerIdentity {
  readonly producerId: number
  readonly producerEpoch: number
}

/**
 * Gives a transactional id its next epoch: older publishers are fenced, and an open transaction is finished first.
 * @param current when given, the broker refuses (INVALID_PRODUCER_EPOCH) unless it is still the newest: KIP-360
 */
export async function initProducer(
  broker: WireBroker,
  transactionalId: string,
  timeoutMs: number,
  current: ProducerIdentity = { producerId: -1, producerEpoch: -1 },
): Promise<ProducerIdentity> {
  // A flexible version: its request header ends with tagged fields, which kafkajs doesn't write.
  const writer = new WireWriter().noTags().compactString(transactionalId).int32(timeoutMs)
  writer.int64(current.producerId).int16(current.producerEpoch).noTags()
  return send(broker, { key: 22, version: 3, name: 'InitProducerId' }, writer.buffer, (raw) => {
    const reader = new WireReader(raw)
    reader.skipTags()
    reader.int32()
    accept(reader.int16(), `InitProducerId ${transactionalId}`)
    return { producerId: reader.int64(), producerEpoch: reader.int16() }
  })
}

/** Position that a group has committed, when no transaction on it is open; undefined when it has none. */
export async function fetchCommitted(
  broker: WireBroker,
  group: string,
  source: TopicPartition,
): Promise<Offset | undefined> {
  const place = `OffsetFetch ${group} ${source.topic}[${source.partition}]`
  const writer = new WireWriter().noTags().compactString(group)
  writer.uvarint(2).compactString(source.topic).uvarint(2).int32(source.partition).noTags()
  writer.int8(1).noTags()
  return send(broker, { key: 9, version: 7, name: 'OffsetFetch' }, writer.buffer, (raw) => {
    const reader = new WireReader(raw)
    reader.skipTags()
    reader.int32()
    const [committed] = reader
      .compactArray(() => {
        reader.compactString()
        const partitions = reader.compactArray(() => {
          reader.int32()
          const position = reader.int64()
          reader.int32()
          reader.compactString()
          const errorCode = reader.int16()
          reader.skipTags()
          return { position, errorCode }
        })
        reader.skipTags()
        return partitions
      })
      .flat()
    accept(reader.int16(), place)
    if (!committed) return undefined
    accept(committed.errorCode, place)
    return committed.position < 0 ? undefined : offset(committed.position)
  })
}

/** Id of the node that coordinates a consumer group, or the transactions of a transactional id. */
export async function findCoordinator(broker: WireBroker, of: 'group' | 'transaction', id: string): Promise<number> {
  const writer = new WireWriter().string(id).int8(of === 'group' ? 0 : 1)
  return send(broker, { key: 10, version: 2, name: 'FindCoordinator' }, writer.buffer, (raw) => {
    const reader = new WireReader(raw)
    reader.int32()
    accept(reader.int16(), `coordinator of ${of} ${id}`)
    reader.string()
    return reader.int32()
  })
}
