/**
 * Who gets which partition: even, and sticky, so that a worker keeps the shards whose states it has cached. Cooperative:
 * a partition that moves is first taken back by its owner and given to the next one in the following round.
 */
import { RtmlError } from '../../app/errors.ts'
import type { TopicPartition } from '../ports.ts'

/** Name of the assignment protocol: a client that doesn't know it can't join the group. */
export const PROTOCOL = 'rtml-cooperative-sticky'

/** What a member says of itself when it joins. */
export interface Membership {
  readonly memberId: string
  readonly topics: readonly string[]
  /** Generation in which `owned` was given; a claim of a later one wins. */
  readonly generation: number
  readonly owned: readonly TopicPartition[]
}

export type Assignment = ReadonlyMap<string, readonly TopicPartition[]>

const keyOf = ({ topic, partition }: TopicPartition): string => `${topic}\n${partition}`

/** @returns partitions by member id: deterministic, whatever the order of `members` */
export function assign(members: readonly Membership[], partitions: readonly TopicPartition[]): Assignment {
  const sorted = [...members].sort((a, b) => (a.memberId < b.memberId ? -1 : 1))
  const owners = claims(sorted, new Set(partitions.map(keyOf)))
  const target = balance(sorted, partitions, owners)
  const given = new Map<string, TopicPartition[]>(sorted.map((member) => [member.memberId, []]))
  for (const partition of partitions) {
    const wanted = target.get(keyOf(partition))
    const owner = owners.get(keyOf(partition))
    // Withheld while another member still has it: it gives it back, which starts the next round.
    if (wanted !== undefined && (owner === undefined || owner === wanted)) given.get(wanted)!.push(partition)
  }
  return given
}

/** The member that holds each partition now. */
function claims(members: readonly Membership[], exists: ReadonlySet<string>): Map<string, string> {
  const owners = new Map<string, { memberId: string; generation: number }>()
  for (const { memberId, generation, owned } of members) {
    for (const partition of owned) {
      const key = keyOf(partition)
      const other = owners.get(key)
      if (exists.has(key) && (!other || other.generation < generation)) owners.set(key, { memberId, generation })
    }
  }
  return new Map([...owners].map(([key, { memberId }]) => [key, memberId]))
}

/** Every member has ⌊n/m⌋ or ⌈n/m⌉ partitions, and as many as possible of those that it holds. */
function balance(
  members: readonly Membership[],
  partitions: readonly TopicPartition[],
  owners: ReadonlyMap<string, string>,
): Map<string, string> {
  const target = new Map<string, string>()
  if (members.length === 0) return target
  const least = Math.floor(partitions.length / members.length)
  let extras = partitions.length % members.length
  const held = new Map<string, string[]>(members.map((member) => [member.memberId, []]))
  for (const partition of partitions) {
    const owner = owners.get(keyOf(partition))
    if (owner !== undefined) held.get(owner)!.push(keyOf(partition))
  }
  const counts = new Map<string, number>()
  // Those who hold most keep the extra partitions: that moves the fewest.
  const byHeld = [...members].sort((a, b) => held.get(b.memberId)!.length - held.get(a.memberId)!.length)
  const quotas = new Map<string, number>()
  for (const { memberId } of byHeld) {
    const quota = least + (extras > 0 ? 1 : 0)
    if (extras > 0) extras--
    quotas.set(memberId, quota)
    const kept = held.get(memberId)!.slice(0, quota)
    for (const key of kept) target.set(key, memberId)
    counts.set(memberId, kept.length)
  }
  let next = 0
  for (const partition of partitions) {
    if (target.has(keyOf(partition))) continue
    while (counts.get(members[next]!.memberId)! >= quotas.get(members[next]!.memberId)!) next++
    const { memberId } = members[next]!
    target.set(keyOf(partition), memberId)
    counts.set(memberId, counts.get(memberId)! + 1)
  }
  return target
}

export interface Claim {
  readonly generation: number
  readonly owned: readonly TopicPartition[]
}

export function encodeClaim(claim: Claim): Buffer {
  return Buffer.from(JSON.stringify({ generation: claim.generation, owned: byTopic(claim.owned) }))
}

/** @throws RtmlError CONFIG when another program has joined the group */
export function decodeClaim(bytes: Buffer): Claim {
  try {
    const { generation, owned } = JSON.parse(bytes.toString('utf8')) as {
      generation: number
      owned: Record<string, number[]>
    }
    return { generation, owned: fromTopics(owned) }
  } catch (cause) {
    throw new RtmlError('CONFIG', 'a member of the group is not rtml. Give each application its own name.', { cause })
  }
}

export function byTopic(partitions: readonly TopicPartition[]): Record<string, number[]> {
  const topics: Record<string, number[]> = {}
  for (const { topic, partition } of partitions) {
    topics[topic] ??= []
    topics[topic].push(partition)
  }
  return topics
}

export function fromTopics(topics: Readonly<Record<string, readonly number[]>>): TopicPartition[] {
  return Object.entries(topics).flatMap(([topic, list]) => list.map((partition) => ({ topic, partition })))
}
