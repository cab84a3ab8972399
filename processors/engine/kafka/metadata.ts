import type { Cluster } from 'kafkajs'
import type { TopicPartition } from '../ports.ts'
import { nodeOf, type WireBroker } from './protocol/node.ts'

/** A leader that isn't known yet: treated as stale metadata. */
class NoLeader extends Error {
  readonly type = 'LEADER_NOT_AVAILABLE'
}

/** Number of partitions. @throws an error of type UNKNOWN_TOPIC_OR_PARTITION when the topic doesn't exist */
export async function partitionCount(cluster: Cluster, topic: string): Promise<number> {
  const known = cluster.findTopicPartitionMetadata(topic)
  if (known.length > 0) return known.length
  await cluster.addTargetTopic(topic)
  const found = cluster.findTopicPartitionMetadata(topic)
  if (found.length === 0) throw new NoLeader(`${topic} has no partitions yet`)
  return found.length
}

/** Node that leads a partition. @throws an error of type LEADER_NOT_AVAILABLE */
export async function leaderOf(cluster: Cluster, { topic, partition }: TopicPartition): Promise<number> {
  await partitionCount(cluster, topic)
  const found = cluster.findTopicPartitionMetadata(topic).find((one) => one.partitionId === partition)
  if (!found || found.leader < 0) throw new NoLeader(`${topic}[${partition}] has no leader`)
  return found.leader
}

/** What each leading node is asked, concurrently: `ask` is called once a node with all that it leads. */
export async function byLeader<T extends TopicPartition, R>(
  cluster: Cluster,
  parts: readonly T[],
  ask: (broker: WireBroker, parts: readonly T[]) => Promise<R[]>,
): Promise<R[]> {
  const groups = new Map<number, T[]>()
  for (const part of parts) {
    const leader = await leaderOf(cluster, part)
    const group = groups.get(leader)
    if (group) group.push(part)
    else groups.set(leader, [part])
  }
  const asked = [...groups].map(async ([leader, group]) => ask(await nodeOf(cluster, leader), group))
  // All are awaited before one's failure is told: a request must not outlive the decision that is made on it.
  const settled = await Promise.allSettled(asked)
  return settled.flatMap((one) => {
    if (one.status === 'rejected') throw one.reason
    return one.value
  })
}
