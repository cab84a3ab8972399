/**
 * Event time of the partitions that a stream of samples comes from. Each has a clock of its own: they are read by different
 * workers, and one that catches up is hours behind the others.
 *
 * Pure: everything comes from the samples, so a replay has the same clocks.
 */
import { StateReader, StateWriter } from '../bytes.ts'

const KIND = 'stream-clocks'
/** A gap longer than this is one in which nobody worked, so nobody is idle for it. */
const GAP_MS_MAX = 60_000

interface PartClock {
  /** Largest event time, milliseconds. */
  time: number
  /** The activity when it was last seen. */
  seenAt: number
}

export class StreamClocks {
  readonly #idleMs: number
  readonly #parts = new Map<number, PartClock>()
  /** Time in which samples came, from whichever partition. */
  #activity = 0
  #processedAt = Number.NEGATIVE_INFINITY

  /** @param idleMs a partition without samples while the others are busy for so long no longer holds its own time back */
  constructor(idleMs: number) {
    this.#idleMs = idleMs
  }

  /** Newest processing time. */
  get processedAt(): number {
    return this.#processedAt
  }

  /**
   * Takes a sample. An event from the future counts as one of now: a clock that is wrong must not settle everything.
   * @returns the partition's time after it
   */
  advance(partition: number, eventTime: number, processedAt: number): number {
    if (processedAt > this.#processedAt) {
      const gap = this.#processedAt === Number.NEGATIVE_INFINITY ? 0 : processedAt - this.#processedAt
      this.#activity += Math.min(gap, GAP_MS_MAX)
      this.#processedAt = processedAt
    }
    const time = dueTime(eventTime, processedAt)
    const clock = this.#parts.get(partition)
    if (!clock) {
      this.#parts.set(partition, { time, seenAt: this.#activity })
      return time
    }
    clock.seenAt = this.#activity
    if (time > clock.time) clock.time = time
    return clock.time
  }

  /** Up to when everything of a partition has come: its own time, or that of the others when it is idle. */
  readyUntil(partition: number): number {
    const own = this.#parts.get(partition)
    if (own && !this.#isIdle(own)) return own.time
    let ready = own?.time ?? Number.NEGATIVE_INFINITY
    for (const clock of this.#parts.values()) if (!this.#isIdle(clock) && clock.time > ready) ready = clock.time
    return ready
  }

  #isIdle({ seenAt }: PartClock): boolean {
    return this.#activity - seenAt > this.#idleMs
  }

  encode(): Buffer {
    const writer = new StateWriter(KIND).f64(this.#activity, this.#processedAt).u32(this.#parts.size)
    for (const [partition, { time, seenAt }] of this.#parts) writer.u32(partition).f64(time, seenAt)
    return Buffer.from(writer.done())
  }

  /** @throws Error when the bytes are damaged */
  static decode(bytes: Uint8Array, idleMs: number): StreamClocks {
    const reader = new StateReader(bytes, KIND)
    const clocks = new StreamClocks(idleMs)
    clocks.#activity = reader.f64()
    clocks.#processedAt = reader.f64()
    for (let count = reader.u32(); count > 0; count--) {
      clocks.#parts.set(reader.u32(), { time: reader.f64(), seenAt: reader.f64() })
    }
    reader.end()
    return clocks
  }
}

/** Time from which a sample waits: its own, but never later than when it was processed. */
export const dueTime = (eventTime: number, processedAt: number): number => Math.min(eventTime, processedAt)
