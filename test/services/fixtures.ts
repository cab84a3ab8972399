/** Opened engines for service tests. */
import { Kafka, logLevel } from 'kafkajs'
import { type KafkaConfig, kafkaConfig } from '../../processors/engine/kafka/config.ts'
import { openKafka } from '../../processors/engine/kafka/engine.ts'
import type { Engine, TopicPartition } from '../../processors/engine/ports.ts'
import type { Patience } from '../engine/contract.ts'
import { environment, type Services, services } from './harness.ts'

/** Servers on a busy machine: conditions may take longer than in one process. */
export const SERVICE_PATIENCE: Patience = { deadlineMs: 30_000, testMs: 60_000 }

let made = 0
/** Begins names that nothing else has, on this server, ever. */
export const uniquePrefix = (): string => `t${process.pid}.${Date.now()}.${made++}-`

function configOf(found: Services, more: Record<string, string> = {}): KafkaConfig {
  return kafkaConfig({ ...environment(found), ...more })
}

export interface OpenFixture {
  readonly engine: Engine
  readonly prefix: string
  truncate(source: TopicPartition, before: number): Promise<void>
  close(): Promise<void>
}

export async function openFixture(more: Record<string, string> = {}): Promise<OpenFixture> {
  const found = await services()
  const engine = await openKafka(configOf(found, more))
  return {
    engine,
    prefix: uniquePrefix(),
    truncate: (source, before) => deleteRecords(found.brokers, source, before),
    close: async () => {
      await engine[Symbol.asyncDispose]()
    },
  }
}

/** What retention does in time. */
export async function deleteRecords(
  brokers: string,
  { topic, partition }: TopicPartition,
  before: number,
): Promise<void> {
  const admin = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] })
  } finally {
    await admin.disconnect()
  }
}
