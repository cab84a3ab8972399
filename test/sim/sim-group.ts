import { RtmlError } from '../../processors/app/errors.ts'
import type { Offset } from '../../processors/app/units.ts'
import type { Subscriber, Subscription, TopicPartition } from '../../processors/engine/ports.ts'
import type { Network } from './network.ts'
import type { Dice } from './random.ts'
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

interface Group {
  readonly topic: string
  members: Member[]
  isRebalancing: boolean
  isDirty: boolean
}

export interface GroupSettings {
  readonly sessionMs: number
  readonly rebalanceMs: number
  /** Only what moves is taken back; else everything, as kafkajs's protocol does. */
  readonly isCooperative: boolean
  /** Chance that a run comes a second time. */
  readonly redelivery: number
}

const HEARTBEAT_MS = 500

/**
 * Consumer groups. With the eager protocol that kafkajs speaks all partitions are taken back and given out anew whenever
 * members come or go; with the cooperative one only those that move. A member that doesn't answer within the session timeout is expelled without hearing of it, and
 * hears of it (`lost`) when it is next able to.
 */
export class SimGroups {
  readonly #scheduler: Scheduler
  readonly #log: SimLog
  readonly #dice: Dice
  readonly #settings: GroupSettings
  readonly #groups = new Map<string, Group>()

  constructor(scheduler: Scheduler, log: SimLog, dice: Dice, settings: GroupSettings) {
    this.#scheduler = scheduler
    this.#log = log
    this.#dice = dice
    this.#settings = settings
  }

  /** `subscribe` of the log's port, for one process. */
  port(process: SimProcess, network: Network) {
    return async (group: string, topics: readonly string[], subscriber: Subscriber): Promise<Subscription> => {
      const topic = topics[0]!
      const member: Member = { process, subscriber, owned: [], tokens: new Map(), hasLeft: false }
      const state: Group = this.#groups.get(group) ?? { topic, members: [], isRebalancing: false, isDirty: false }
      this.#groups.set(group, state)
      state.members.push(member)
      this.#rebalance(group)
      return {
        // A seek of the client's own: nothing is sent for it.
        start: async (source, position) => this.#deliver(network, member, source, position),
        close: async () => {
          const owned = member.owned
          member.owned = []
          for (const { partition } of owned) member.tokens.delete(partition)
          await subscriber.revoked(owned, { lost: false })
          this.#leave(group, member)
        },
      }
    }
  }

  /** An operator's or a broker's rebalance, without any change of members. */
  shake(group: string): void {
    this.#rebalance(group)
  }

  /** Throws a member out that is well but wasn't heard of in time: it learns of it at once, and comes again. */
  expel(process: SimProcess): void {
    for (const [group, state] of this.#groups) {
      const member = state.members.find((it) => it.process === process)
      if (member) this.#comeAgain(group, state, member)
    }
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
    const kept = this.#settings.isCooperative ? this.#assignment(state.topic, members.filter(isPresent)) : undefined
    for (const member of members) {
      if (!isPresent(member)) continue
      waiting++
      const stays = new Set(kept?.get(member)?.map(({ partition }) => partition))
      const taken = member.owned.filter(({ partition }) => !stays.has(partition))
      member.owned = member.owned.filter(({ partition }) => stays.has(partition))
      this.#scheduler.after(1, () =>
        member.process.hear(() => {
          for (const { partition } of taken) member.tokens.delete(partition)
          void member.subscriber.revoked(taken, { lost: false }).then(answered)
        }),
      )
    }
    // Those that can't answer are out after the session timeout; nobody is waited for beyond the rebalance timeout.
    const isSilent = members.some((member) => !isPresent(member))
    const { sessionMs, rebalanceMs } = this.#settings
    if (waiting === 0) this.#scheduler.after(isSilent ? sessionMs : 1, finish)
    else this.#scheduler.after(rebalanceMs, finish)
  }

  #assign(group: string): void {
    const state = this.#groups.get(group)!
    for (const member of state.members) {
      if (isPresent(member)) continue
      // It learns of its expulsion when it next speaks to the coordinator.
      this.#comeAgain(group, state, member)
    }
    state.members = state.members.filter(isPresent)
    for (const [member, given] of this.#assignment(state.topic, state.members)) {
      const owned = new Set(member.owned.map(({ partition }) => partition))
      member.owned = given
      const added = given.filter(({ partition }) => !owned.has(partition))
      this.#scheduler.after(1, () => member.process.hear(() => member.subscriber.assigned(added)))
    }
    state.isRebalancing = false
    if (state.isDirty) {
      state.isDirty = false
      this.#rebalance(group)
    }
  }

  #comeAgain(group: string, state: Group, member: Member): void {
    const owned = member.owned
    member.owned = []
    state.members = state.members.filter((it) => it !== member)
    this.#rebalance(group)
    this.#scheduler.after(this.#dice.between(0.1, this.#dice.chance(0.5) ? 3 : HEARTBEAT_MS), () =>
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

  /** Partitions in turn; with few changes of members most stay where they are. */
  #assignment(topic: string, members: readonly Member[]): Map<Member, TopicPartition[]> {
    const assignment = new Map<Member, TopicPartition[]>(members.map((member) => [member, []]))
    const count = members.length === 0 ? 0 : this.#log.partitions(topic).length
    for (let partition = 0; partition < count; partition++) {
      assignment.get(members[partition % members.length]!)!.push({ topic, partition })
    }
    return assignment
  }

  /** Notices the dead: the coordinator's session timer. */
  watch(): void {
    for (const [group, state] of this.#groups) {
      if (state.members.every(isPresent)) continue
      this.#scheduler.after(this.#settings.sessionMs, () => {
        if (!state.members.every(isPresent)) this.#rebalance(group)
      })
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
    let before = from
    while (isCurrent()) {
      let run: Awaited<ReturnType<SimLog['fetch']>>
      const isAgain =
        this.#dice.chance(this.#settings.redelivery) &&
        before >= this.#log.partitions(source.topic)[source.partition]!.start
      const at = isAgain ? before : position
      try {
        run = await network.call(member.process, 'log', `fetch ${source.topic}[${source.partition}]@${at}`, () =>
          this.#log.fetch(source, at, undefined),
        )
      } catch (error) {
        if (!isCurrent()) return
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
      before = at
      position = run.to
    }
  }
}

const isPresent = ({ process }: Member): boolean => process.isAlive && !process.isPaused
