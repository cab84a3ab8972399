/** The `Log` port on Kafka. */
import type { Admin } from 'kafkajs'
import { RtmlError } from '../../app/errors.ts'
import type { Offset } from '../../app/units.ts'
import type {
  Log,
  NewRecord,
  PartitionBounds,
  Publisher,
  RecordRun,
  Subscriber,
  Subscription,
  TopicPartition,
  TopicProblem,
  TopicSpec,
} from '../ports.ts'
import { Appender } from './appender.ts'
import { byLeader, partitionCount } from './metadata.ts'
import { accept, isRefused, isSilent, typeOf } from './protocol/errors.ts'
import { fetchCommitted, type ListedOffset, listOffsets, type OffsetKind } from './protocol/requests.ts'
import { KafkaPublisher } from './publisher.ts'
import { readPartition } from './reader.ts'
import { patiently } from './retry.ts'
import { KafkaSubscription } from './subscription.ts'
import { text } from './text.ts'
import { absent, compare, createTopics, describeTopics } from './topics.ts'
import type { Line, Wire } from './wire.ts'

export class KafkaLog implements Log {
  readonly #wire: Wire
  readonly #control: Line
  readonly #appender: Appender
  readonly #open = new Set<{ close(): Promise<void> }>()
  readonly #closing = new AbortController()

  constructor(wire: Wire) {
    this.#wire = wire
    this.#control = wire.line()
    this.#appender = new Appender(wire)
  }

  async ensureTopics(specs: readonly TopicSpec[]): Promise<TopicProblem[]> {
    return this.#administer('topics', async (admin) => {
      const existing = new Set(await admin.listTopics())
      const missing = specs.filter((spec) => !existing.has(spec.topic))
      const { replicationFactor, requestTimeoutMs: timeoutMs } = this.#wire.settings
      const refused = await createTopics(admin, missing, { replicationFactor, timeoutMs })
      const names = specs.map((spec) => spec.topic).filter((topic) => !refused.has(topic))
      const found = await patiently(this.#wire.clock, timeoutMs, () => describeTopics(admin, names))
      return specs.flatMap((spec) => {
        const topic = found.get(spec.topic)
        return topic ? compare(spec, topic) : [absent(spec, refused.get(spec.topic) ?? 'not created')]
      })
    })
  }

  async bounds(topic: string): Promise<PartitionBounds[]> {
    const count = await this.#patiently(`bounds of ${topic}`, (line) =>
      line.call(`bounds of ${topic}`, (cluster) => partitionCount(cluster, topic)),
    ).catch((error: unknown) => {
      if (hasType(error, 'UNKNOWN_TOPIC_OR_PARTITION')) return 0
      throw error
    })
    const sources = Array.from({ length: count }, (_, partition) => ({ topic, partition }))
    if (count === 0) return []
    const [starts, ends] = await Promise.all([this.#offsets(sources, 'start'), this.#offsets(sources, 'end')])
    return sources.map(({ partition }) => ({
      topic,
      partition,
      start: starts[partition]!.offset,
      end: ends[partition]!.offset,
    }))
  }

  async topics(): Promise<string[]> {
    const all = await this.#administer('topics', (admin) => admin.listTopics())
    return all.filter((topic) => !topic.startsWith('__')).sort()
  }

  async grow(topic: string, partitions: number): Promise<void> {
    await this.#administer(`partitions of ${topic}`, (admin) =>
      admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] }),
    )
    // Every broker knows within milliseconds; until then the count is the old one.
    const { clock, settings } = this.#wire
    const deadline = clock.now() + settings.requestTimeoutMs
    do await this.#control.refresh()
    while ((await this.bounds(topic)).length < partitions && clock.now() < deadline)
  }

  append(records: readonly NewRecord[]): Promise<void> {
    return this.#appender.append(records)
  }

  read(
    source: TopicPartition,
    from: Offset,
    { until, signal }: { until?: Offset; signal?: AbortSignal },
  ): AsyncIterable<RecordRun> {
    const signals = signal ? [signal, this.#closing.signal] : [this.#closing.signal]
    return readPartition(this.#wire, source, from, {
      ...(until !== undefined && { until }),
      signal: AbortSignal.any(signals),
    })
  }

  async subscribe(group: string, topics: readonly string[], subscriber: Subscriber): Promise<Subscription> {
    for (const topic of topics) {
      if ((await this.bounds(topic)).length > 0) continue
      throw new RtmlError('TOPIC_SETTING', 'the topic does not exist. Run: rtml topics', { place: topic })
    }
    const startOf = async (source: TopicPartition): Promise<Offset> => {
      const [start] = await this.#offsets([source], 'start')
      return start!.offset
    }
    return this.#tracked(new KafkaSubscription(this.#wire, group, topics, subscriber, startOf))
  }

  async publisher(id: string): Promise<Publisher> {
    return this.#tracked(await KafkaPublisher.open(this.#wire, id))
  }

  async committed(group: string, source: TopicPartition): Promise<Offset | undefined> {
    return this.#patiently(`committed position of ${group}`, (line) =>
      line.call(`committed position of ${group}`, async (cluster) =>
        fetchCommitted(await line.coordinator(cluster, 'group', group), group, source),
      ),
    )
  }

  /** Asks for metadata, to see whether the brokers answer. */
  async probe(): Promise<void> {
    await this.#control.refresh()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all([...this.#open].map((one) => one.close()))
    await this.#appender.close()
    await this.#wire.close()
  }

  #tracked<T extends { close(): Promise<void> }>(opened: T): T {
    const close = opened.close.bind(opened)
    this.#open.add(opened)
    opened.close = async () => {
      this.#open.delete(opened)
      await close()
    }
    return opened
  }

  async #offsets(sources: readonly TopicPartition[], kind: OffsetKind): Promise<ListedOffset[]> {
    const place = `${kind} of ${sources[0]?.topic}`
    const listed = await this.#patiently(place, (line) =>
      line.call(place, async (cluster) => {
        const answers = await byLeader(cluster, sources, (broker, some) => listOffsets(broker, some, kind))
        for (const { topic, partition, errorCode } of answers) accept(errorCode, `${topic}[${partition}]`)
        return answers
      }),
    )
    return listed.sort((a, b) => a.partition - b.partition)
  }

  #patiently<T>(place: string, attempt: (line: Line) => Promise<T>): Promise<T> {
    let isUnknown = 0
    return patiently(
      this.#wire.clock,
      this.#wire.settings.requestTimeoutMs,
      () => attempt(this.#control),
      async (error) => {
        // A topic that was made a moment ago is known everywhere within milliseconds; one that isn't by then is absent.
        if (typeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION' && isUnknown++ >= 5) throw new Absent(place)
        await this.#control.refresh()
      },
    )
  }

  /** Administration is rare: it has its own connection for the time of a call. */
  async #administer<T>(place: string, use: (admin: Admin) => Promise<T>): Promise<T> {
    const kafka = await this.#wire.kafka()
    const admin = kafka.admin({ retry: { retries: 3 } })
    try {
      await admin.connect()
      const value = await use(admin)
      this.#wire.health.up('kafka')
      return value
    } catch (error) {
      if (error instanceof RtmlError) throw error
      if (isSilent(error)) this.#wire.health.silent('kafka')
      const code = isRefused(error) ? 'CONFIG' : 'LOG_DOWN'
      throw new RtmlError(code, `${place}: ${text(error)}`, { cause: error })
    } finally {
      await admin.disconnect().catch(() => {})
    }
  }
}

class Absent extends Error {
  readonly type = 'UNKNOWN_TOPIC_OR_PARTITION'
}

const hasType = (error: unknown, type: string): boolean => typeOf(error) === type
