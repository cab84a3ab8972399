import { Kafka, logLevel, Partitioners } from 'kafkajs'
import { part } from './children.ts'
import { topicOf } from './engine.ts'
import { generate } from './generate.ts'
import { JOB } from './job.ts'
import { Meter } from './usage.ts'

export interface Baseline {
  readonly name: string
  readonly eventsPerSecond: number
  readonly cpuMicrosPerEvent: number
}

const PARSED = 200_000

/** What the same events cost without rtml: parsing them, and with Kafka also copying them from topic to topic. */
await part<Baseline[]>(async (options) => {
  const baselines = [parse(options.seed)]
  if (options.env.KAFKA_BROKERS !== undefined)
    baselines.push(await copy(options.env.KAFKA_BROKERS, topicOf(options, JOB.topic), options.events))
  return baselines
})

function parse(seed: number): Baseline {
  const values = [...generate({ events: PARSED, seed })].map(({ json }) => Buffer.from(json, 'latin1'))
  const meter = new Meter()
  let sum = 0
  for (const value of values) sum += (JSON.parse(value.toString()) as { time: number }).time
  const { seconds, cpuSeconds } = meter.stop()
  if (sum === 0) throw new Error('unreachable: keeps the results alive')
  return baseline('JSON.parse alone', PARSED, seconds, cpuSeconds)
}

/** kafkajs as its documentation shows it: a batch is read, sent on with acks of all replicas, and its offset committed. */
async function copy(brokers: string, topic: string, events: number): Promise<Baseline> {
  const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING })
  const target = `${topic}.copy`
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic: target, numPartitions: JOB.partitions }] })
  await admin.disconnect()
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
  const consumer = kafka.consumer({ groupId: `${topic}.copy` })
  await producer.connect()
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let copied = 0
  let meter: Meter | undefined
  const done = Promise.withResolvers<void>()
  await consumer.run({
    partitionsConsumedConcurrently: JOB.partitions,
    eachBatch: async ({ batch }) => {
      meter ??= new Meter()
      const messages = batch.messages.map(({ key, value }) => ({ key, value, partition: batch.partition }))
      await producer.send({ topic: target, messages })
      copied += messages.length
      if (copied >= events) done.resolve()
    },
  })
  await done.promise
  const { seconds, cpuSeconds } = meter!.stop()
  await consumer.disconnect()
  await producer.disconnect()
  return baseline('kafkajs copies topic to topic', events, seconds, cpuSeconds)
}

function baseline(name: string, events: number, seconds: number, cpuSeconds: number): Baseline {
  return {
    name,
    eventsPerSecond: events / seconds,
    cpuMicrosPerEvent: (cpuSeconds * 1e6) / events,
  }
}
