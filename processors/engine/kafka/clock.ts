import { type Clock, epochMs } from '../../app/units.ts'

/** Wall time, for the connections of this engine. */
export const wallClock: Clock = {
  now: () => epochMs(Date.now()),
  sleep: (duration, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const done = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, duration)
      signal?.addEventListener('abort', done, { once: true })
    }),
}
