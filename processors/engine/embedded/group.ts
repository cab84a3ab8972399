import { type Clock, type Ms, ms, type Offset } from '../../app/units.ts'
import type { Subscriber, Subscription, TopicPartition } from '../ports.ts'
import type { Environment } from './environment.ts'
import { fetchRun, requireKept } from './log-read.ts'
import { readHead } from './log-write.ts'
import { type Tail, turn } from './tail.ts'
import type { Topic } from './topics.ts'

/** How long a member may drain before its partitions go to another one all the same; epochs fence it then. */
const DRAIN_MS: Ms = ms(30_000)

interface Place extends TopicPartition {
  readonly topicId: number
}

interface Member {
  readonly subscriber: Subscriber
  readonly feeds: Map<string, Feed>
}

/**
 * The members of one group in this process. Partitions stay where they are as far as the shares stay even; one that
 * moves is taken away and drained before it is given on.
 */
export class Group {
  readonly topics: readonly Topic[]
  readonly #environment: Environment
  readonly #tail: Tail
  readonly #places: readonly Place[]
  readonly #members = new Set<Member>()
  #last: Promise<void> = Promise.resolve()

  constructor(topics: readonly Topic[], environment: Environment, tail: Tail) {
    this.topics = topics
    this.#environment = environment
    this.#tail = tail
    this.#places = topics.flatMap(({ topic, id, partitions }) =>
      Array.from({ length: partitions }, (_, partition) => ({ topic, topicId: id, partition })),
    )
  }

  get isEmpty(): boolean {
    return this.#members.size === 0
  }

  join(subscriber: Subscriber): Subscription {
    const member: Member = { subscriber, feeds: new Map() }
    this.#members.add(member)
    // After this turn, so that the subscriber holds its subscription when it is told of its partitions.
    void this.#inOrder(async () => {
      await turn()
      await this.#share()
    })
    let closed: Promise<void> | undefined
    return {
      start: async (source, position) => member.feeds.get(nameOf(source))?.start(position),
      close: () => {
        closed ??= this.#leave(member)
        return closed
      },
    }
  }

  #leave(member: Member): Promise<void> {
    this.#members.delete(member)
    return this.#inOrder(async () => {
      await this.#revoke(member, [...member.feeds.keys()])
      await this.#share()
    })
  }

  /** One change of the shares after the other. */
  #inOrder(change: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(change, change)
    return this.#last
  }

  async #share(): Promise<void> {
    const members = [...this.#members]
    const wanted = evenShares(
      this.#places.map(nameOf),
      members.map((member) => [...member.feeds.keys()]),
    )
    const leaving = members.map((member, i) => [...member.feeds.keys()].filter((name) => !wanted[i]!.has(name)))
    await Promise.all(members.map((member, i) => this.#revoke(member, leaving[i]!)))
    for (const [i, member] of members.entries()) {
      const given = this.#places.filter((place) => wanted[i]!.has(nameOf(place)) && !member.feeds.has(nameOf(place)))
      for (const place of given) {
        member.feeds.set(nameOf(place), new Feed(place, member.subscriber, this.#environment, this.#tail))
      }
      if (given.length > 0) member.subscriber.assigned(given.map(({ topic, partition }) => ({ topic, partition })))
    }
  }

  async #revoke(member: Member, names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    const taken = names.map((name) => member.feeds.get(name)!)
    for (const feed of taken) feed.stop()
    for (const name of names) member.feeds.delete(name)
    const partitions = taken.map(({ place: { topic, partition } }) => ({ topic, partition }))
    const drained = member.subscriber.revoked(partitions, { lost: false }).catch((error: Error) => {
      member.subscriber.failed(error)
    })
    await withLimit(drained, DRAIN_MS, this.#environment.clock)
  }
}

/** Delivers one partition to one member, a run at a time. */
class Feed {
  readonly place: Place
  readonly #subscriber: Subscriber
  readonly #environment: Environment
  readonly #tail: Tail
  readonly #stop = new AbortController()
  #position = 0
  /** Grows with each start: a run that was delivered before a restart doesn't move the position after it. */
  #starts = 0
  #restart = new AbortController()

  constructor(place: Place, subscriber: Subscriber, environment: Environment, tail: Tail) {
    this.place = place
    this.#subscriber = subscriber
    this.#environment = environment
    this.#tail = tail
  }

  start(position: Offset): void {
    this.#environment.refresh()
    const { topicId, partition } = this.place
    requireKept(this.place, position, readHead(this.#environment.tables, topicId, partition).start)
    this.#position = position
    this.#restart.abort()
    if (this.#starts++ === 0) void this.#run()
  }

  stop(): void {
    this.#stop.abort()
    this.#restart.abort()
  }

  async #run(): Promise<void> {
    const { topicId, partition } = this.place
    const { tables } = this.#environment
    try {
      while (!this.#stop.signal.aborted && !this.#tail.isClosed) {
        const starts = this.#starts
        const run = fetchRun(tables, topicId, this.place, this.#position)
        if (run) {
          await this.#subscriber.deliver(run)
          if (starts === this.#starts) this.#position = run.to
          await turn()
        } else {
          this.#restart = new AbortController()
          await this.#tail.wait(topicId, partition, this.#position, this.#restart.signal)
        }
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#subscriber.failed(error as Error)
    }
  }
}

const nameOf = ({ topic, partition }: TopicPartition): string => `${topic}/${partition}`

/**
 * Shares names evenly (sizes differ by one at most), moving as few as possible.
 * @param held names that each member holds now
 */
export function evenShares(names: readonly string[], held: readonly (readonly string[])[]): Set<string>[] {
  const count = held.length
  if (count === 0) return []
  const least = Math.floor(names.length / count)
  let larger = names.length % count
  // Those who hold most keep the larger shares, so that the fewest move.
  const order = [...held.keys()].sort((a, b) => held[b]!.length - held[a]!.length)
  const quota = new Array<number>(count)
  for (const i of order) quota[i] = least + (larger-- > 0 ? 1 : 0)
  const shares = held.map((own, i) => new Set(own.slice(0, quota[i])))
  const taken = new Set(shares.flatMap((share) => [...share]))
  const free = names.filter((name) => !taken.has(name))
  for (const [i, share] of shares.entries()) while (share.size < quota[i]!) share.add(free.shift()!)
  return shares
}

async function withLimit(work: Promise<void>, limit: Ms, clock: Clock): Promise<void> {
  const done = new AbortController()
  await Promise.race([work.finally(() => done.abort()), clock.sleep(limit, done.signal)])
}
