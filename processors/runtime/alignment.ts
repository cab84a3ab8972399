/**
 * Keeps partitions whose events meet in one place downstream together in event time.
 *
 * While live events are read, partitions are together by themselves. Behind a backlog they aren't: each is read as fast as
 * it goes, and the events of a profile that come through the slow one would find the profile's clock far ahead, and be LATE.
 * So a partition takes nothing that is more than `slackMs` ahead of another one that still has something to read.
 *
 * Only partitions of this process are seen. Nothing waits for one that is idle, so a wrong guess costs order and never
 * progress. Order has no part in exactness: whatever the interleaving, states are those of the log that it made.
 */
import type { Application } from '../app/schema.ts'
import { type Clock, type Ms, ms } from '../app/units.ts'

interface Partition {
  /** Event time up to which its outputs are in the log, or at which it waits when they all are. */
  time: number
  /** When there was the last sign that there is something to read. */
  seenAt: number
  /** Whether it has a backlog isn't known yet. */
  isArriving: boolean
  /** Something of it is in the log. */
  hasRead: boolean
  /** Pieces of work that are begun and not in the log yet. */
  inHand: number
}

/** Share of the lateness bound that partitions may be apart: two steps of the way, and the disorder of the sources, have room. */
const SLACK_SHARE = 1 / 4
const IDLE_MS_MAX = 1_000
const IDLE_MS_MIN = 50
/** A partition that is at work is waited for so many times longer. */
const STUCK_TIMES = 10
/** A partition that waits looks again after this time, though it heard of no progress: another one may have become idle. */
const LOOK_EVERY_MS = ms(20)

/** Of the partitions of a stage, or of several that write to the same one. */
export function alignmentOf(app: Application, time: { clock: Clock; hrtime: () => number }): Alignment {
  const slackMs = ms(app.events.lateness * SLACK_SHARE)
  // Where little disorder is allowed, live partitions with few events must not wait for each other.
  const idleMs = ms(Math.min(IDLE_MS_MAX, Math.max(IDLE_MS_MIN, slackMs)))
  return new Alignment({ ...time, slackMs, idleMs })
}

export class Alignment {
  readonly #clock: Clock
  readonly #hrtime: () => number
  readonly #slackMs: Ms
  readonly #idleMs: Ms
  readonly #partitions = new Map<string, Partition>()
  #waiting: AbortController | undefined

  /**
   * @param options.hrtime seconds of a clock that never stands still
   * @param options.slackMs how far ahead of the others a partition may be, in event time
   * @param options.idleMs a partition that shows nothing for so long has nothing to read
   */
  constructor(options: { clock: Clock; hrtime: () => number; slackMs: Ms; idleMs: Ms }) {
    this.#clock = options.clock
    this.#hrtime = options.hrtime
    this.#slackMs = options.slackMs
    this.#idleMs = options.idleMs
  }

  /** The partition was assigned; whether it has a backlog will be known soon. */
  arrive(partition: string): void {
    const seenAt = this.#now()
    this.#partitions.set(partition, {
      time: Number.NEGATIVE_INFINITY,
      seenAt,
      isArriving: true,
      hasRead: false,
      inHand: 0,
    })
  }

  /** Reading begins. `hasBacklog`: there is something to read. */
  begin(partition: string, hasBacklog: boolean): void {
    const it = this.#partitions.get(partition)
    if (!it) return
    it.isArriving = false
    it.seenAt = this.#now()
    // As far as anybody: it has nothing that others could wait for.
    if (!hasBacklog) it.time = Number.POSITIVE_INFINITY
    this.#wake()
  }

  leave(partition: string): void {
    this.#partitions.delete(partition)
    this.#wake()
  }

  /**
   * Up to which event time a partition may be read now. Infinity: nobody is behind.
   * @param next time of its next event, when the outputs of all earlier ones are in the log; else undefined
   */
  limit(partition: string, next: number | undefined): number {
    const it = this.#partitions.get(partition)
    if (!it) return Number.POSITIVE_INFINITY
    const now = this.#now()
    let least = Number.POSITIVE_INFINITY
    for (const [name, other] of this.#partitions) {
      if (name === partition || this.#isIdle(other, now)) continue
      // One that reads already isn't held up by a hand-over.
      if (other.isArriving && it.hasRead) continue
      least = Math.min(least, other.time)
    }
    it.seenAt = now
    const time = next === undefined ? it.time : it.hasRead ? Math.max(it.time, next) : next
    if (time !== it.time) {
      it.time = time
      this.#wake()
    }
    return least + this.#slackMs
  }

  /**
   * Whether a batch may be the beginning of a bulk of old events: the partition was idle, and the batch alone spans more than
   * partitions may be apart. Others may be about to be given their part of it.
   */
  mayBegin(partition: string, spanMs: number): boolean {
    const it = this.#partitions.get(partition)
    if (!it || spanMs <= this.#slackMs || this.#partitions.size === 1) return false
    return !it.hasRead || this.#isIdle(it, this.#now())
  }

  /** Work on something that was read begins; every call wants an `ended`, or an `arrive`. */
  begun(partition: string): void {
    const it = this.#partitions.get(partition)
    if (it) it.inHand++
  }

  ended(partition: string): void {
    const it = this.#partitions.get(partition)
    if (!it || it.inHand === 0) return
    it.inHand--
    it.seenAt = this.#now()
  }

  /** The outputs of the partition's events up to `time` are in the log. */
  published(partition: string, time: number): void {
    const it = this.#partitions.get(partition)
    if (!it) return
    it.time = it.hasRead ? Math.max(it.time, time) : time
    it.hasRead = true
    it.seenAt = this.#now()
    this.#wake()
  }

  /** Resolves when a partition has made progress, or might have become idle, or `signal` aborts. */
  progress(signal: AbortSignal): Promise<void> {
    this.#waiting ??= new AbortController()
    return this.#clock.sleep(LOOK_EVERY_MS, AbortSignal.any([signal, this.#waiting.signal]))
  }

  /** One that is at work isn't idle, but may be stuck, in which nobody else has a part. */
  #isIdle({ seenAt, inHand }: Partition, now: number): boolean {
    return now - seenAt >= this.#idleMs * (inHand > 0 ? STUCK_TIMES : 1)
  }

  /** Milliseconds. */
  #now(): number {
    return this.#hrtime() * 1_000
  }

  #wake(): void {
    this.#waiting?.abort()
    this.#waiting = undefined
  }
}
