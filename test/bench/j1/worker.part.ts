import { part } from './children.ts'
import { Meter, type Usage } from './usage.ts'
import { type Batches, committedAll, startJob } from './worker.ts'

export interface Throughput extends Usage, Batches {
  readonly events: number
}

const LOOK_EVERY_MS = 100

/** Works a filled log off; measures from the first scored batch to the last committed one. */
await part<Throughput>(async (options) => {
  await using job = await startJob(options)
  const { metrics, failed } = job.worker
  let failure: unknown
  void failed.then((error) => {
    failure = error
  })
  const pause = () => new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  const applied = () => metrics.total('rtml_events_total', ['profile', 'applied'])
  while (applied() === 0) {
    if (failure !== undefined) throw failure
    await pause()
  }
  const before = applied()
  const meter = new Meter()
  while (!(await committedAll(job.running, options))) {
    if (failure !== undefined) throw failure
    await pause()
  }
  const usage = meter.stop()
  const events = applied() + metrics.total('rtml_events_total', ['profile', 'duplicate']) - before
  return { ...usage, events, ...(await job.batches(events)) }
})
