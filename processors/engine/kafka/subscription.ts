/** A group's partitions, delivered: one run a partition at a time, in order, without holes. */
import { RtmlError } from '../../app/errors.ts'
import type { Offset } from '../../app/units.ts'
import type { RecordRun, Subscriber, Subscription, TopicPartition } from '../ports.ts'
import { Fetcher, type FetchTarget, truncated } from './fetcher.ts'
import { GroupMember } from './group.ts'
import type { Wire } from './wire.ts'

/** A partition that waits with so much is fetched no further. */
const QUEUED_BYTES_MAX = 1024 * 1024
/** A run never has more records, so that a batch of work stays short. */
const RUN_RECORDS_MAX = 4_096

export class KafkaSubscription implements Subscription {
  readonly #subscriber: Subscriber
  readonly #fetcher: Fetcher
  readonly #member: GroupMember
  readonly #feeds = new Map<string, Feed>()
  readonly #startOf: (source: TopicPartition) => Promise<Offset>
  #isOver = false

  constructor(
    wire: Wire,
    group: string,
    topics: readonly string[],
    subscriber: Subscriber,
    startOf: (source: TopicPartition) => Promise<Offset>,
  ) {
    this.#subscriber = subscriber
    this.#startOf = startOf
    this.#fetcher = new Fetcher(wire)
    this.#member = new GroupMember(wire, group, topics, {
      given: (partitions) => subscriber.assigned(partitions),
      taken: (partitions, options) => {
        for (const source of partitions) this.#drop(source)
        return subscriber.revoked(partitions, options)
      },
      failed: (error) => this.#fail(error),
    })
    this.#member.start()
  }

  async start(source: TopicPartition, position: Offset): Promise<void> {
    const start = await this.#startOf(source)
    if (position < start) throw truncated(source, position, start)
    // Taken away meanwhile: `revoked` has said so.
    if (!this.#member.owns(source)) return
    const earlier = this.#drop(source)
    const feed = new Feed(source, position, earlier, this.#subscriber, {
      hasRoom: () => this.#fetcher.wake(),
      fail: (error) => this.#fail(error),
    })
    this.#feeds.set(keyOf(source), feed)
    this.#fetcher.add(feed)
  }

  async close(): Promise<void> {
    this.#isOver = true
    await this.#member.close()
    for (const feed of this.#feeds.values()) this.#drop(feed)
    await this.#fetcher.close()
  }

  /** @returns the delivery that is still under way */
  #drop(source: TopicPartition): Promise<void> {
    const feed = this.#feeds.get(keyOf(source))
    if (!feed) return Promise.resolve()
    this.#feeds.delete(keyOf(source))
    this.#fetcher.remove(feed)
    return feed.stop()
  }

  #fail(error: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#subscriber.failed(error)
  }
}

const keyOf = ({ topic, partition }: TopicPartition): string => `${topic}\n${partition}`

/** One partition from `start` until the next `start` or its revocation. */
class Feed implements FetchTarget {
  readonly topic: string
  readonly partition: number
  readonly #subscriber: Subscriber
  readonly #events: { hasRoom(): void; fail(error: Error): void }
  #position: Offset
  #queue: RecordRun[] = []
  #queuedBytes = 0
  #isStopped = false
  #delivering: Promise<void>
  #isDelivering = false

  constructor(
    { topic, partition }: TopicPartition,
    position: Offset,
    earlier: Promise<void>,
    subscriber: Subscriber,
    events: { hasRoom(): void; fail(error: Error): void },
  ) {
    this.topic = topic
    this.partition = partition
    this.#position = position
    this.#delivering = earlier
    this.#subscriber = subscriber
    this.#events = events
  }

  get wanted(): Offset | undefined {
    return this.#isStopped || this.#queuedBytes >= QUEUED_BYTES_MAX ? undefined : this.#position
  }

  take(run: RecordRun): void {
    if (this.#isStopped || run.from !== this.#position) return
    this.#position = run.to
    this.#queue.push(run)
    this.#queuedBytes += bytesOf(run)
    if (this.#isDelivering) return
    this.#isDelivering = true
    this.#delivering = this.#delivering.then(() => this.#deliver())
  }

  fail(error: Error): void {
    if (!this.#isStopped) this.#events.fail(error)
  }

  /** Delivers no further run; resolves when the one under way is done. */
  stop(): Promise<void> {
    this.#isStopped = true
    this.#queue = []
    return this.#delivering
  }

  async #deliver(): Promise<void> {
    while (this.#queue.length > 0 && !this.#isStopped) {
      const run = this.#next()
      try {
        await this.#subscriber.deliver(run)
      } catch (error) {
        this.fail(error instanceof Error ? error : new Error(String(error)))
        this.#isStopped = true
      }
    }
    this.#isDelivering = false
  }

  /** Runs that have gathered go together: the busier the partition, the larger the batches. */
  #next(): RecordRun {
    const isFull = this.#queuedBytes >= QUEUED_BYTES_MAX
    const first = this.#queue.shift()!
    let run = first
    if (first.records.length > RUN_RECORDS_MAX) {
      const [head, tail] = split(first)
      this.#queue.unshift(tail)
      run = head
    } else {
      while (this.#queue[0] && run.records.length + this.#queue[0].records.length <= RUN_RECORDS_MAX) {
        run = joined(run, this.#queue.shift()!)
      }
    }
    this.#queuedBytes = this.#queue.reduce((sum, waiting) => sum + bytesOf(waiting), 0)
    if (isFull && this.wanted !== undefined) this.#events.hasRoom()
    return run
  }
}

function split(run: RecordRun): [RecordRun, RecordRun] {
  const to = run.records[RUN_RECORDS_MAX]!.offset
  return [
    { ...run, to, records: run.records.slice(0, RUN_RECORDS_MAX) },
    { ...run, from: to, records: run.records.slice(RUN_RECORDS_MAX) },
  ]
}

function joined(left: RecordRun, right: RecordRun): RecordRun {
  if (left.to !== right.from) {
    throw new RtmlError('LOG_DOWN', `runs don't meet: ${left.to}, ${right.from}`, {
      place: `${left.topic}[${left.partition}]`,
    })
  }
  return { ...left, to: right.to, records: left.records.concat(right.records) }
}

/** Memory that a run takes, roughly: a record object costs about 100 bytes beside its own. */
function bytesOf(run: RecordRun): number {
  let bytes = 0
  for (const { key, value } of run.records) bytes += 100 + (key?.length ?? 0) + (value?.length ?? 0)
  return bytes
}
