import { type Code, RtmlError } from '../../processors/app/errors.ts'
import type { History } from './history.ts'
import type { Dice } from './random.ts'
import type { Scheduler, SimProcess } from './scheduler.ts'

export type Service = 'log' | 'store' | 'registry'

const DOWN: Record<Service, Code> = { log: 'LOG_DOWN', store: 'STORE_DOWN', registry: 'REGISTRY_DOWN' }
const TIMEOUT_MS = 900

/** Chances of one call; all 0 after the faults have stopped. */
export interface Weather {
  lostRequest: number
  lostReply: number
  /** A call that takes up to `slowMs` instead of a few milliseconds. */
  slow: number
  slowMs: number
}

/**
 * Between processes and services: a call's request and reply each take their time, and either may be lost. A caller that
 * hears nothing gets the port's "dependency away" error and can't know whether the effect took place.
 */
export class Network {
  readonly #scheduler: Scheduler
  readonly #dice: Dice
  readonly weather: Weather
  readonly #downUntil = new Map<Service, number>()
  readonly #history: History
  #awaited: { readonly what: string; readonly run: (process: SimProcess) => void }[] = []

  constructor(scheduler: Scheduler, dice: Dice, weather: Weather, history: History) {
    this.#scheduler = scheduler
    this.#dice = dice
    this.weather = weather
    this.#history = history
  }

  /** Runs when the next call of this name has taken effect, before its reply is under way. */
  afterNext(what: string, run: (process: SimProcess) => void): void {
    this.#awaited.push({ what, run })
  }

  takeDown(service: Service, forMs: number): void {
    this.#downUntil.set(service, this.#scheduler.now + forMs)
  }

  heal(): void {
    this.#downUntil.clear()
    Object.assign(this.weather, { lostRequest: 0, lostReply: 0, slow: 0 })
  }

  /** @param what named in the history */
  call<T>(process: SimProcess, service: Service, what: string, effect: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const unheard = (delayMs: number) =>
        this.#scheduler.after(delayMs, () =>
          process.hear(() => reject(new RtmlError(DOWN[service], `${service} did not answer in ${TIMEOUT_MS} ms`))),
        )
      if (!process.isAlive) return
      if (this.#dice.chance(this.weather.lostRequest)) return unheard(TIMEOUT_MS)
      const delayMs = this.#delay()
      // The caller has given up by then, and the request takes effect all the same.
      const isLate = delayMs > TIMEOUT_MS
      if (isLate) unheard(TIMEOUT_MS)
      this.#scheduler.after(delayMs, () => {
        if ((this.#downUntil.get(service) ?? 0) > this.#scheduler.now) return isLate || unheard(TIMEOUT_MS)
        let answer: () => void
        try {
          const value = effect()
          this.#history.note(process.name, service, what, value)
          answer = () => resolve(value)
        } catch (error) {
          this.#history.note(process.name, service, what, error)
          answer = () => reject(error)
        }
        if (this.#awaited.length > 0) this.#tell(process, what)
        if (isLate) return
        if (this.#dice.chance(this.weather.lostReply)) return unheard(TIMEOUT_MS)
        this.#scheduler.after(this.#delay(), () => process.hear(answer))
      })
    })
  }

  #tell(process: SimProcess, what: string): void {
    const due = this.#awaited.filter((it) => what.startsWith(it.what))
    this.#awaited = this.#awaited.filter((it) => !due.includes(it))
    for (const { run } of due) run(process)
  }

  #delay(): number {
    if (this.#dice.chance(this.weather.slow)) return this.#dice.between(1, this.weather.slowMs)
    return this.#dice.between(0.1, 2)
  }
}
