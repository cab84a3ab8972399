// A shop's own program that scores its visitors in the same process: no broker, no second service.
//   node --conditions=rtml-source examples/embed/main.ts [data directory]      in a checkout
//   node main.ts [data directory]                                              where the package is installed
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { loadApp, type RawEvent, run } from 'rtml'

const EVENTS = 500

// In a program of yours: loadApp('rtml.yaml').
const luma = new URL('../luma/', import.meta.url)
await using shop = await run(loadApp(new URL('rtml.yaml', luma).pathname), { dataDir: process.argv[2] ?? '.rtml' })
process.stderr.write(`${shop.app.name} runs on the ${shop.engine.name} engine\n`)

// A subscriber that starts before the first event, so that it misses none.
const scores = await shop.scores()
const scored = collect(EVENTS)

const lines = gunzipSync(readFileSync(new URL('luma_events.jsonl.gz', luma)))
  .toString()
  .split('\n')
  .slice(0, EVENTS)
await shop.send(
  'web',
  lines.map((line): RawEvent => ({ value: line })),
)

const highest = (await scored).sort((a, b) => b.score - a.score)[0]
if (highest) {
  const profile = await shop.profile(highest.key)
  process.stdout.write(`${JSON.stringify({ scored: EVENTS, highest, features: profile?.features.length })}\n`)
}

/** Reads until `count` events are scored. */
async function collect(count: number) {
  const found: { key: string; eventId: string; score: number }[] = []
  for await (const {
    profile,
    eventId,
    scores: [propensity],
  } of scores) {
    found.push({ key: `${profile.namespace}:${profile.id}`, eventId, score: propensity?.score ?? Number.NaN })
    if (found.length === count) break
  }
  return found
}
