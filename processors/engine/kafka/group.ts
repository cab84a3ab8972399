/**
 * Membership of a consumer group: join, sync, heartbeat, leave. kafkajs' own consumer is not used, because it rejoins
 * without waiting for a drain, always takes all partitions away, and couples heartbeats to fetching (its threads 1046,
 * 1097 and 922). Here heartbeats have their own timer and connection, and go on while partitions drain.
 */
import { AssignerProtocol } from 'kafkajs'
import { RtmlError } from '../../app/errors.ts'
import { ms } from '../../app/units.ts'
import type { TopicPartition } from '../ports.ts'
import { assign, byTopic, decodeClaim, encodeClaim, fromTopics, PROTOCOL } from './assignment.ts'
import { partitionCount } from './metadata.ts'
import { isBusy, isStale, typeOf } from './protocol/errors.ts'
import type { JoinedGroup } from './protocol/node.ts'
import { Backoff, bounded } from './retry.ts'
import { text } from './text.ts'
import type { Line, Wire } from './wire.ts'

const { MemberMetadata, MemberAssignment } = AssignerProtocol

export interface GroupListener {
  given(partitions: readonly TopicPartition[]): void
  /** Resolves when the partitions are drained. */
  taken(partitions: readonly TopicPartition[], options: { lost: boolean }): Promise<void>
  /** Membership has ended for good. */
  failed(error: Error): void
}

/** The leader looks for new partitions so often. */
const METADATA_AGE_MS = 30_000
const LEAVE_MS = ms(1_000)
/** A drain may take this share of the session timeout. */
const DRAIN_SHARE = 0.75
const REJOIN: ReadonlySet<string> = new Set(['REBALANCE_IN_PROGRESS'])
const LOST: ReadonlySet<string> = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION'])

export class GroupMember {
  readonly #wire: Wire
  readonly #line: Line
  readonly #group: string
  readonly #topics: readonly string[]
  readonly #listener: GroupListener
  readonly #closing = new AbortController()
  #memberId = ''
  #generation = -1
  #owned: readonly TopicPartition[] = []
  #isLeader = false
  #lastContact: number
  #partitionsSeen = 0
  #partitionsSeenAt = 0
  #drains: Promise<void> = Promise.resolve()
  #running: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor(wire: Wire, group: string, topics: readonly string[], listener: GroupListener) {
    this.#wire = wire
    this.#line = wire.line()
    this.#group = group
    this.#topics = topics
    this.#listener = listener
    this.#lastContact = wire.clock.now()
  }

  /** Joins in the background and stays until `close`. */
  start(): void {
    this.#running = this.#run()
  }

  owns({ topic, partition }: TopicPartition): boolean {
    return this.#owned.some((one) => one.topic === topic && one.partition === partition)
  }

  /** Drains what is owned, then leaves, so that others take over at once. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    // No joining from here on: what a join under way is given is not taken.
    this.#closing.abort()
    const drained = this.#drain(this.#owned, { lost: false })
    this.#owned = []
    await this.#beatUntil(drained)
    await bounded(this.#wire.clock, LEAVE_MS, this.#leave())
    await this.#line.close()
    await bounded(this.#wire.clock, LEAVE_MS, this.#running ?? Promise.resolve())
  }

  async #run(): Promise<void> {
    const backoff = new Backoff(this.#wire.clock)
    const { signal } = this.#closing
    let mustJoin = true
    while (!signal.aborted) {
      try {
        if (mustJoin) mustJoin = await this.#rejoin()
        else {
          await this.#wire.clock.sleep(this.#wire.settings.heartbeatMs, signal)
          if (!signal.aborted) mustJoin = await this.#beat()
        }
        backoff.reset()
      } catch (error) {
        if (signal.aborted) return
        mustJoin = true
        if (!(await this.#recover(error))) return
        await backoff.pause(signal)
      }
    }
  }

  /** @returns false when membership is over */
  async #recover(error: unknown): Promise<boolean> {
    const type = typeOf(error)
    if (REJOIN.has(type)) return true
    if (LOST.has(type)) {
      if (type === 'UNKNOWN_MEMBER_ID') this.#memberId = ''
      await this.#lose()
      return true
    }
    if (isBusy(error) || isStale(error) || (error instanceof RtmlError && error.isTransient)) {
      if (isStale(error)) await this.#line.refresh().catch(() => {})
      this.#line.forget()
      // The coordinator has given our partitions away by now.
      if (this.#wire.clock.now() - this.#lastContact > this.#wire.settings.sessionTimeoutMs) await this.#lose()
      return true
    }
    await this.#lose()
    this.#listener.failed(error instanceof Error ? error : new Error(text(error)))
    return false
  }

  /** @returns true when partitions were given back, which starts another round */
  async #rejoin(): Promise<boolean> {
    // What is still being drained is claimed no more, so it must be over before anybody can be given it.
    await this.#beatUntil(this.#drains)
    const assigned = await this.#line.call(`group ${this.#group}`, async (cluster) => {
      const { sessionTimeoutMs } = this.#wire.settings
      const coordinator = await this.#line.coordinator(cluster, 'group', this.#group)
      const claim = encodeClaim({ generation: this.#generation, owned: this.#owned })
      const metadata = MemberMetadata.encode({ version: 0, topics: [...this.#topics], userData: claim })
      const joined = await coordinator.joinGroup({
        groupId: this.#group,
        sessionTimeout: sessionTimeoutMs,
        rebalanceTimeout: sessionTimeoutMs * 2,
        memberId: this.#memberId,
        groupProtocols: [{ name: PROTOCOL, metadata }],
      })
      this.#memberId = joined.memberId
      this.#isLeader = joined.leaderId === joined.memberId
      const partitions = this.#isLeader ? await this.#partitions(cluster) : []
      const { memberAssignment } = await coordinator.syncGroup({
        groupId: this.#group,
        generationId: joined.generationId,
        memberId: joined.memberId,
        groupAssignment: this.#isLeader ? assignments(joined, partitions) : [],
      })
      this.#generation = joined.generationId
      return fromTopics(MemberAssignment.decode(memberAssignment)?.assignment ?? {})
    })
    this.#lastContact = this.#wire.clock.now()
    return this.#adopt(assigned)
  }

  #adopt(assigned: readonly TopicPartition[]): boolean {
    if (this.#closing.signal.aborted) return false
    const key = ({ topic, partition }: TopicPartition) => `${topic}\n${partition}`
    const before = new Set(this.#owned.map(key))
    const after = new Set(assigned.map(key))
    const taken = this.#owned.filter((one) => !after.has(key(one)))
    const given = assigned.filter((one) => !before.has(key(one)))
    this.#owned = assigned
    const drained = taken.length > 0
    if (drained) void this.#drain(taken, { lost: false })
    if (given.length > 0) this.#listener.given(given)
    return drained
  }

  /** Hands partitions back, bounded: fencing keeps the data right when a drain takes longer. */
  #drain(partitions: readonly TopicPartition[], options: { lost: boolean }): Promise<void> {
    if (partitions.length === 0) return this.#drains
    const { clock, settings } = this.#wire
    const drained = this.#listener.taken(partitions, options).catch((error: unknown) => {
      this.#listener.failed(error instanceof Error ? error : new Error(text(error)))
    })
    const earlier = this.#drains
    this.#drains = bounded(clock, ms(settings.sessionTimeoutMs * DRAIN_SHARE), drained).then(() => earlier)
    return this.#drains
  }

  async #lose(): Promise<void> {
    const lost = this.#owned
    this.#owned = []
    this.#generation = -1
    await this.#drain(lost, { lost: true })
  }

  /** Keeps the session alive until `work` is done. */
  async #beatUntil(work: Promise<void>): Promise<void> {
    let isDone = false
    const done = new AbortController()
    const watched = work.finally(() => {
      isDone = true
      done.abort()
    })
    while (!isDone) {
      await this.#wire.clock.sleep(this.#wire.settings.heartbeatMs, done.signal)
      // While a join is under way, a beat waits behind it on the line.
      if (!isDone && this.#generation >= 0) await Promise.race([this.#beat().catch(() => {}), watched])
    }
    await watched
  }

  /** @returns true when the group wants us to join again */
  async #beat(): Promise<boolean> {
    const request = { groupId: this.#group, groupGenerationId: this.#generation, memberId: this.#memberId }
    try {
      await this.#line.call(`group ${this.#group}`, async (cluster) => {
        const coordinator = await this.#line.coordinator(cluster, 'group', this.#group)
        await coordinator.heartbeat(request)
      })
    } catch (error) {
      if (!REJOIN.has(typeOf(error))) throw error
      this.#lastContact = this.#wire.clock.now()
      return true
    }
    this.#lastContact = this.#wire.clock.now()
    return this.#isLeader && (await this.#morePartitions())
  }

  async #morePartitions(): Promise<boolean> {
    const now = this.#wire.clock.now()
    if (now - this.#partitionsSeenAt < METADATA_AGE_MS) return false
    const before = this.#partitionsSeen
    const found = await this.#line.call('metadata', async (cluster) => {
      await cluster.refreshMetadata()
      return this.#partitions(cluster)
    })
    return found.length !== before
  }

  async #partitions(cluster: Parameters<Parameters<Line['call']>[1]>[0]): Promise<TopicPartition[]> {
    const all: TopicPartition[] = []
    for (const topic of this.#topics) {
      const count = await partitionCount(cluster, topic)
      for (let partition = 0; partition < count; partition++) all.push({ topic, partition })
    }
    this.#partitionsSeen = all.length
    this.#partitionsSeenAt = this.#wire.clock.now()
    return all
  }

  async #leave(): Promise<void> {
    if (this.#memberId === '') return
    const request = { groupId: this.#group, memberId: this.#memberId }
    // A line of its own: on the other one a join may be under way, which takes as long as all members need to come.
    const line = this.#wire.line()
    await line
      .call(`group ${this.#group}`, async (cluster) => {
        const coordinator = await line.coordinator(cluster, 'group', this.#group)
        await coordinator.leaveGroup(request)
      })
      .catch(() => {})
    await line.close()
  }
}

function assignments(
  { members }: JoinedGroup,
  partitions: readonly TopicPartition[],
): { memberId: string; memberAssignment: Buffer }[] {
  const memberships = members.map(({ memberId, memberMetadata }) => {
    const decoded = MemberMetadata.decode(memberMetadata)
    if (!decoded) throw new RtmlError('CONFIG', 'a member of the group sent no metadata')
    return { memberId, topics: decoded.topics, ...decodeClaim(decoded.userData) }
  })
  return [...assign(memberships, partitions)].map(([memberId, given]) => ({
    memberId,
    memberAssignment: MemberAssignment.encode({
      version: 0,
      assignment: byTopic(given),
      userData: Buffer.alloc(0),
    }),
  }))
}
