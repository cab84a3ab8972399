import { part } from './children.ts'
import { follow, type Instants, produce } from './latency.ts'
import { committedAll, startJob } from './worker.ts'

const LOOK_EVERY_MS = 50
/** Scores still on their way to the follower when all is committed. */
const AFTER_MS = 500

/**
 * Runs the job while events come at a pace. With a `rate`, this process appends and follows too (the embedded engine
 * is one process); without one it only works, and others do that, until it is told to stop.
 */
await part<{ produced: Instants; followed: Instants } | undefined>(async (options, { ready, stopped }) => {
  await using job = await startJob(options)
  const { rate } = options
  if (rate === undefined) {
    ready()
    await Promise.race([stopped, job.worker.failed.then((error) => Promise.reject(error))])
    return undefined
  }
  const { engine } = job.worker
  const stop = new AbortController()
  const listening = Promise.withResolvers<void>()
  const following = follow(engine, options, { signal: stop.signal, ready: listening.resolve })
  await listening.promise
  const produced = await produce(engine, { ...options, rate })
  const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))
  while (!(await committedAll(job.running, options))) await pause(LOOK_EVERY_MS)
  await pause(AFTER_MS)
  stop.abort()
  return { produced, followed: await following }
})
