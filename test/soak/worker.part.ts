/** A worker process that is watched: it works, appends events itself when it has the only engine, and tells its figures. */
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { startWorker } from '../../processors/host/start.ts'
import type { Logger } from '../../processors/runtime/telemetry.ts'
import { APPLICATION } from '../chaos/workers.ts'
import { fill, paced } from './produce.ts'

/** What the parent asks for. */
export type Ask =
  | { readonly kind: 'fill'; readonly events: number; readonly seed: number }
  | { readonly kind: 'pace'; readonly perSecond: number; readonly seed: number; readonly first: number }
  /** `collect`: after a garbage collection, which stops the work for a moment. */
  | { readonly kind: 'figures'; readonly collect: boolean }
  | { readonly kind: 'stop' }

export interface Figures {
  /** Applied by the profile stage so far. */
  readonly applied: number
  /** Heap in use after a collection, and memory outside of it. */
  readonly heapBytes: number
  readonly externalBytes: number
  readonly rssBytes: number
  /** Sockets, timers, files and requests that keep the event loop busy. */
  readonly handles: number
  /** Records of all inputs that were not yet applied. */
  readonly lag: number
  readonly cpuSeconds: number
}

const quiet = () => {}
const loud = (fields: object, message: string) => process.stderr.write(`${message} ${JSON.stringify(fields)}\n`)
const logger: Logger = { debug: quiet, info: quiet, warn: loud, error: loud }

await using worker = await startWorker({
  opened: openApplicationFile(APPLICATION, process.env),
  env: process.env,
  logger,
  dataDir: process.env.RTML_DATA_DIR,
})
const running = await worker.started
const stopping = new AbortController()
const stopped = Promise.withResolvers<void>()
void worker.failed.then((error) => stopped.reject(error))

process.on('message', (ask: Ask) => void answer(ask).catch(stopped.reject))
process.send?.({ kind: 'ready' })
await stopped.promise
stopping.abort()
process.disconnect()

async function answer(ask: Ask): Promise<void> {
  switch (ask.kind) {
    case 'fill':
      await fill(worker.engine.log, ask)
      process.send?.({ kind: 'filled' })
      return
    case 'pace':
      await paced(worker.engine.log, { ...ask, signal: stopping.signal })
      return
    case 'figures':
      process.send?.({ kind: 'figures', figures: await figures(ask.collect) })
      return
    case 'stop':
      stopped.resolve()
  }
}

async function figures(collect: boolean): Promise<Figures> {
  if (collect) globalThis.gc?.()
  const { heapUsed, external, rss } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  let lag = 0
  for (const { topic, shards } of running.service.status()) {
    for (const { partition, end } of await worker.engine.log.bounds(topic))
      lag += Math.max(0, end - (shards.get(partition)?.position ?? 0))
  }
  return {
    applied: worker.metrics.total('rtml_events_total', ['profile', 'applied']),
    heapBytes: heapUsed,
    externalBytes: external,
    rssBytes: rss,
    handles: process.getActiveResourcesInfo().length,
    lag,
    cpuSeconds: (user + system) / 1e6,
  }
}
