import { part } from './children.ts'
import { makeTopics, openForLooking } from './engine.ts'

await part(async (options) => {
  await using engine = await openForLooking(options)
  await makeTopics(engine, options)
})
