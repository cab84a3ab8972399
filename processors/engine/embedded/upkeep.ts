import { type Ms, ms } from '../../app/units.ts'
import type { LogRecord } from '../ports.ts'
import { packSparse, readHeader, unpackRecords } from '../record-codec.ts'
import type { Environment } from './environment.ts'
import { batchKey, idKey } from './keys.ts'
import { batchFrom } from './log-read.ts'
import { type LogWrite, readHead } from './log-write.ts'
import { isExpired } from './states.ts'
import { isAbandoned, readLeftover } from './store.ts'
import { turn } from './tail.ts'
import type { Topic, Topics } from './topics.ts'

/** Bounds of one step: a step holds this thread and the write lock for a few milliseconds. */
const BATCHES_PER_STEP = 8
const STATES_PER_STEP = 500
const STEPS_PER_SWEEP = 40
/** Keys that one compaction pass remembers; what lies behind them waits for the next pass. */
const KEYS_PER_PASS = 100_000
/** A compacted partition is looked at when it has so many records that no pass has seen, and half as many as the last left. */
const UNSEEN_RECORDS = 1_000
const FREES = { frees: true }

interface UpkeepOptions {
  readonly retentionBytes?: number
  readonly upkeepMs?: Ms
  readonly tombstoneMs?: Ms
}

/** Deletes what retention, compaction, expiry and restores leave behind, in short steps between other work. */
export class Upkeep {
  readonly #environment: Environment
  readonly #topics: Topics
  readonly #retentionBytes: number
  readonly #pauseMs: Ms
  readonly #tombstoneMs: Ms
  readonly #stop = new AbortController()
  /** The last compaction pass over each partition: its end, to come back for tombstones, and the records that it left. */
  readonly #passes = new Map<string, { at: number; left: number }>()
  #sweptTo: Buffer | undefined
  #running: Promise<void> | undefined

  constructor(environment: Environment, topics: Topics, options: UpkeepOptions) {
    this.#environment = environment
    this.#topics = topics
    this.#retentionBytes = options.retentionBytes ?? Number.POSITIVE_INFINITY
    this.#pauseMs = options.upkeepMs ?? ms(30_000)
    this.#tombstoneMs = options.tombstoneMs ?? ms(86_400_000)
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  /** One round over everything. @throws RtmlError LOG_DOWN, STORE_DOWN */
  async round(): Promise<void> {
    for (const topic of this.#topics.all()) {
      for (let partition = 0; partition < topic.partitions; partition++) {
        await this.#dropOld(topic, partition)
        if (topic.cleanup !== 'delete') await this.#compact(topic, partition)
      }
    }
    await this.#dropLeftovers()
    await this.#dropExpired()
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      await this.#environment.clock.sleep(this.#pauseMs, signal)
      if (signal.aborted) return
      // A disk that refuses writes is already in `down`; deletion is tried again in the next round.
      await this.round().catch(() => {})
    }
  }

  async #dropOld(topic: Topic, partition: number): Promise<void> {
    const byTime = topic.cleanup === 'compact' ? undefined : topic.retentionMs
    const byBytes = topic.cleanup === 'delete' ? this.#retentionBytes : Number.POSITIVE_INFINITY
    const { tables, clock } = this.#environment
    const isOld = (batch: Buffer, base: number, head: { start: number; bytes: number }, now: number): boolean => {
      const { span, timestamp } = readHeader(batch)
      if (base + span <= head.start || head.bytes > byBytes) return true
      return byTime !== undefined && timestamp + byTime <= now
    }
    const isFirstOld = (): boolean => {
      this.#environment.refresh()
      const first = batchFrom(tables, topic.id, partition, 0)
      return first !== undefined && isOld(first.batch, first.base, readHead(tables, topic.id, partition), clock.now())
    }
    while (!this.#stop.signal.aborted && isFirstOld()) {
      await this.#environment.write(
        'LOG_DOWN',
        (write) => {
          for (let i = 0; i < BATCHES_PER_STEP; i++) {
            const first = batchFrom(write.tables, topic.id, partition, 0)
            const head = write.head(topic.id, partition)
            if (!first || !isOld(first.batch, first.base, head, write.now)) return
            write.tables.log.removeSync(batchKey(topic.id, partition, first.base))
            head.bytes -= first.batch.length
            head.start = Math.max(head.start, first.base + readHeader(first.batch).span)
          }
        },
        FREES,
      )
      await turn()
    }
  }

  async #compact(topic: Topic, partition: number): Promise<void> {
    const { tables, clock } = this.#environment
    const name = `${topic.topic}/${partition}`
    const head = readHead(tables, topic.id, partition)
    const last = this.#passes.get(name) ?? { at: 0, left: 0 }
    const isDue =
      head.end - head.cleaned >= Math.max(UNSEEN_RECORDS, last.left / 2) || clock.now() - last.at >= this.#tombstoneMs
    if (head.end === head.start || !isDue) return
    const { newest, seenTo } = await this.#newestOffsets(topic, partition, head.cleaned)
    let position = 0
    let left = 0
    while (position < seenTo && !this.#stop.signal.aborted) {
      const from = position
      const step = await this.#environment.write(
        'LOG_DOWN',
        (write) => this.#rewrite(write, topic, partition, from, seenTo, newest),
        FREES,
      )
      position = step.position
      left += step.left
      await turn()
    }
    if (this.#stop.signal.aborted) return
    await this.#environment.write('LOG_DOWN', (write) => {
      const head = write.head(topic.id, partition)
      head.cleaned = Math.max(head.cleaned, seenTo)
    })
    this.#passes.set(name, { at: clock.now(), left })
  }

  /** Newest offset of each key from `from` on, up to KEYS_PER_PASS keys. */
  async #newestOffsets(
    topic: Topic,
    partition: number,
    from: number,
  ): Promise<{ newest: ReadonlyMap<string, number>; seenTo: number }> {
    const newest = new Map<string, number>()
    let position = from
    while (newest.size < KEYS_PER_PASS && !this.#stop.signal.aborted) {
      const next = batchFrom(this.#environment.tables, topic.id, partition, position)
      if (!next) break
      for (const record of recordsOf(next.batch, topic, partition, next.base)) {
        if (record.key) newest.set(record.key.toString('latin1'), record.offset)
      }
      position = next.base + readHeader(next.batch).span
      await turn()
    }
    return { newest, seenTo: position }
  }

  /** Rewrites some batches from `from` on. @returns where to go on, and how many records it left */
  #rewrite(
    write: LogWrite,
    topic: Topic,
    partition: number,
    from: number,
    seenTo: number,
    newest: ReadonlyMap<string, number>,
  ): { position: number; left: number } {
    let position = from
    let left = 0
    for (let i = 0; i < BATCHES_PER_STEP; i++) {
      const next = batchFrom(write.tables, topic.id, partition, position)
      if (!next || next.base >= seenTo) return { position: seenTo, left }
      const info = readHeader(next.batch)
      const records = recordsOf(next.batch, topic, partition, next.base)
      const kept = records.filter((record) => this.#isKept(record, newest, write.now))
      const key = batchKey(topic.id, partition, next.base)
      if (kept.length < records.length) {
        const head = write.head(topic.id, partition)
        const batch = kept.length > 0 ? packSparse(kept, next.base, info) : undefined
        if (batch) write.tables.log.putSync(key, batch)
        else write.tables.log.removeSync(key)
        head.bytes += (batch?.length ?? 0) - next.batch.length
      }
      position = next.base + info.span
      left += kept.length
    }
    return { position, left }
  }

  #isKept(record: LogRecord, newest: ReadonlyMap<string, number>, now: number): boolean {
    if (record.key === null) return true
    if ((newest.get(record.key.toString('latin1')) ?? record.offset) > record.offset) return false
    return record.value !== null || record.timestamp + this.#tombstoneMs > now
  }

  async #dropLeftovers(): Promise<void> {
    const { tables } = this.#environment
    this.#environment.refresh()
    for (const { key, value } of [...tables.leftovers.getRange()]) {
      const leftover = readLeftover(value)
      const range = { start: key, end: idKey(key.readUInt32BE() + 1), limit: STATES_PER_STEP }
      let isGone = !isAbandoned(tables, leftover)
      while (!isGone && !this.#stop.signal.aborted) {
        isGone = await this.#environment.write(
          'STORE_DOWN',
          ({ tables }) => {
            const keys = [...tables.states.getKeys(range)]
            for (const state of keys) tables.states.removeSync(state)
            if (keys.length === 0) tables.leftovers.removeSync(key)
            return keys.length === 0
          },
          FREES,
        )
        await turn()
      }
    }
  }

  async #dropExpired(): Promise<void> {
    const { tables, clock } = this.#environment
    for (let step = 0; step < STEPS_PER_SWEEP && !this.#stop.signal.aborted; step++) {
      this.#environment.refresh()
      const now = clock.now()
      const expired: Buffer[] = []
      let seen = 0
      const start = this.#sweptTo ?? idKey(0)
      const range = { start, exclusiveStart: true, limit: STATES_PER_STEP, versions: true }
      for (const { key, version } of tables.states.getRange(range)) {
        seen++
        this.#sweptTo = key
        if (isExpired(version, now)) expired.push(key)
      }
      if (expired.length > 0) {
        await this.#environment.write(
          'STORE_DOWN',
          ({ tables, now }) => {
            for (const key of expired) {
              if (isExpired(tables.states.getEntry(key)?.version, now)) tables.states.removeSync(key)
            }
          },
          FREES,
        )
      }
      if (seen < STATES_PER_STEP) {
        this.#sweptTo = undefined
        return
      }
      await turn()
    }
  }
}

function recordsOf(batch: Buffer, { topic }: Topic, partition: number, base: number): LogRecord[] {
  const records: LogRecord[] = []
  unpackRecords(batch, { topic, partition }, base, 0, Number.POSITIVE_INFINITY, records)
  return records
}
