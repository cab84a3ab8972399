import { type Clock, epochMs } from './units.ts'

/** Wall time: the one clock that isn't driven by a test. A sleep keeps the process alive until it ends or is aborted. */
export const systemClock: Clock = {
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
  turn: () => new Promise((resolve) => setImmediate(resolve)),
}
