/**
 * A node of the cluster as kafkajs 2.2.4 has it. A few members of its Broker class that its types leave out are declared
 * here, and this file is the only one that knows.
 */
import type { Broker, Cluster } from 'kafkajs'

/** A request that kafkajs frames and sends for us. */
interface WireRequest<T> {
  readonly request: {
    readonly apiKey: number
    readonly apiVersion: number
    readonly apiName: string
    /** `buf` is what kafkajs looks for to know an encoder, `buffer` what it sends. */
    encode(): Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>
  }
  readonly response: {
    decode(raw: Buffer): Promise<T>
    parse(data: T): Promise<T>
  }
  readonly requestTimeout: number | null
}

interface TransactionStamp {
  readonly transactionalId: string
  readonly producerId: number
  readonly producerEpoch: number
}

export interface JoinedGroup {
  readonly generationId: number
  readonly leaderId: string
  readonly memberId: string
  readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[]
}

/** Members of kafkajs 2.2.4's Broker class that its type leaves out. */
export interface WireBroker extends Broker {
  readonly nodeId: number
  readonly connectionPool: { send<T>(request: WireRequest<T>): Promise<T> }
  joinGroup(request: {
    groupId: string
    sessionTimeout: number
    rebalanceTimeout: number
    memberId: string
    groupProtocols: readonly { name: string; metadata: Buffer }[]
  }): Promise<JoinedGroup>
  syncGroup(request: {
    groupId: string
    generationId: number
    memberId: string
    groupAssignment: readonly { memberId: string; memberAssignment: Buffer }[]
  }): Promise<{ memberAssignment: Buffer }>
  heartbeat(request: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>
  addPartitionsToTxn(
    request: TransactionStamp & { topics: readonly { topic: string; partitions: readonly number[] }[] },
  ): Promise<unknown>
  addOffsetsToTxn(request: TransactionStamp & { groupId: string }): Promise<unknown>
  txnOffsetCommit(
    request: TransactionStamp & {
      groupId: string
      topics: readonly {
        topic: string
        partitions: readonly { partition: number; offset: string; metadata: string | null }[]
      }[]
    },
  ): Promise<unknown>
  endTxn(request: TransactionStamp & { transactionResult: boolean }): Promise<unknown>
}

/** Sends a request of our own to a node. */
export async function send<T>(
  broker: WireBroker,
  api: { key: number; version: number; name: string },
  payload: Buffer,
  decode: (raw: Buffer) => T,
  requestTimeout: number | null = null,
): Promise<T> {
  // Wrapped, since kafkajs looks for throttling in what `decode` gives, which must be an object for that.
  const { value } = await broker.connectionPool.send<{ value: T }>({
    request: {
      apiKey: api.key,
      apiVersion: api.version,
      apiName: api.name,
      encode: async () => ({ buf: payload, buffer: payload }),
    },
    response: { decode: async (raw) => ({ value: decode(raw) }), parse: async (data) => data },
    requestTimeout,
  })
  return value
}

export async function nodeOf(cluster: Cluster, nodeId: number): Promise<WireBroker> {
  return (await cluster.findBroker({ nodeId: String(nodeId) })) as WireBroker
}
