import { RtmlError } from '../app/errors.ts'
import { type Clock, ms } from '../app/units.ts'
import type { Log, NewRecord } from '../engine/ports.ts'

/** The queue has no room: the log is away, or slower than what comes in. Nothing was taken. */
export class IntakeFull extends Error {}
/** The log has not answered in time. The records may still be in the log; their ids make a repetition harmless. */
export class IntakeLate extends Error {}

export interface IntakeLimits {
  /** Bytes of keys and values that may wait. */
  readonly maxBytes: number
  /** Records and bytes of one append. */
  readonly maxRecords: number
  readonly maxAppendBytes: number
  /** How long records may wait; then their promise rejects with IntakeLate. Wall time. */
  readonly maxWaitMs: number
}

export const INTAKE_LIMITS: IntakeLimits = {
  maxBytes: 32 * 1024 * 1024,
  maxRecords: 1_000,
  maxAppendBytes: 1024 * 1024,
  maxWaitMs: 30_000,
}

export interface Ticket {
  /** Resolves when the log has the records. @throws IntakeLate, or what the log refused them with */
  readonly durable: Promise<void>
  /** Takes back what has not been sent yet. */
  cancel(): void
}

interface Entry {
  readonly records: readonly NewRecord[]
  readonly bytes: number
  readonly offeredAt: number
  readonly settled: PromiseWithResolvers<void>
  isDone: boolean
}

/** Appends under way at once: while one waits for the disk or the brokers, the next one is filled. */
const MAX_APPENDS = 2
const MIN_PAUSE_MS = 50
const MAX_PAUSE_MS = 1_000

/**
 * The bounded way into the log: records of concurrent requests become one append. While the log is away they wait here,
 * in memory, up to a bound; whoever offers more is refused. A promise resolves only when the log has acknowledged.
 */
export class Intake implements AsyncDisposable {
  readonly #log: Pick<Log, 'append'>
  readonly #clock: Clock
  readonly #limits: IntakeLimits
  readonly #stop = new AbortController()
  #queue: Entry[] = []
  #bytes = 0
  #appends = 0
  #pauseMs = 0
  #isResting = false

  constructor(log: Pick<Log, 'append'>, clock: Clock, limits: IntakeLimits = INTAKE_LIMITS) {
    this.#log = log
    this.#clock = clock
    this.#limits = limits
  }

  /** Bytes that wait or are under way. */
  get waitingBytes(): number {
    return this.#bytes
  }

  /** The log did not take the last append; it is asked again after a pause. */
  get isStalled(): boolean {
    return this.#pauseMs > 0
  }

  /** @throws IntakeFull when there is no room, or the process is stopping */
  offer(records: readonly NewRecord[]): Ticket {
    const bytes = records.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0)
    if (this.#stop.signal.aborted) throw new IntakeFull('the process is stopping')
    if (this.#bytes + bytes > this.#limits.maxBytes) {
      throw new IntakeFull(`${this.#bytes} bytes wait for the log already`)
    }
    const settled = Promise.withResolvers<void>()
    // Whoever stops waiting leaves the promise behind.
    settled.promise.catch(() => {})
    const entry: Entry = { records, bytes, offeredAt: this.#clock.now(), settled, isDone: false }
    this.#bytes += bytes
    this.#queue.push(entry)
    // At the end of the turn, so that the requests of one turn share an append.
    if (this.#queue.length === 1) setImmediate(() => this.#pump())
    return { durable: settled.promise, cancel: () => this.#cancel(entry) }
  }

  /** Sends what waits, for as long as `maxMs`; what the log doesn't take until then is refused. */
  async drain(maxMs: number): Promise<void> {
    const until = this.#clock.now() + maxMs
    while (this.#bytes > 0 && this.#clock.now() < until) {
      this.#pump()
      await this.#clock.sleep(ms(5))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.drain(5_000)
    for (const entry of this.#queue.splice(0)) this.#settle(entry, new IntakeLate('the process is stopping'))
  }

  #cancel(entry: Entry): void {
    const at = this.#queue.indexOf(entry)
    if (at < 0) return
    this.#queue.splice(at, 1)
    this.#settle(entry, new IntakeLate('taken back'))
  }

  #pump(): void {
    this.#dropLate()
    while (this.#queue.length > 0 && this.#appends < MAX_APPENDS && !this.#isResting) {
      void this.#append(this.#take())
    }
  }

  #take(): Entry[] {
    let records = 0
    let bytes = 0
    let count = 0
    for (const entry of this.#queue) {
      records += entry.records.length
      bytes += entry.bytes
      if (count > 0 && (records > this.#limits.maxRecords || bytes > this.#limits.maxAppendBytes)) break
      count++
    }
    return this.#queue.splice(0, count)
  }

  async #append(entries: readonly Entry[]): Promise<void> {
    this.#appends++
    try {
      await this.#log.append(entries.flatMap(({ records }) => records))
      this.#pauseMs = 0
      for (const entry of entries) this.#settle(entry)
    } catch (error) {
      await this.#failed(entries, error)
    } finally {
      this.#appends--
      if (this.#queue.length > 0) this.#pump()
    }
  }

  async #failed(entries: readonly Entry[], error: unknown): Promise<void> {
    if (error instanceof RtmlError && error.isTransient) {
      this.#queue.unshift(...entries)
      void this.#rest()
      return
    }
    const [first, ...others] = entries
    // One record that the log refuses must not take its neighbours with it.
    if (others.length > 0) for (const entry of entries) await this.#append([entry])
    else if (first) this.#settle(first, error)
  }

  /** One pause at a time, longer after each failure in a row. */
  async #rest(): Promise<void> {
    if (this.#isResting) return
    this.#isResting = true
    this.#pauseMs = Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, this.#pauseMs * 2))
    await this.#clock.sleep(ms(this.#pauseMs))
    this.#isResting = false
    this.#pump()
  }

  #dropLate(): void {
    const oldest = this.#clock.now() - this.#limits.maxWaitMs
    while (this.#queue.length > 0 && (this.#queue[0] as Entry).offeredAt < oldest) {
      this.#settle(
        this.#queue.shift() as Entry,
        new IntakeLate(`the log has not answered for ${this.#limits.maxWaitMs} ms`),
      )
    }
  }

  #settle(entry: Entry, error?: unknown): void {
    if (entry.isDone) return
    entry.isDone = true
    this.#bytes -= entry.bytes
    if (error === undefined) entry.settled.resolve()
    else entry.settled.reject(error)
  }
}
