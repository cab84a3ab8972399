/**
 * Reads whole topics by other means than rtml's own client, and decides by itself what is committed: a record of a
 * transaction counts when its producer's next marker in the partition says so. The broker's index of aborted
 * transactions isn't asked, nor kafkajs' filter, which lets aborted records through where transactions overlap: it
 * takes the index for sorted by first offset, and brokers sort it by last offset.
 */
import { randomUUID } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'
import { epochMs, offset } from '../../processors/app/units.ts'
import type { LogRecord } from '../../processors/engine/ports.ts'

const END_HEADER = 'chaos-end'
const READ_DEADLINE_MS = 180_000
const FETCH_BYTES = 4 * 1024 * 1024

export type Partitions = readonly (readonly LogRecord[])[]

/**
 * All committed records of the topics, by topic and partition. Each partition gets a last record that says so: nobody
 * may write any more.
 * @throws Error when a partition's end isn't seen in time
 */
export async function readAll(
  client: { brokers: string[] },
  topics: readonly string[],
): Promise<ReadonlyMap<string, Partitions>> {
  const kafka = new Kafka({ ...client, logLevel: logLevel.NOTHING })
  const found = new Map<string, PartitionReader[]>()
  const open = new Set<string>()
  const mark = randomUUID()
  const [admin, producer] = [kafka.admin(), kafka.producer()]
  await Promise.all([admin.connect(), producer.connect()])
  for (const topic of topics) {
    const partitions = await admin.fetchTopicOffsets(topic)
    found.set(
      topic,
      partitions.map((_, partition) => new PartitionReader(topic, partition)),
    )
    for (const { partition } of partitions) {
      open.add(`${topic}/${partition}`)
      const last = { partition, key: 'chaos-end', value: null, headers: { [END_HEADER]: mark } }
      await producer.send({ topic, acks: -1, messages: [last] })
    }
  }
  await Promise.all([admin.disconnect(), producer.disconnect()])

  const consumer = kafka.consumer({
    groupId: `chaos-reader-${mark}`,
    readUncommitted: true,
    maxWaitTimeInMs: 200,
    // kafkajs hides answers that hold nothing but markers: with room enough, each comes with the records behind it.
    maxBytesPerPartition: FETCH_BYTES,
    maxBytes: FETCH_BYTES * open.size,
  })
  const done = Promise.withResolvers<void>()
  const deadline = setTimeout(
    () => done.reject(new Error(`no end of ${[...open].join(', ')} within ${READ_DEADLINE_MS / 1_000} s`)),
    READ_DEADLINE_MS,
  )
  try {
    await consumer.connect()
    await consumer.subscribe({ topics: [...topics], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        const { topic, partition } = batch
        const { rawMessages } = batch as unknown as { rawMessages: readonly RawMessage[] }
        if (found.get(topic)![partition]!.take(rawMessages, mark)) open.delete(`${topic}/${partition}`)
        if (open.size === 0) done.resolve()
      },
    })
    await done.promise
  } finally {
    clearTimeout(deadline)
    await consumer.disconnect()
  }
  return new Map([...found].map(([topic, readers]) => [topic, readers.map((reader) => reader.records())]))
}

/** A record or a marker as kafkajs decodes it, before it filters. */
interface RawMessage {
  readonly offset: string
  readonly timestamp: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: Readonly<Record<string, Buffer | string>>
  readonly isControlRecord: boolean
  readonly batchContext: { readonly producerId: string; readonly inTransaction: boolean }
}

/** Second half of a marker's key. */
const COMMITTED = 1

class PartitionReader {
  readonly #topic: string
  readonly #partition: number
  readonly #committed: LogRecord[] = []
  /** Records of transactions that no marker has ended yet, by producer. */
  readonly #pending = new Map<string, LogRecord[]>()
  #next = 0

  constructor(topic: string, partition: number) {
    this.#topic = topic
    this.#partition = partition
  }

  /** In the order of the log. What is still pending isn't committed, and so isn't there. */
  records(): LogRecord[] {
    return this.#committed.sort((a, b) => a.offset - b.offset)
  }

  /** @returns whether the mark was among them */
  take(messages: readonly RawMessage[], mark: string): boolean {
    let isOver = false
    for (const message of messages) {
      const at = Number(message.offset)
      if (at < this.#next) continue
      this.#next = at + 1
      const { producerId, inTransaction } = message.batchContext
      const end = message.headers?.[END_HEADER]
      if (message.isControlRecord) {
        const pending = this.#pending.get(producerId) ?? []
        this.#pending.delete(producerId)
        if (message.key!.readInt16BE(2) === COMMITTED) for (const record of pending) this.#committed.push(record)
      } else if (end !== undefined) isOver ||= String(end) === mark
      else if (!inTransaction) this.#committed.push(this.#recordOf(message))
      else {
        const pending = this.#pending.get(producerId) ?? []
        pending.push(this.#recordOf(message))
        this.#pending.set(producerId, pending)
      }
    }
    return isOver
  }

  #recordOf({ offset: at, timestamp, key, value, headers = {} }: RawMessage): LogRecord {
    return {
      topic: this.#topic,
      partition: this.#partition,
      offset: offset(Number(at)),
      timestamp: epochMs(Number(timestamp)),
      key,
      value,
      headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)])),
    }
  }
}

/** Committed position of a group in each partition of its topic; -1 where there is none. */
export async function committedOf(client: { brokers: string[] }, group: string, topic: string): Promise<number[]> {
  const admin = new Kafka({ ...client, logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const [offsets] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    const positions: number[] = []
    for (const { partition, offset: at } of offsets?.partitions ?? []) positions[partition] = Number(at)
    return positions
  } finally {
    await admin.disconnect()
  }
}

/** End of each partition: the offset after its last record, committed or not. */
export async function endsOf(client: { brokers: string[] }, topic: string): Promise<number[]> {
  const admin = new Kafka({ ...client, logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const ends: number[] = []
    for (const { partition, offset: at } of await admin.fetchTopicOffsets(topic)) ends[partition] = Number(at)
    return ends
  } finally {
    await admin.disconnect()
  }
}
