/**
 * Transactions: records and the group's position, all or nothing.
 *
 * A publish whose fate is unknown is settled before anything else happens: `EndTxn(abort)` with our own epoch answers
 * INVALID_TXN_STATE exactly when the commit had gone through, and the epoch is raised after it (KIP-360), so that a late
 * request of the old transaction is refused. Unlike opening a publisher anew, this can't fence one that has taken over.
 */
import type { Cluster } from 'kafkajs'
import { RtmlError } from '../../app/errors.ts'
import { ms } from '../../app/units.ts'
import type { Commit, NewRecord, Publisher } from '../ports.ts'
import { byLeader, partitionCount } from './metadata.ts'
import { groupByPartition, NoSuchPartition, splitBySize } from './partitioning.ts'
import { accept, isFenced, isStale, typeOf } from './protocol/errors.ts'
import type { WireBroker } from './protocol/node.ts'
import { encodeBatch } from './protocol/record-batch.ts'
import { initProducer, type ProducedBatch, type ProducerIdentity, produceBatches } from './protocol/requests.ts'
import { bounded, patiently } from './retry.ts'
import { text } from './text.ts'
import type { Line, Wire } from './wire.ts'

/** A transaction that ended without an answer. */
interface Doubt {
  readonly commit: Commit
  /** False: the commit was never sent, so it can't have happened. */
  readonly isCommitSent: boolean
}

const ATTEMPTS_MAX = 3
/** A publish under way may end by itself for so long; then it is cut off, and whoever opens the publisher next ends its transaction. */
const CLOSE_MS = ms(1_000)
const BATCH_BYTES_MIN = 1_024
const SEQUENCE_MODULUS = 2 ** 31

export class KafkaPublisher implements Publisher {
  readonly #wire: Wire
  readonly #id: string
  readonly #line: Line
  #identity: ProducerIdentity
  readonly #sequences = new Map<string, number>()
  #doubt: Doubt | undefined
  /** A doubtful publish that turned out to have happened. */
  #settled: Doubt | undefined
  #isFenced = false
  #batchBytesMax: number
  #last: Promise<unknown> = Promise.resolve()
  #isCommitSent = false

  private constructor(wire: Wire, id: string, line: Line, identity: ProducerIdentity) {
    this.#wire = wire
    this.#id = id
    this.#line = line
    this.#identity = identity
    this.#batchBytesMax = wire.settings.batchBytesMax
  }

  /** Fences every older publisher with this id; a transaction that one has left open is aborted or completed first. */
  static async open(wire: Wire, id: string): Promise<KafkaPublisher> {
    const line = wire.line()
    const { transactionTimeoutMs, requestTimeoutMs } = wire.settings
    try {
      const identity = await patiently(
        wire.clock,
        requestTimeoutMs,
        () =>
          line.call(`publisher ${id}`, async (cluster) =>
            initProducer(await line.coordinator(cluster, 'transaction', id), id, transactionTimeoutMs),
          ),
        async () => line.forget(),
      )
      return new KafkaPublisher(wire, id, line, identity)
    } catch (error) {
      await line.close()
      throw error
    }
  }

  /**
   * @throws RtmlError FENCED when a newer publisher exists (final), or when the broker timed the transaction out (open a
   *   new publisher if the shard is still owned)
   * @throws RtmlError LOG_DOWN when it is unknown whether it happened. The same call may be repeated: it then finds out.
   *   Whoever wants to publish something else instead reads the group's committed position first.
   */
  async publish(records: readonly NewRecord[], commit: Commit): Promise<void> {
    const turn = this.#last.then(() => this.#publish(records, commit))
    this.#last = turn.catch(() => {})
    return turn
  }

  async close(): Promise<void> {
    await bounded(this.#wire.clock, CLOSE_MS, this.#last)
    await this.#line.close()
  }

  async #publish(records: readonly NewRecord[], commit: Commit): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      if (this.#isFenced) throw this.#fenced()
      if (this.#doubt && (await this.#settle(this.#doubt)) === 'committed') return this.#requireSame(commit)
      try {
        return await this.#attempt(records, commit)
      } catch (error) {
        if (error instanceof NoSuchPartition || (error instanceof RtmlError && error.code !== 'LOG_DOWN')) throw error
        if (isFenced(error)) {
          this.#isFenced = true
          throw this.#fenced(error)
        }
        if (typeOf(error) === 'MESSAGE_TOO_LARGE' || typeOf(error) === 'RECORD_LIST_TOO_LARGE') {
          this.#shrinkBatches(error)
          attempt--
        } else if (attempt >= ATTEMPTS_MAX) throw this.#unknown(error)
      }
    }
  }

  /** The doubtful publish has happened. Is it the one that is asked for now? */
  #requireSame(commit: Commit): void {
    const earlier = this.#settled?.commit
    this.#settled = undefined
    if (earlier && sameCommit(earlier, commit)) return
    const place = earlier && `${earlier.topic}[${earlier.partition}]@${earlier.position}`
    const message = 'an earlier publish of unknown outcome has happened after all: read the committed position again'
    throw new RtmlError('LOG_DOWN', message, place === undefined ? {} : { place })
  }

  /** A topic may allow less than we were told. @throws RtmlError CONFIG when a single record is too large */
  #shrinkBatches(cause: unknown): void {
    this.#batchBytesMax = Math.floor(this.#batchBytesMax / 2)
    if (this.#batchBytesMax >= BATCH_BYTES_MIN) return
    throw new RtmlError('CONFIG', `an output is larger than the topic's max.message.bytes: ${text(cause)}. Raise it.`, {
      place: `publisher ${this.#id}`,
      cause,
    })
  }

  async #attempt(records: readonly NewRecord[], commit: Commit): Promise<void> {
    await this.#line.call(`publish ${this.#id}`, async (cluster) => {
      const rounds = await this.#rounds(cluster, records)
      this.#isCommitSent = false
      try {
        await this.#transact(cluster, rounds, commit)
      } catch (error) {
        this.#doubt = { commit, isCommitSent: this.#isCommitSent }
        throw error
      }
    })
  }

  async #transact(cluster: Cluster, rounds: readonly Round[], commit: Commit): Promise<void> {
    const stamp = { transactionalId: this.#id, ...this.#identity }
    const topics = topicsOf(rounds[0] ?? [])
    const groupId = commit.group
    await both(
      topics.length > 0 ? this.#ask(cluster, (node) => node.addPartitionsToTxn({ ...stamp, topics })) : undefined,
      this.#ask(cluster, (node) => node.addOffsetsToTxn({ ...stamp, groupId })),
    )
    await both(this.#produce(cluster, rounds), this.#commitOffset(cluster, commit))
    this.#isCommitSent = true
    await this.#ask(cluster, (node) => node.endTxn({ ...stamp, transactionResult: true }))
  }

  /** The n-th round holds the n-th piece of each partition. */
  async #rounds(cluster: Cluster, records: readonly NewRecord[]): Promise<Round[]> {
    const counts = new Map<string, number>()
    for (const { topic } of records) {
      if (!counts.has(topic)) counts.set(topic, await this.#soon(() => partitionCount(cluster, topic)))
    }
    const rounds: Round[] = []
    for (const { topic, partition, records: all } of groupByPartition(records, counts, 0)) {
      for (const [i, piece] of splitBySize(all, this.#batchBytesMax).entries()) {
        rounds[i] ??= []
        rounds[i].push({ topic, partition, records: piece })
      }
    }
    return rounds
  }

  async #produce(cluster: Cluster, rounds: readonly Round[]): Promise<void> {
    const { settings } = this.#wire
    const options = { transactionalId: this.#id, timeoutMs: settings.requestTimeoutMs }
    for (const round of rounds) {
      // A repeated batch keeps its sequence number, so the broker takes it once.
      let left: ProducedBatch[] = round.map((piece) => this.#batch(piece))
      await patiently(
        this.#wire.clock,
        settings.requestTimeoutMs,
        async () => {
          const answers = await byLeader(cluster, left, (broker, batches) => produceBatches(broker, batches, options))
          const refused = answers.filter(({ errorCode }) => errorCode !== 0 && errorCode !== DUPLICATE_SEQUENCE)
          left = left.filter((batch) =>
            refused.some((one) => one.topic === batch.topic && one.partition === batch.partition),
          )
          for (const { topic, partition, errorCode } of refused) accept(errorCode, `${topic}[${partition}]`)
        },
        async (error) => {
          if (isStale(error)) await cluster.refreshMetadata()
        },
      )
    }
  }

  #batch({ topic, partition, records }: Round[number]): ProducedBatch {
    const { settings, clock } = this.#wire
    const key = `${topic}\n${partition}`
    const firstSequence = this.#sequences.get(key) ?? 0
    this.#sequences.set(key, (firstSequence + records.length) % SEQUENCE_MODULUS)
    const stamp = { ...this.#identity, firstSequence }
    return { topic, partition, batch: encodeBatch(records, clock.now(), { stamp, compression: settings.compression }) }
  }

  async #commitOffset(cluster: Cluster, { group, topic, partition, position }: Commit): Promise<void> {
    const partitions = [{ partition, offset: String(position), metadata: null }]
    const request = { transactionalId: this.#id, ...this.#identity, groupId: group, topics: [{ topic, partitions }] }
    await this.#soon(async () => {
      const coordinator = await this.#line.coordinator(cluster, 'group', group)
      await coordinator.txnOffsetCommit(request)
    })
  }

  /** Asks the coordinator of our transactions, wherever it is now. */
  #ask<T>(cluster: Cluster, request: (coordinator: WireBroker) => Promise<T>): Promise<T> {
    return this.#soon(async () => request(await this.#line.coordinator(cluster, 'transaction', this.#id)))
  }

  /** Finds out how a transaction ended, and starts a new epoch. @throws RtmlError LOG_DOWN, FENCED */
  async #settle(doubt: Doubt): Promise<'committed' | 'aborted'> {
    const { transactionTimeoutMs } = this.#wire.settings
    try {
      const outcome = await this.#line.call(`publisher ${this.#id}`, async (cluster) => {
        const stamp = { transactionalId: this.#id, ...this.#identity }
        const ended = await this.#ask(cluster, (node) => node.endTxn({ ...stamp, transactionResult: false })).then(
          () => 'aborted' as const,
          (error: unknown) => {
            if (typeOf(error) === 'INVALID_TXN_STATE') return doubt.isCommitSent ? 'committed' : 'aborted'
            if (typeOf(error) === 'INVALID_PRODUCER_ID_MAPPING') return 'aborted'
            throw error
          },
        )
        this.#identity = await this.#ask(cluster, (node) =>
          initProducer(node, this.#id, transactionTimeoutMs, this.#identity),
        )
        return ended
      })
      this.#sequences.clear()
      this.#doubt = undefined
      this.#settled = outcome === 'committed' ? doubt : undefined
      return outcome
    } catch (error) {
      if (isFenced(error)) {
        this.#isFenced = true
        throw this.#fenced(error)
      }
      throw error instanceof RtmlError ? error : this.#unknown(error)
    }
  }

  #soon<T>(attempt: () => Promise<T>): Promise<T> {
    return patiently(this.#wire.clock, this.#wire.settings.requestTimeoutMs, attempt, async () => this.#line.forget())
  }

  #fenced(cause?: unknown): RtmlError {
    return new RtmlError('FENCED', `publisher ${this.#id}: a newer publisher has this id. This one stopped writing.`, {
      cause,
    })
  }

  #unknown(cause: unknown): RtmlError {
    if (cause instanceof RtmlError) return cause
    return new RtmlError('LOG_DOWN', `publisher ${this.#id}: ${text(cause)}. Retried.`, { cause })
  }
}

type Round = { readonly topic: string; readonly partition: number; readonly records: readonly NewRecord[] }[]

/** The broker has this batch already: it is what was asked for. */
const DUPLICATE_SEQUENCE = 46

function topicsOf(round: Round): { topic: string; partitions: number[] }[] {
  const topics = new Map<string, number[]>()
  for (const { topic, partition } of round) {
    const partitions = topics.get(topic)
    if (partitions) partitions.push(partition)
    else topics.set(topic, [partition])
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }))
}

function sameCommit(a: Commit, b: Commit): boolean {
  return a.group === b.group && a.topic === b.topic && a.partition === b.partition && a.position === b.position
}

/** Waits for both, also when one fails: no request may be under way when its transaction is ended. */
async function both(left: Promise<unknown> | undefined, right: Promise<unknown>): Promise<void> {
  const settled = await Promise.allSettled([left, right])
  for (const one of settled) if (one.status === 'rejected') throw one.reason
}
