import { type EpochMs, type Offset, offset } from '../../app/units.ts'
import type { Log, NewRecord } from '../../engine/ports.ts'
import { readRange } from '../read-range.ts'
import { controlRecord } from '../stages/control-records.ts'
import type { TimerClock } from './timer-clock.ts'
import { readTimer, type Timer } from './timer-record.ts'

export interface TimerLimits {
  /** Timers in memory; the later ones stay in the topic. */
  readonly maxNear: number
  /** How far ahead timers are held in memory. */
  readonly horizonMs: number
  /** Ticks of one look: many timers that are due at once must not crowd out events. */
  readonly maxTicks: number
}

export const TIMER_LIMITS: TimerLimits = { maxNear: 100_000, horizonMs: 3_600_000, maxTicks: 1_000 }

/**
 * Timers of one partition: follows the compacted topic that the profile stage writes them to, and appends a tick to the
 * stage's input for each that is due. Holds the near ones; the topic is read again when its horizon moves past a later one.
 * A tick may come twice (after a crash) and does no harm then: the stage sees that its timer has moved.
 */
export class TimerKeeper {
  readonly #options: {
    readonly log: Pick<Log, 'bounds' | 'read' | 'append'>
    readonly topic: string
    /** Input of the profile stage. */
    readonly input: string
    readonly partition: number
    readonly clock: TimerClock
    readonly limits: TimerLimits
  }
  #position: Offset | undefined
  /** Timers up to the horizon by profile. */
  #near = new Map<string, number>()
  #horizon = Number.NEGATIVE_INFINITY
  /** Earliest timer beyond the horizon; Infinity = none. */
  #far = Number.POSITIVE_INFINITY
  /** Ticks on their way, until the stage has moved the timer. */
  readonly #sent = new Map<string, number>()

  constructor(options: {
    log: Pick<Log, 'bounds' | 'read' | 'append'>
    topic: string
    input: string
    partition: number
    clock: TimerClock
    limits?: TimerLimits
  }) {
    this.#options = { ...options, limits: options.limits ?? TIMER_LIMITS }
  }

  /** Timers in memory. */
  get held(): number {
    return this.#near.size
  }

  /**
   * Takes in what is new and appends ticks for what is due.
   * @returns how many
   * @throws Stopped; RtmlError LOG_DOWN
   */
  async look(wall: EpochMs, signal: AbortSignal): Promise<number> {
    const { log, topic, partition, clock, limits } = this.#options
    const bounds = (await log.bounds(topic))[partition]
    if (!bounds) return 0
    await this.#follow(offset(Math.max(this.#position ?? 0, bounds.start)), bounds.end, signal)
    const now = clock.now(partition, wall)
    if (now === undefined) return 0
    if (now >= this.#horizon) {
      this.#horizon = now + limits.horizonMs
      if (this.#far <= this.#horizon) await this.#readAgain(bounds.start, signal)
    }
    return this.#tick(now)
  }

  async #readAgain(start: Offset, signal: AbortSignal): Promise<void> {
    const end = this.#position
    this.#near = new Map()
    this.#far = Number.POSITIVE_INFINITY
    if (end !== undefined) await this.#follow(start, end, signal)
  }

  async #follow(from: Offset, until: Offset, signal: AbortSignal): Promise<void> {
    const { log, topic, partition, clock } = this.#options
    if (from < until) {
      for await (const run of readRange(log, { topic, partition }, from, until, signal)) {
        for (const record of run.records) {
          const timer = readTimer(record)
          if (!timer) continue
          if (timer.due !== 0) clock.observe(partition, timer.at, record.timestamp)
          this.#put(timer)
        }
      }
    }
    this.#position = offset(Math.max(until, this.#position ?? 0))
  }

  #put({ key, due }: Timer): void {
    this.#near.delete(key)
    // Compared, because a topic that is read again still has the timer that the tick was for.
    if (this.#sent.has(key)) {
      if (this.#sent.get(key) === due) return
      this.#sent.delete(key)
    }
    if (due === 0) return
    if (due > this.#horizon) {
      if (due < this.#far) this.#far = due
      return
    }
    this.#near.set(key, due)
    if (this.#near.size > this.#options.limits.maxNear) this.#shorten()
  }

  /** Gives the later half back to the topic. */
  #shorten(): void {
    const dues = [...this.#near.values()].sort((a, b) => a - b)
    const middle = dues[Math.floor(dues.length / 2)]!
    for (const [key, due] of this.#near) {
      if (due < middle || middle === dues[0]) continue
      this.#near.delete(key)
      if (due < this.#far) this.#far = due
    }
    this.#horizon = Math.min(this.#horizon, middle - 1)
  }

  async #tick(now: number): Promise<number> {
    const { log, input, limits } = this.#options
    const due: [string, number][] = []
    for (const entry of this.#near) if (entry[1] <= now) due.push(entry)
    if (due.length === 0) return 0
    due.sort(([, a], [, b]) => a - b)
    const some = due.slice(0, limits.maxTicks)
    const ticks: NewRecord[] = some.map(([key, at]) => controlRecord({ topic: input, kind: 'tick', key, data: { at } }))
    await log.append(ticks)
    for (const [key, at] of some) {
      this.#near.delete(key)
      this.#sent.set(key, at)
    }
    return ticks.length
  }
}
