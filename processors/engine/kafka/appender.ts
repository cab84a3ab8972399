/**
 * Appends without a transaction. Calls that come while a request is under way go together in the next one, so a thousand
 * small appends a second cost a few dozen requests; records of one partition stay in the order of the calls.
 */
import type { Cluster } from 'kafkajs'
import { RtmlError } from '../../app/errors.ts'
import { ms } from '../../app/units.ts'
import type { NewRecord, TopicPartition } from '../ports.ts'
import { byLeader, partitionCount } from './metadata.ts'
import { groupByPartition, NoSuchPartition, splitBySize } from './partitioning.ts'
import { BrokerRefusal, isBusy, isStale, typeOf } from './protocol/errors.ts'
import { encodeBatch } from './protocol/record-batch.ts'
import { type ProduceAnswer, produceBatches } from './protocol/requests.ts'
import { Backoff } from './retry.ts'
import type { Line, Wire } from './wire.ts'

/** Records that one round may carry. */
const ROUND_BYTES_MAX = 8 * 1024 * 1024
const RETRY_DEADLINE_MS = ms(10_000)

interface Waiting {
  readonly records: readonly NewRecord[]
  readonly bytes: number
  readonly done: PromiseWithResolvers<void>
}

export class Appender {
  readonly #wire: Wire
  readonly #line: Line
  readonly #waiting: Waiting[] = []
  #running: Promise<void> | undefined
  #spare = 0

  constructor(wire: Wire) {
    this.#wire = wire
    this.#line = wire.line()
  }

  /** Resolves when all records are in all in-sync replicas. */
  async append(records: readonly NewRecord[]): Promise<void> {
    if (records.length === 0) return
    let bytes = 0
    for (const { key, value } of records) bytes += 64 + (key?.length ?? 0) + (value?.length ?? 0)
    const done = Promise.withResolvers<void>()
    this.#waiting.push({ records, bytes, done })
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
    await done.promise
  }

  async close(): Promise<void> {
    await this.#running
    await this.#line.close()
  }

  async #run(): Promise<void> {
    // One turn of the loop later, all appends of this tick are here.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const round = this.#take()
      const failures = await this.#send(round.flatMap((one) => one.records)).catch((error: unknown) => error)
      for (const { records, done } of round) {
        const failure = failures instanceof Map ? firstFailure(failures, records) : failures
        if (failure === undefined) done.resolve()
        else done.reject(failure)
      }
    }
  }

  #take(): Waiting[] {
    let bytes = 0
    let count = 0
    while (count < this.#waiting.length && (count === 0 || bytes + this.#waiting[count]!.bytes <= ROUND_BYTES_MAX)) {
      bytes += this.#waiting[count++]!.bytes
    }
    return this.#waiting.splice(0, count)
  }

  /** @returns why, for each record that could not be appended */
  async #send(records: readonly NewRecord[]): Promise<Map<NewRecord, unknown>> {
    const { settings } = this.#wire
    const failures = new Map<NewRecord, unknown>()
    const counts = await this.#counts(new Set(records.map((record) => record.topic)))
    const known = records.filter((record) => {
      const count = counts.get(record.topic)
      if (typeof count !== 'number') failures.set(record, count)
      else if (record.partition !== undefined && record.partition >= count) {
        failures.set(record, new NoSuchPartition(record.topic, record.partition))
      } else return true
      return false
    })
    const groups = groupByPartition(known, counts as ReadonlyMap<string, number>, this.#spare++)
    let pieces = groups.flatMap(({ topic, partition, records: all }) =>
      splitBySize(all, settings.batchBytesMax).map((piece, order) => ({ topic, partition, order, records: piece })),
    )
    // The n-th pieces of all partitions go together; a partition's pieces go one after the other.
    for (let order = 0; pieces.length > 0; order++) {
      const now = pieces.filter((piece) => piece.order === order)
      pieces = pieces.filter((piece) => piece.order !== order)
      await Promise.all(now.length > 0 ? [this.#sendPieces(now, failures)] : [])
    }
    return failures
  }

  async #counts(topics: ReadonlySet<string>): Promise<Map<string, number | RtmlError>> {
    const counts = new Map<string, number | RtmlError>()
    for (const topic of topics) {
      counts.set(
        topic,
        await this.#retrying(topic, (cluster) => partitionCount(cluster, topic)).catch(asMissing(topic)),
      )
    }
    return counts
  }

  async #sendPieces(
    pieces: readonly (TopicPartition & { readonly records: readonly NewRecord[] })[],
    failures: Map<NewRecord, unknown>,
  ): Promise<void> {
    const { settings, clock } = this.#wire
    const backoff = new Backoff(clock)
    const end = clock.now() + RETRY_DEADLINE_MS
    let left = pieces
    for (;;) {
      const batches = left.map(({ topic, partition, records }) => ({
        topic,
        partition,
        batch: encodeBatch(records, clock.now(), { compression: settings.compression }),
      }))
      const options = { transactionalId: null, timeoutMs: settings.requestTimeoutMs }
      const answers = await this.#line
        .call('append', (cluster) =>
          byLeader(cluster, batches, (broker, some) => produceBatches(broker, some, options)),
        )
        .catch((error: unknown): ProduceAnswer[] => {
          if (!isStale(error)) throw error
          return []
        })
      const answered = new Map(answers.map((answer) => [`${answer.topic}\n${answer.partition}`, answer.errorCode]))
      const again: typeof left = []
      for (const piece of left) {
        const code = answered.get(`${piece.topic}\n${piece.partition}`)
        const refusal = code === undefined ? undefined : new BrokerRefusal(code, 'append')
        if (code === 0) continue
        if (refusal === undefined || isStale(refusal) || isBusy(refusal)) {
          ;(again as (typeof piece)[]).push(piece)
        } else await this.#refused(piece, refusal, failures)
      }
      left = again
      if (left.length === 0) return
      if (clock.now() > end) {
        const place = left.map(({ topic, partition }) => `${topic}[${partition}]`).join(', ')
        throw new RtmlError('LOG_DOWN', `no leader took an append within ${RETRY_DEADLINE_MS} ms`, { place })
      }
      await backoff.pause()
      await this.#line.refresh()
    }
  }

  /** A batch that is too large is halved, down to the record that is. */
  async #refused(
    piece: TopicPartition & { readonly records: readonly NewRecord[] },
    refusal: BrokerRefusal,
    failures: Map<NewRecord, unknown>,
  ): Promise<void> {
    const { topic, partition, records } = piece
    const tooLarge = refusal.type === 'MESSAGE_TOO_LARGE' || refusal.type === 'RECORD_LIST_TOO_LARGE'
    if (tooLarge && records.length > 1) {
      const half = records.length >> 1
      await this.#sendPieces([{ topic, partition, records: records.slice(0, half) }], failures)
      await this.#sendPieces([{ topic, partition, records: records.slice(half) }], failures)
      return
    }
    const place = `${topic}[${partition}]`
    const error = tooLarge
      ? new RtmlError('LIMIT', `a record is larger than the topic's max.message.bytes.`, { place, cause: refusal })
      : new RtmlError('CONFIG', `the broker refuses the append: ${refusal.type}.`, { place, cause: refusal })
    for (const record of records) failures.set(record, error)
  }

  async #retrying<T>(place: string, use: (cluster: Cluster) => Promise<T>): Promise<T> {
    const backoff = new Backoff(this.#wire.clock)
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#line.call(place, use)
      } catch (error) {
        if (!isStale(error) || attempt >= 8) throw error
        await backoff.pause()
      }
    }
  }
}

function firstFailure(failures: ReadonlyMap<NewRecord, unknown>, records: readonly NewRecord[]): unknown {
  if (failures.size === 0) return undefined
  for (const record of records) if (failures.has(record)) return failures.get(record)
  return undefined
}

const asMissing =
  (topic: string) =>
  (error: unknown): RtmlError => {
    if (!isStale(error)) throw error
    const unknown = typeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION'
    const message = unknown ? 'the topic does not exist. Run: rtml topics' : 'the topic has no leader yet'
    return new RtmlError(unknown ? 'TOPIC_SETTING' : 'LOG_DOWN', message, { place: topic, cause: error })
  }
