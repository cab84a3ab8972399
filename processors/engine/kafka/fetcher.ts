/**
 * Reads many partitions at once: one loop a leading node, each a chain of long polls over the partitions that have room.
 * A partition that has none is left out, which is the back-pressure.
 */
import { RtmlError } from '../../app/errors.ts'
import { ms, type Offset } from '../../app/units.ts'
import type { RecordRun, TopicPartition } from '../ports.ts'
import { leaderOf } from './metadata.ts'
import { accept, BrokerRefusal, isBusy, isRefused, isStale } from './protocol/errors.ts'
import { nodeOf, type WireBroker } from './protocol/node.ts'
import { type DecodedRecords, decodeRecords } from './protocol/record-batch.ts'
import {
  type FetchedPartition,
  type FetchLimits,
  type FetchPosition,
  fetchRecords,
  listOffsets,
} from './protocol/requests.ts'
import { Backoff, bounded } from './retry.ts'
import { text } from './text.ts'
import type { Line, Wire } from './wire.ts'

/** A partition that is being read. */
export interface FetchTarget extends TopicPartition {
  /** Position to fetch from, or undefined while there is no room. */
  readonly wanted: Offset | undefined
  /** A run that begins where `wanted` was when it was asked for; `end` is the end of what is committed. */
  take(run: RecordRun, end: Offset): void
  fail(error: Error): void
}

/**
 * A long poll ends after this time, and a partition that has got room meanwhile is asked for in the next one. Also the
 * least time between two polls of a node, so that a trickle of events doesn't cost a request each.
 */
const LIMITS: FetchLimits = { waitMs: 100, bytesMax: 2 * 1024 * 1024, partitionBytesMax: 512 * 1024 }
const POLL_SPACING_MS = 2
/** How long a position above the log's end is believed to be a leader that hasn't caught up. */
const BEYOND_END_MS = 30_000
const CLOSE_MS = ms(1_000)

export class Fetcher {
  readonly #wire: Wire
  readonly #line: Line
  readonly #targets = new Set<FetchTarget>()
  readonly #loops = new Map<number, Promise<void>>()
  readonly #closing = new AbortController()
  #placing: Promise<void> | undefined
  readonly #beyondEnd = new Map<FetchTarget, number>()

  constructor(wire: Wire) {
    this.#wire = wire
    this.#line = wire.line()
  }

  add(target: FetchTarget): void {
    this.#targets.add(target)
    this.wake()
  }

  remove(target: FetchTarget): void {
    this.#targets.delete(target)
    this.#beyondEnd.delete(target)
  }

  /** Call when a target has room again. */
  wake(): void {
    if (this.#closing.signal.aborted) return
    this.#placing ??= this.#place().finally(() => {
      this.#placing = undefined
    })
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#targets.clear()
    await this.#line.close()
    await bounded(this.#wire.clock, CLOSE_MS, Promise.all([this.#placing, ...this.#loops.values()]))
  }

  /** Sees to it that the leader of each target with room has a loop. */
  async #place(): Promise<void> {
    const backoff = new Backoff(this.#wire.clock)
    while (!this.#closing.signal.aborted) {
      try {
        for (const leader of await this.#leadersOfWanted()) {
          if (!this.#loops.has(leader)) this.#loops.set(leader, this.#loop(leader))
        }
        return
      } catch (error) {
        if (this.#hopeless(error)) return
        await backoff.pause(this.#closing.signal)
        await this.#line.refresh().catch(() => {})
      }
    }
  }

  async #leadersOfWanted(): Promise<Set<number>> {
    const wanted = [...this.#targets].filter((target) => target.wanted !== undefined)
    if (wanted.length === 0) return new Set()
    return this.#line.call('metadata', async (cluster) => {
      const leaders = new Set<number>()
      for (const target of wanted) leaders.add(await leaderOf(cluster, target))
      return leaders
    })
  }

  /** Polls a node until no target of it has room; never rejects. */
  async #loop(leader: number): Promise<void> {
    const { clock } = this.#wire
    const backoff = new Backoff(clock)
    let turn = 0
    for (;;) {
      const started = clock.now()
      try {
        const more = await this.#poll(leader, turn++)
        if (!more || this.#closing.signal.aborted) break
        backoff.reset()
      } catch (error) {
        if (this.#closing.signal.aborted || this.#hopeless(error)) break
        await backoff.pause(this.#closing.signal)
        await this.#line.refresh().catch(() => {})
      }
      const early = POLL_SPACING_MS - (clock.now() - started)
      if (early > 0) await clock.sleep(ms(early), this.#closing.signal)
    }
    this.#loops.delete(leader)
    // A target may have got room, or another leader, after the last look.
    if ([...this.#targets].some((target) => target.wanted !== undefined)) this.wake()
  }

  /** @returns false when the node leads no target with room */
  async #poll(leader: number, turn: number): Promise<boolean> {
    return this.#line.call('fetch', async (cluster) => {
      const asked = new Map<string, FetchTarget>()
      const positions: FetchPosition[] = []
      for (const target of this.#targets) {
        const position = target.wanted
        if (position === undefined || (await leaderOf(cluster, target)) !== leader) continue
        const { topic, partition } = target
        asked.set(`${topic}\n${partition}`, target)
        positions.push({ topic, partition, position })
      }
      if (positions.length === 0) return false
      const broker = await nodeOf(cluster, leader)
      let isStaleLeader: unknown
      for (const fetched of await fetchRecords(broker, rotated(positions, turn), LIMITS)) {
        const target = asked.get(`${fetched.topic}\n${fetched.partition}`)!
        if (fetched.errorCode !== 0) isStaleLeader = (await this.#refused(broker, target, fetched)) ?? isStaleLeader
        else await this.#give(broker, target, fetched, positions.length === 1)
      }
      if (isStaleLeader) throw isStaleLeader
      return true
    })
  }

  async #give(broker: WireBroker, target: FetchTarget, fetched: FetchedPartition, isAlone: boolean): Promise<void> {
    this.#beyondEnd.delete(target)
    try {
      const run = await runOf(broker, fetched, isAlone)
      if (run && this.#targets.has(target) && target.wanted === run.from) target.take(run, fetched.stable)
    } catch (error) {
      if (!(error instanceof DamagedBatch)) throw error
      target.fail(error)
    }
  }

  /** @returns the error when fetching again can help */
  async #refused(broker: WireBroker, target: FetchTarget, fetched: FetchedPartition): Promise<unknown> {
    const refusal = new BrokerRefusal(fetched.errorCode, `${fetched.topic}[${fetched.partition}]`)
    if (refusal.type === 'OFFSET_OUT_OF_RANGE') {
      const start = await startOf(broker, fetched)
      const now = this.#wire.clock.now()
      const since = this.#beyondEnd.get(target) ?? now
      this.#beyondEnd.set(target, since)
      if (fetched.position >= start && now - since < BEYOND_END_MS) return refusal
      target.fail(truncated(fetched, fetched.position, start))
      return undefined
    }
    if (isStale(refusal) || isBusy(refusal) || !isRefused(refusal)) return refusal
    target.fail(
      new RtmlError('CONFIG', `reading is refused: ${refusal.type}. Grant READ on the topic.`, { cause: refusal }),
    )
    return undefined
  }

  /** Tells all targets when nothing will ever be readable. */
  #hopeless(error: unknown): boolean {
    if (!(error instanceof RtmlError) || error.isTransient) return false
    for (const target of this.#targets) target.fail(error)
    return true
  }
}

/** Bytes of the log that can't be read: not an outage, so it must not be waited for. */
class DamagedBatch extends Error {
  readonly type = 'DAMAGED_BATCH'
}

function decoded({ topic, partition, records, position, aborted }: FetchedPartition): DecodedRecords {
  try {
    return decodeRecords(topic, partition, records, position, aborted)
  } catch (cause) {
    throw new DamagedBatch(`${topic}[${partition}] cannot be read from ${position} on: ${text(cause)}`, { cause })
  }
}

/** NOT_LEADER_FOR_PARTITION: what no answer at all means. */
const LEADER_MOVED = 6

/**
 * The run that a fetch gave; undefined when there is nothing new.
 * No bytes although committed offsets follow is a hole that compaction has left (or a response without room for this
 * partition): a fetch of its own tells them apart.
 */
export async function runOf(
  broker: WireBroker,
  fetched: FetchedPartition,
  isAlone: boolean,
): Promise<RecordRun | undefined> {
  const { topic, partition, position, records: bytes, stable } = fetched
  const { records, next } = decoded(fetched)
  if (next > position) return { topic, partition, from: position, to: next, records }
  if (stable <= position) return undefined
  if (bytes.length === 0 && isAlone) return { topic, partition, from: position, to: stable, records: [] }
  const limits = { waitMs: 0, bytesMax: 64 * 1024 * 1024, partitionBytesMax: 64 * 1024 * 1024 }
  const [again] = await fetchRecords(broker, [{ topic, partition, position }], limits)
  if (again?.errorCode !== 0) throw new BrokerRefusal(again?.errorCode ?? LEADER_MOVED, `${topic}[${partition}]`)
  return again.records.length === 0 || again.records.length > bytes.length ? runOf(broker, again, true) : undefined
}

/** The log's start: the answer to a position outside the log doesn't say it. */
export async function startOf(broker: WireBroker, { topic, partition }: TopicPartition): Promise<Offset> {
  const [listed] = await listOffsets(broker, [{ topic, partition }], 'start')
  accept(listed?.errorCode ?? LEADER_MOVED, `${topic}[${partition}]`)
  return listed!.offset
}

export function truncated({ topic, partition }: TopicPartition, position: Offset, start: Offset): RtmlError {
  const place = `${topic}[${partition}]`
  if (position >= start) {
    const message = `position ${position} is above the log's end: the log lost its tail or the topic was made anew. Run: rtml rebuild --shard ${partition}`
    return new RtmlError('LOG_TRUNCATED', message, { place })
  }
  const lost = start - position
  const message = `position ${position} is below the log's start ${start}; ${lost} offsets were deleted by retention before they were read. Run: rtml rebuild --shard ${partition} --from snapshot`
  return new RtmlError('LOG_TRUNCATED', message, { place })
}

function rotated<T>(list: readonly T[], turn: number): T[] {
  const by = turn % list.length
  return [...list.slice(by), ...list.slice(0, by)]
}
