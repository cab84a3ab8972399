import { RtmlError } from '../../processors/app/errors.ts'
import { epochMs, type Offset, offset } from '../../processors/app/units.ts'
import { partitionOf } from '../../processors/engine/murmur2.ts'
import type {
  Commit,
  Log,
  LogRecord,
  NewRecord,
  PartitionBounds,
  Publisher,
  RecordRun,
  TopicPartition,
  TopicSpec,
} from '../../processors/engine/ports.ts'
import type { Network } from './network.ts'
import type { Dice } from './random.ts'
import type { Scheduler, SimProcess } from './scheduler.ts'

interface Partition {
  readonly records: LogRecord[]
  start: number
  end: number
  readonly waiters: (() => void)[]
}

const MAX_RUN_RECORDS = 12

/** The log as one service: committed records only (a transaction is one instant here), offsets with holes as markers leave them. */
export class SimLog {
  readonly #scheduler: Scheduler
  readonly #dice: Dice
  readonly #topics = new Map<string, Partition[]>()
  readonly #committed = new Map<string, Offset>()
  readonly #publishers = new Map<string, number>()

  constructor(scheduler: Scheduler, dice: Dice) {
    this.#scheduler = scheduler
    this.#dice = dice
  }

  create(spec: TopicSpec): void {
    if (this.#topics.has(spec.topic)) return
    this.#topics.set(
      spec.topic,
      Array.from({ length: spec.partitions }, () => ({ records: [], start: 0, end: 0, waiters: [] })),
    )
  }

  topics(): string[] {
    return [...this.#topics.keys()].sort()
  }

  partitions(topic: string): readonly Partition[] {
    return this.#topics.get(topic) ?? []
  }

  /** All committed records of a topic, partition by partition. */
  records(topic: string): LogRecord[] {
    return this.partitions(topic).flatMap(({ records }) => records)
  }

  bounds(topic: string): PartitionBounds[] {
    return this.partitions(topic).map(({ start, end }, partition) => ({
      topic,
      partition,
      start: offset(start),
      end: offset(end),
    }))
  }

  committed(group: string, source: TopicPartition): Offset | undefined {
    return this.#committed.get(`${group}/${source.topic}/${source.partition}`)
  }

  append(records: readonly NewRecord[]): void {
    const touched = new Set<Partition>()
    for (const record of records) {
      const partitions = this.#topics.get(record.topic)
      if (!partitions) throw new Error(`no topic ${record.topic}`)
      const partition = record.partition ?? (record.key ? partitionOf(record.key, partitions.length) : 0)
      const target = partitions[partition]!
      target.records.push({
        topic: record.topic,
        partition,
        offset: offset(target.end++),
        timestamp: epochMs(Math.floor(this.#scheduler.now)),
        key: record.key,
        value: record.value,
        headers: record.headers ?? {},
      })
      touched.add(target)
    }
    for (const target of touched) for (const wake of target.waiters.splice(0)) wake()
  }

  openPublisher(id: string): number {
    const epoch = (this.#publishers.get(id) ?? 0) + 1
    this.#publishers.set(id, epoch)
    return epoch
  }

  publish(id: string, epoch: number, records: readonly NewRecord[], commit: Commit): void {
    if (this.#publishers.get(id) !== epoch) throw new RtmlError('FENCED', `publisher ${id} was opened elsewhere`)
    this.append(records)
    // The transaction's marker takes an offset of its own, in each partition it wrote to.
    for (const partition of new Set(records.map((record) => record.topic).flatMap((topic) => this.partitions(topic)))) {
      if (this.#dice.chance(0.5)) partition.end++
    }
    this.#committed.set(`${commit.group}/${commit.topic}/${commit.partition}`, commit.position)
  }

  /** The next run from `from`, or undefined when there is nothing yet. */
  fetch(source: TopicPartition, from: Offset, until: Offset | undefined): RecordRun | undefined {
    const partition = this.partitions(source.topic)[source.partition]
    if (!partition) throw new RtmlError('LOG_DOWN', `no ${source.topic}[${source.partition}]`)
    if (from < partition.start) throw new RtmlError('LOG_TRUNCATED', `${source.topic}[${source.partition}]@${from}`)
    const end = Math.min(partition.end, until ?? Number.POSITIVE_INFINITY)
    if (from >= end) return undefined
    const first = lowerBound(partition.records, from)
    const limit = this.#dice.integer(1, MAX_RUN_RECORDS)
    const records: LogRecord[] = []
    for (let index = first; index < partition.records.length && records.length < limit; index++) {
      const record = partition.records[index]!
      if (record.offset >= end) break
      records.push(record)
    }
    const after = partition.records[first + records.length]
    const to = records.length === limit && after && after.offset < end ? records.at(-1)!.offset + 1 : end
    return { topic: source.topic, partition: source.partition, from, to: offset(to), records }
  }

  /** Resolves when the partition reaches beyond `from`. */
  appended(source: TopicPartition, from: Offset): Promise<void> {
    const partition = this.partitions(source.topic)[source.partition]!
    if (partition.end > from) return Promise.resolve()
    return new Promise((resolve) => partition.waiters.push(resolve))
  }

  /** Retention: drops everything below `start`. */
  truncate(source: TopicPartition, start: number): void {
    const partition = this.partitions(source.topic)[source.partition]!
    partition.records.splice(0, lowerBound(partition.records, start))
    partition.start = Math.max(partition.start, start)
  }
}

function lowerBound(records: readonly LogRecord[], from: number): number {
  let low = 0
  let high = records.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (records[middle]!.offset < from) low = middle + 1
    else high = middle
  }
  return low
}

/** The log's port as one process sees it; groups come from the coordinator. */
export function logPort(log: SimLog, network: Network, process: SimProcess, subscribe: Log['subscribe']): Log {
  const call = <T>(effect: () => T) => network.call(process, 'log', effect)
  return {
    ensureTopics: (specs) =>
      call(() => {
        for (const spec of specs) log.create(spec)
        return []
      }),
    topics: () => call(() => log.topics()),
    bounds: (topic) => call(() => log.bounds(topic)),
    append: (records) => call(() => log.append(records)),
    committed: (group, source) => call(() => log.committed(group, source)),
    async *read(source, from, { until, signal }) {
      let position = from
      while (!signal?.aborted && (until === undefined || position < until)) {
        const run = await call(() => log.fetch(source, position, until))
        if (run) {
          yield run
          position = run.to
        } else if (until !== undefined) {
          return
        } else {
          await log.appended(source, position)
        }
      }
    },
    subscribe,
    async publisher(id): Promise<Publisher> {
      const epoch = await call(() => log.openPublisher(id))
      return {
        publish: (records, commit) => call(() => log.publish(id, epoch, records, commit)),
        close: async () => {},
      }
    },
    close: async () => {},
  }
}
