import { RtmlError } from '../../app/errors.ts'
import { type Clock, type Ms, ms } from '../../app/units.ts'
import { isBusy, isStale } from './protocol/errors.ts'
import { text } from './text.ts'

const FIRST_WAIT_MS = 1
const WAIT_MS_MAX = 250

/** Waits that double, from 1 to 250 ms: a broker that moves a leader or ends a transaction is ready in milliseconds. */
export class Backoff {
  readonly #clock: Clock
  #wait = FIRST_WAIT_MS

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async pause(signal?: AbortSignal): Promise<void> {
    await this.#clock.sleep(ms(this.#wait), signal)
    this.#wait = Math.min(WAIT_MS_MAX, this.#wait * 2)
  }

  reset(): void {
    this.#wait = FIRST_WAIT_MS
  }
}

/** Waits for `work`, but no longer than `limitMs`: for ends that a frozen server must not hold up. */
export async function bounded(clock: Clock, limitMs: Ms, work: Promise<unknown>): Promise<void> {
  const done = new AbortController()
  const late = clock.sleep(limitMs, done.signal)
  await Promise.race([work.catch(() => {}), late])
  done.abort()
}

/**
 * Repeats `attempt` while the broker says "not now" or "not here".
 * @throws RtmlError LOG_DOWN after `deadlineMs`; anything else that `attempt` throws at once
 */
export async function patiently<T>(
  clock: Clock,
  deadlineMs: Ms,
  attempt: () => Promise<T>,
  onStale: (error: unknown) => Promise<void> = async () => {},
): Promise<T> {
  const backoff = new Backoff(clock)
  const end = clock.now() + deadlineMs
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      const stale = isStale(error)
      if (!stale && !isBusy(error)) throw error
      if (clock.now() > end) {
        throw new RtmlError('LOG_DOWN', `the broker was not ready within ${deadlineMs} ms: ${text(error)}`, {
          cause: error,
        })
      }
      await backoff.pause()
      if (stale || coordinatorMoved(error)) await onStale(error)
    }
  }
}

const coordinatorMoved = (error: unknown): boolean => /COORDINATOR/.test(text(error)) || /coordinator/.test(text(error))
