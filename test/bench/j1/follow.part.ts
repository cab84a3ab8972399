import { part } from './children.ts'
import { openForLooking } from './engine.ts'
import { follow, type Instants } from './latency.ts'

await part<Instants>(async (options, { ready, stopped }) => {
  await using engine = await openForLooking(options)
  const stop = new AbortController()
  void stopped.then(() => stop.abort())
  return await follow(engine, options, { signal: stop.signal, ready })
})
