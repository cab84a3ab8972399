import { RtmlError } from '../../processors/app/errors.ts'
import type { Offset } from '../../processors/app/units.ts'
import type { Subscriber, Subscription, TopicPartition } from '../../processors/engine/ports.ts'
import type { Network } from './network.ts'
import type { Scheduler, SimProcess } from './scheduler.ts'
import type { SimLog } from './sim-log.ts'

interface Member {
  readonly process: SimProcess
  readonly subscriber: Subscriber
  /** Partitions of the newest assignment that the member has heard of. */
  owned: TopicPartition[]
  /** Delivery loops by partition; a loop with an old token has ended. */
  readonly tokens: Map<number, number>
  hasLeft: boolean
}

const SESSION_MS = 6_000
const REBALANCE_MS = 5_000
const HEARTBEAT_MS = 500

/**
 * Consumer groups with the eager protocol that kafkajs speaks: whenever members come or go, all partitions are taken back
 * and given out anew. A member that doesn't answer within the session timeout is expelled without hearing of it, and
 * hears of it (`lost`) when it is next able to.
 */
export class SimGroups {
  readonly #scheduler: Scheduler
  readonly #log: SimLog
  readonly #groups = new Map<string, { topic: string; members: Member[]; isRebalancing: boolean; isDirty: boolean }>()
  rebalances = 0

  constructor(scheduler: Scheduler, log: SimLog) {
    this.#scheduler = scheduler
    this.#log = log
  }

  /** `subscribe` of the log's port, for one process. */
  port(process: SimProcess, network: Network) {
    return async (group: string, topics: readonly string[], subscriber: Subscriber): Promise<Subscription> => {
      const topic = topics[0]!
      const member: Member = { process, subscriber, owned: [], tokens: new Map(), hasLeft: false }
      const state = this.#groups.get(group) ?? { topic, members: [], isRebalancing: false, isDirty: false }
      this.#groups.set(group, state)
      state.members.push(member)
      this.#rebalance(group)
      return {
        start: (source, position) =>
          network.call(process, 'log', () => this.#deliver(network, member, source, position)),
        close: async () => {
          await subscriber.revoked(member.owned, { lost: false })
          this.#leave(group, member)
        },
      }
    }
  }

  /** An operator's or a broker's rebalance, without any change of members. */
  shake(group: string): void {
    this.#rebalance(group)
  }

  names(): string[] {
    return [...this.#groups.keys()]
  }

  #leave(group: string, member: Member): void {
    member.hasLeft = true
    member.tokens.clear()
    const state = this.#groups.get(group)!
    state.members = state.members.filter((other) => other !== member)
    this.#rebalance(group)
  }

  #rebalance(group: string): void {
    const state = this.#groups.get(group)!
    if (state.isRebalancing) {
      state.isDirty = true
      return
    }
    state.isRebalancing = true
    this.rebalances++
    let waiting = 0
    const members = [...state.members]
    let isOver = false
    const finish = () => {
      if (isOver) return
      isOver = true
      this.#assign(group)
    }
    const answered = () => {
      if (--waiting === 0) finish()
    }
    for (const member of members) {
      if (!member.process.isAlive || member.process.isPaused) continue
      waiting++
      const owned = member.owned
      member.owned = []
      this.#scheduler.after(1, () =>
        member.process.hear(() => {
          for (const { partition } of owned) member.tokens.delete(partition)
          void member.subscriber.revoked(owned, { lost: false }).then(answered)
        }),
      )
    }
    // Those that can't answer are out after the session timeout; nobody is waited for beyond the rebalance timeout.
    const silent = members.some(({ process }) => !process.isAlive || process.isPaused)
    if (waiting === 0) this.#scheduler.after(silent ? SESSION_MS : 1, finish)
    else this.#scheduler.after(REBALANCE_MS, finish)
  }

  #assign(group: string): void {
    const state = this.#groups.get(group)!
    for (const member of state.members) {
      if (member.process.isAlive && !member.process.isPaused) continue
      const owned = member.owned
      member.owned = []
      // It learns of its expulsion when it next speaks to the coordinator, and then joins again.
      this.#scheduler.after(HEARTBEAT_MS, () =>
        member.process.hear(() => {
          if (member.hasLeft) return
          member.tokens.clear()
          void member.subscriber.revoked(owned, { lost: true }).then(() => {
            state.members.push(member)
            this.#rebalance(group)
          })
        }),
      )
    }
    state.members = state.members.filter(({ process }) => process.isAlive && !process.isPaused)
    const partitions = this.#log.partitions(state.topic).length
    state.members.forEach((member, index) => {
      const given: TopicPartition[] = []
      for (let partition = index; partition < partitions; partition += state.members.length)
        given.push({ topic: state.topic, partition })
      member.owned = given
      this.#scheduler.after(1, () => member.process.hear(() => member.subscriber.assigned(given)))
    })
    state.isRebalancing = false
    if (state.isDirty) {
      state.isDirty = false
      this.#rebalance(group)
    }
  }

  /** Notices the dead: the coordinator's session timer. */
  watch(): void {
    for (const [group, state] of this.#groups) {
      if (state.members.some(({ process }) => !process.isAlive || process.isPaused)) {
        this.#scheduler.after(SESSION_MS, () => {
          if (state.members.some(({ process }) => !process.isAlive || process.isPaused)) this.#rebalance(group)
        })
      }
    }
    this.#scheduler.after(1_000, () => this.watch())
  }

  #deliver(network: Network, member: Member, source: TopicPartition, position: Offset): void {
    const token = (member.tokens.get(source.partition) ?? 0) + 1 + this.#scheduler.now
    member.tokens.set(source.partition, token)
    const isCurrent = () => member.tokens.get(source.partition) === token
    void this.#loop(network, member, source, position, isCurrent)
  }

  async #loop(
    network: Network,
    member: Member,
    source: TopicPartition,
    from: Offset,
    isCurrent: () => boolean,
  ): Promise<void> {
    let position = from
    while (isCurrent()) {
      let run: Awaited<ReturnType<SimLog['fetch']>>
      try {
        run = await network.call(member.process, 'log', () => this.#log.fetch(source, position, undefined))
      } catch (error) {
        if (error instanceof RtmlError && error.isTransient) continue
        member.subscriber.failed(error as Error)
        return
      }
      if (!isCurrent()) return
      if (!run) {
        await this.#log.appended(source, position)
        continue
      }
      await member.subscriber.deliver(run)
      position = run.to
    }
  }
}
