import { type Clock, ms } from '../../app/units.ts'

/**
 * Holds a reader back to `perSecond` records.
 * @returns a function to await before so many records are taken
 */
export function paced(perSecond: number, clock: Clock, signal: AbortSignal): (records: number) => Promise<void> {
  let next = Number.NEGATIVE_INFINITY
  return async (records) => {
    const now = clock.now()
    const start = Math.max(next, now)
    next = start + (records * 1_000) / perSecond
    if (start > now) await clock.sleep(ms(start - now), signal)
  }
}
