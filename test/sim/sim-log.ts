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
  records: LogRecord[]
  /** All that was ever appended, whatever retention and compaction have taken away: what the reference runs over. */
  readonly all: LogRecord[]
  start: number
  end: number
  readonly waiters: (() => void)[]
}

/** Safeguards of the log that a mutant may switch off. */
export interface LogGuards {
  readonly publisherFence: boolean
}

const MAX_RUN_RECORDS = 12

/** The log as one service: committed records only (a transaction is one instant here), offsets with holes as markers leave them. */
export class SimLog {
  readonly #scheduler: Scheduler
  readonly #dice: Dice
  readonly #topics = new Map<string, Partition[]>()
  readonly #committed = new Map<string, Offset>()
  readonly #publishers = new Map<string, number>()
  readonly #guards: LogGuards
  /** Committed positions that went back. */
  readonly violations: string[] = []

  constructor(scheduler: Scheduler, dice: Dice, guards: LogGuards) {
    this.#scheduler = scheduler
    this.#dice = dice
    this.#guards = guards
  }

  create(spec: TopicSpec): void {
    if (this.#topics.has(spec.topic)) return
    this.#topics.set(
      spec.topic,
      Array.from({ length: spec.partitions }, () => ({ records: [], all: [], start: 0, end: 0, waiters: [] })),
    )
  }

  topics(): string[] {
    return [...this.#topics.keys()].sort()
  }

  partitions(topic: string): readonly Partition[] {
    return this.#topics.get(topic) ?? []
  }

  /** All records that a topic ever had, partition by partition. */
  all(topic: string): LogRecord[] {
    return this.partitions(topic).flatMap(({ all }) => all)
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
    for (const target of this.#write(records)) wake(target)
  }

  #write(records: readonly NewRecord[]): Set<Partition> {
    const touched = new Set<Partition>()
    for (const record of records) {
      const partitions = this.#topics.get(record.topic)
      if (!partitions) throw new Error(`no topic ${record.topic}`)
      const partition = record.partition ?? (record.key ? partitionOf(record.key, partitions.length) : 0)
      const target = partitions[partition]!
      const stored: LogRecord = {
        topic: record.topic,
        partition,
        offset: offset(target.end++),
        timestamp: epochMs(Math.floor(this.#scheduler.now)),
        key: record.key,
        value: record.value,
        headers: record.headers ?? {},
      }
      target.records.push(stored)
      target.all.push(stored)
      touched.add(target)
    }
    return touched
  }

  openPublisher(id: string): number {
    const epoch = (this.#publishers.get(id) ?? 0) + 1
    this.#publishers.set(id, epoch)
    return epoch
  }

  publish(id: string, epoch: number, records: readonly NewRecord[], commit: Commit): void {
    if (this.#guards.publisherFence && this.#publishers.get(id) !== epoch)
      throw new RtmlError('FENCED', `publisher ${id} was opened elsewhere`)
    for (const target of this.#write(records)) {
      // The transaction's marker takes an offset of its own, in each partition that it wrote to.
      if (this.#dice.chance(0.5)) target.end++
      wake(target)
    }
    const name = `${commit.group}/${commit.topic}/${commit.partition}`
    const before = this.#committed.get(name)
    if (before !== undefined && commit.position < before)
      this.violations.push(`${name} was committed at ${before} and then at ${commit.position}`)
    this.#committed.set(name, commit.position)
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

  /** Compaction: of each key the newest record stays. */
  compact(topic: string): void {
    for (const partition of this.partitions(topic)) {
      const newest = new Map(partition.records.map((record) => [record.key?.toString(), record.offset]))
      partition.records = partition.records.filter(({ key, offset }) => newest.get(key?.toString()) === offset)
    }
  }
}

function wake({ waiters }: Partition): void {
  for (const waiter of waiters.splice(0)) waiter()
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
  const call = <T>(what: string, effect: () => T) => network.call(process, 'log', what, effect)
  return {
    ensureTopics: (specs) =>
      call('topics', () => {
        for (const spec of specs) log.create(spec)
        return []
      }),
    topics: () => call('list topics', () => log.topics()),
    bounds: (topic) => call(`bounds ${topic}`, () => log.bounds(topic)),
    append: (records) => call(`append ${records.length}`, () => log.append(records)),
    committed: (group, source) => call(`committed ${group}[${source.partition}]`, () => log.committed(group, source)),
    async *read(source, from, { until, signal }) {
      let position = from
      while (!signal?.aborted && (until === undefined || position < until)) {
        const run = await call(`read ${source.topic}[${source.partition}]@${position}`, () =>
          log.fetch(source, position, until),
        )
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
      const epoch = await call(`open publisher ${id}`, () => log.openPublisher(id))
      return {
        publish: (records, commit) =>
          call(`publish ${id} ${records.length}, commit ${commit.position}`, () =>
            log.publish(id, epoch, records, commit),
          ),
        close: async () => {},
      }
    },
    close: async () => {},
  }
}
