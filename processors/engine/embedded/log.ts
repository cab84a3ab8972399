import { RtmlError } from '../../app/errors.ts'
import { type Offset, offset } from '../../app/units.ts'
import type {
  Commit,
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
import type { Environment, Tables } from './environment.ts'
import { Group } from './group.ts'
import { nameKey } from './keys.ts'
import { fetchRun, purgeBatch, requireKept } from './log-read.ts'
import { numberOf, numberValue, readHead } from './log-write.ts'
import { Tail, turn } from './tail.ts'
import type { Topics } from './topics.ts'

const NAME_BYTES = 255

/** The event log in LMDB: one entry a batch of records, one process a group. */
export class EmbeddedLog implements Log {
  readonly #environment: Environment
  readonly #topics: Topics
  readonly #tail: Tail
  readonly #groups = new Map<string, Group>()
  readonly #subscriptions = new Set<Subscription>()

  constructor(environment: Environment, topics: Topics) {
    this.#environment = environment
    this.#topics = topics
    this.#tail = new Tail(environment)
  }

  ensureTopics(specs: readonly TopicSpec[]): Promise<TopicProblem[]> {
    return this.#topics.ensure(specs)
  }

  async bounds(topic: string): Promise<PartitionBounds[]> {
    this.#environment.refresh()
    const found = this.#topics.find(topic)
    if (!found) return []
    return Array.from({ length: found.partitions }, (_, partition) => {
      const { start, end } = readHead(this.#environment.tables, found.id, partition)
      return { topic, partition, start: offset(start), end: offset(end) }
    })
  }

  async topics(): Promise<string[]> {
    return this.#topics.all().map(({ topic }) => topic)
  }

  grow(topic: string, partitions: number): Promise<void> {
    return this.#topics.grow(topic, partitions)
  }

  async append(records: readonly NewRecord[]): Promise<void> {
    if (records.length === 0) return
    const packed = this.#topics.pack(records)
    await this.#environment.write('LOG_DOWN', (write) => write.append(packed))
  }

  async *read(
    source: TopicPartition,
    from: Offset,
    options: { until?: Offset; signal?: AbortSignal },
  ): AsyncGenerator<RecordRun> {
    const { until = Number.POSITIVE_INFINITY, signal = new AbortController().signal } = options
    const { id } = this.#topics.require(source.topic)
    this.#environment.refresh()
    requireKept(source, from, readHead(this.#environment.tables, id, source.partition).start)
    let position: number = from
    while (position < until && !signal.aborted && !this.#tail.isClosed) {
      const run = fetchRun(this.#environment.tables, id, source, position, until)
      if (run) {
        yield run
        position = run.to
        await turn()
      } else {
        await this.#tail.wait(id, source.partition, position, signal)
      }
    }
  }

  async subscribe(name: string, topics: readonly string[], subscriber: Subscriber): Promise<Subscription> {
    let group = this.#groups.get(name)
    if (!group || group.isEmpty) {
      group = new Group(
        topics.map((topic) => this.#topics.require(topic)),
        this.#environment,
        this.#tail,
      )
      this.#groups.set(name, group)
    }
    const subscription = group.join(subscriber)
    this.#subscriptions.add(subscription)
    return {
      start: subscription.start,
      close: async () => {
        await subscription.close()
        this.#subscriptions.delete(subscription)
      },
    }
  }

  async publisher(id: string): Promise<Publisher> {
    const key = nameKey(requireName('publisher', id))
    const epoch = await this.#environment.write('LOG_DOWN', ({ tables }) => {
      const next = publisherEpoch(tables, key) + 1
      tables.publishers.putSync(key, numberValue(next))
      return next
    })
    return {
      publish: async (records, commit) => {
        const packed = this.#topics.pack(records)
        const position = positionKey(commit.group, commit)
        const current = await this.#environment.write('LOG_DOWN', (write) => {
          const current = publisherEpoch(write.tables, key)
          if (current !== epoch) return current
          write.append(packed)
          write.position(position, commit.position)
          return current
        })
        if (current !== epoch) throw fenced(id, epoch, current)
      },
      close: async () => {},
    }
  }

  async committed(group: string, source: TopicPartition): Promise<Offset | undefined> {
    this.#environment.refresh()
    const value = this.#environment.tables.positions.getBinary(positionKey(group, source))
    return value && offset(numberOf(value))
  }

  async purge(source: TopicPartition, offsets: ReadonlySet<number>): Promise<number> {
    const { id } = this.#topics.require(source.topic)
    let purged = 0
    for (const at of [...offsets].sort((a, b) => a - b)) {
      // One batch a step: a step holds the write lock.
      purged += await this.#environment.write('LOG_DOWN', (write) => purgeBatch(write, id, source, at, offsets), {
        frees: true,
      })
    }
    return purged
  }

  /** Deletes what is below `before`, as retention does: for tests and for an operator who must make room. */
  async truncate(source: TopicPartition, before: Offset): Promise<void> {
    const { id } = this.#topics.require(source.topic)
    await this.#environment.write('LOG_DOWN', (write) => {
      const head = write.head(id, source.partition)
      head.start = Math.max(head.start, Math.min(before, head.end))
    })
  }

  async close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.close()))
    this.#subscriptions.clear()
    await this.#tail.close()
  }
}

export const positionKey = (group: string, { topic, partition }: TopicPartition | Commit): Buffer =>
  nameKey(requireName('group', group), topic, partition)

function requireName(what: string, name: string): string {
  if (Buffer.byteLength(name) <= NAME_BYTES && name.length > 0 && !name.includes('\0')) return name
  throw new RtmlError('CONFIG', `a ${what}'s name has 1 to ${NAME_BYTES} bytes and no NUL.`, { place: name })
}

function publisherEpoch(tables: Tables, key: Buffer): number {
  const value = tables.publishers.getBinary(key)
  return value ? numberOf(value) : 0
}

const fenced = (id: string, mine: number, current: number): RtmlError =>
  new RtmlError('FENCED', `publisher epoch ${mine} was taken over by epoch ${current}. Nothing was published.`, {
    place: id,
  })
