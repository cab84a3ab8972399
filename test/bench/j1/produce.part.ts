import { part } from './children.ts'
import { openForLooking } from './engine.ts'
import { type Instants, produce } from './latency.ts'

await part<Instants>(async (options) => {
  await using engine = await openForLooking(options)
  if (options.rate === undefined) throw new Error('a producer needs a rate')
  return await produce(engine, { ...options, rate: options.rate })
})
