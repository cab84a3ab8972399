/** Reads whole topics as any subscriber would: kafkajs, committed records only. Nothing of rtml's own client is used. */
import { randomUUID } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'
import { epochMs, type Offset, offset } from '../../processors/app/units.ts'
import type { LogRecord } from '../../processors/engine/ports.ts'

const END_HEADER = 'chaos-end'
const READ_DEADLINE_MS = 180_000

export type Partitions = readonly (readonly LogRecord[])[]

/**
 * All committed records of the topics, by topic and partition. Each partition gets a last record that says so: nobody
 * may write any more.
 * @throws Error when a partition's end isn't seen in time, as when a transaction is never ended
 */
export async function readAll(
  client: { brokers: string[] },
  topics: readonly string[],
): Promise<ReadonlyMap<string, Partitions>> {
  const kafka = new Kafka({ ...client, logLevel: logLevel.NOTHING })
  const found = new Map<string, LogRecord[][]>()
  const open = new Set<string>()
  const mark = randomUUID()
  const [admin, producer] = [kafka.admin(), kafka.producer()]
  await Promise.all([admin.connect(), producer.connect()])
  for (const topic of topics) {
    const partitions = await admin.fetchTopicOffsets(topic)
    found.set(
      topic,
      partitions.map(() => []),
    )
    for (const { partition } of partitions) {
      open.add(`${topic}/${partition}`)
      const last = { partition, key: 'chaos-end', value: null, headers: { [END_HEADER]: mark } }
      await producer.send({ topic, acks: -1, messages: [last] })
    }
  }
  await Promise.all([admin.disconnect(), producer.disconnect()])

  const consumer = kafka.consumer({ groupId: `chaos-reader-${mark}`, readUncommitted: false, maxWaitTimeInMs: 200 })
  const done = Promise.withResolvers<void>()
  const deadline = setTimeout(
    () => done.reject(new Error(`no end of ${[...open].join(', ')}: is a transaction still open?`)),
    READ_DEADLINE_MS,
  )
  try {
    await consumer.connect()
    await consumer.subscribe({ topics: [...topics], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch: { topic, partition, messages } }) => {
        const records = found.get(topic)![partition]!
        for (const message of messages) {
          const end = message.headers?.[END_HEADER]
          if (end !== undefined) {
            if (String(end) === mark) open.delete(`${topic}/${partition}`)
            continue
          }
          records.push({
            topic,
            partition,
            offset: offsetOf(message.offset),
            timestamp: epochMs(Number(message.timestamp)),
            key: message.key,
            value: message.value,
            headers: Object.fromEntries(
              Object.entries(message.headers ?? {}).map(([name, value]) => [name, Buffer.from(String(value))]),
            ),
          })
        }
        if (open.size === 0) done.resolve()
      },
    })
    await done.promise
  } finally {
    clearTimeout(deadline)
    await consumer.disconnect()
  }
  return found
}

const offsetOf = (text: string): Offset => offset(Number(text))

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
