import { RtmlError } from '../../app/errors.ts'
import { partitionOf } from '../murmur2.ts'
import type { NewRecord, TopicProblem, TopicSpec } from '../ports.ts'
import { packedSize, packRecords } from '../record-codec.ts'
import type { Environment } from './environment.ts'
import { nameKey } from './keys.ts'
import { BATCH_BYTES, BATCH_RECORDS, nextNumber, type Packed } from './log-write.ts'

export interface Topic extends TopicSpec {
  readonly id: number
}

/** Largest record, key and headers included. */
const RECORD_BYTES = 16 * 1_048_576
const PARTITIONS = 1_024
const NAME = /^[a-zA-Z0-9._-]{1,249}$/

/** Topics of an environment by name. A topic is never deleted and changes only while everything is stopped (`grow`). */
export class Topics {
  readonly #environment: Environment
  readonly #known = new Map<string, Topic>()
  /** Partition of the next append's records without a key. */
  #turn = 0

  constructor(environment: Environment) {
    this.#environment = environment
  }

  find(name: string): Topic | undefined {
    const known = this.#known.get(name)
    if (known) return known
    if (!NAME.test(name)) return undefined
    const value = this.#environment.tables.topics.getBinary(nameKey(name))
    if (!value) return undefined
    const topic = JSON.parse(Buffer.from(value).toString()) as Topic
    this.#known.set(name, topic)
    return topic
  }

  /** @throws RtmlError TOPIC_SETTING when there is none */
  require(name: string): Topic {
    const topic = this.find(name)
    if (topic) return topic
    throw new RtmlError('TOPIC_SETTING', 'the topic does not exist. Name it in the application file, or create it.', {
      place: name,
    })
  }

  all(): Topic[] {
    this.#environment.refresh()
    return [...this.#environment.tables.topics.getKeys()].map((key) => this.require((key as Buffer).toString()))
  }

  async ensure(specs: readonly TopicSpec[]): Promise<TopicProblem[]> {
    for (const { topic, partitions } of specs) {
      if (NAME.test(topic) && Number.isInteger(partitions) && partitions >= 1 && partitions <= PARTITIONS) continue
      throw new RtmlError(
        'TOPIC_SETTING',
        `${partitions} partitions: a topic has 1 to ${PARTITIONS} of them, and a name of 1 to 249 letters, digits, dots, dashes and underscores.`,
        { place: topic },
      )
    }
    if (specs.some((spec) => !this.find(spec.topic))) {
      await this.#environment.write('LOG_DOWN', ({ tables }) => {
        for (const spec of specs) {
          const key = nameKey(spec.topic)
          if (tables.topics.getBinary(key)) continue
          const topic: Topic = { ...spec, id: nextNumber(tables, 'topic') }
          tables.topics.putSync(key, Buffer.from(JSON.stringify(topic)))
        }
      })
    }
    return specs.flatMap((spec) => differences(this.require(spec.topic), spec))
  }

  /** Adds partitions. Other processes see them after their next start. @throws RtmlError TOPIC_SETTING */
  async grow(name: string, partitions: number): Promise<void> {
    const topic = this.require(name)
    if (!Number.isInteger(partitions) || partitions < topic.partitions || partitions > PARTITIONS) {
      throw new RtmlError(
        'TOPIC_SETTING',
        `it has ${topic.partitions} partitions; it can have as many or more, up to ${PARTITIONS}, not ${partitions}.`,
        { place: name },
      )
    }
    const grown = { ...topic, partitions }
    await this.#environment.write('LOG_DOWN', ({ tables }) => {
      tables.topics.putSync(nameKey(name), Buffer.from(JSON.stringify(grown)))
    })
    this.#known.set(name, grown)
  }

  /**
   * Packs records for their partitions, in their order.
   * @throws RtmlError TOPIC_SETTING for a topic or partition that doesn't exist, LIMIT for a record that is too large
   */
  pack(records: readonly NewRecord[]): Packed[] {
    const byTopic = new Map<string, { topic: Topic; partitions: (NewRecord[] | undefined)[] }>()
    const turn = this.#turn++
    let last: { topic: Topic; partitions: (NewRecord[] | undefined)[] } | undefined
    for (const record of records) {
      if (last?.topic.topic !== record.topic) {
        last = byTopic.get(record.topic)
        if (!last) {
          last = { topic: this.require(record.topic), partitions: [] }
          byTopic.set(record.topic, last)
        }
      }
      const partition = choosePartition(record, last.topic.partitions, turn)
      const list = last.partitions[partition]
      if (list) list.push(record)
      else last.partitions[partition] = [record]
    }
    const packed: Packed[] = []
    for (const { topic, partitions } of byTopic.values()) {
      for (const [partition, list] of partitions.entries()) if (list) packPartition(topic, partition, list, packed)
    }
    return packed
  }
}

function choosePartition(record: NewRecord, partitions: number, turn: number): number {
  const { partition, key } = record
  if (partition === undefined) return key === null ? turn % partitions : partitionOf(key, partitions)
  if (partition >= 0 && partition < partitions && Number.isInteger(partition)) return partition
  throw new RtmlError('TOPIC_SETTING', `partition ${partition} does not exist; the topic has ${partitions}.`, {
    place: record.topic,
  })
}

/** Cuts one partition's records into batches of at most BATCH_RECORDS and BATCH_BYTES (or of one larger record). */
function packPartition(topic: Topic, partition: number, records: readonly NewRecord[], packed: Packed[]): void {
  let from = 0
  let bytes = 0
  const cut = (to: number) => {
    if (to === from) return
    packed.push({ topicId: topic.id, partition, count: to - from, batch: packRecords(records, from, to) })
    from = to
    bytes = 0
  }
  for (let i = 0; i < records.length; i++) {
    const size = packedSize(records[i]!)
    if (size > RECORD_BYTES) {
      throw new RtmlError('LIMIT', `a record of ${size} bytes; the embedded log takes at most ${RECORD_BYTES}.`, {
        place: `${topic.topic}[${partition}]`,
      })
    }
    if (i - from === BATCH_RECORDS || bytes + size > BATCH_BYTES) cut(i)
    bytes += size
  }
  cut(records.length)
}

function differences(found: Topic, wanted: TopicSpec): TopicProblem[] {
  const problems: TopicProblem[] = []
  const compare = (setting: string, want: unknown, have: unknown, fatal: boolean) => {
    if (want === have) return
    problems.push({ topic: wanted.topic, setting, wanted: String(want), found: String(have), fatal })
  }
  compare('partitions', wanted.partitions, found.partitions, true)
  // Losing old values of a key, or keeping all of them, changes what a reader from the start is told.
  compare('cleanup', wanted.cleanup, found.cleanup, false)
  compare('retentionMs', wanted.retentionMs ?? 'for ever', found.retentionMs ?? 'for ever', false)
  return problems
}
