import { expect, it } from 'vitest'
import { LIMIT_MS, longestTurnOfThree } from '../unit/scorer/longest-turn.ts'
import { folder, openData, PATIENCE, range, raw, scoresIn, settled, shopEvent, start } from './harness.ts'

const EVENTS = 6_000

it(
  'never holds the event loop for long while it maps, keeps features, scores and commits',
  async () => {
    await using place = await folder()
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    const chunk = (from: number) => raw(range(from, from + 250).map((n) => shopEvent(n, { customers: 1_000 })))
    // What the just-in-time compiler does with cold code is not what a service does all day.
    for (const at of range(0, 8)) await engine.log.append(chunk(at * 250))
    await settled(running)
    let from = 2_000
    const longest = await longestTurnOfThree(async () => {
      for (const end = from + EVENTS; from < end; from += 250) await engine.log.append(chunk(from))
      await settled(running)
    })
    expect(longest).toBeLessThan(LIMIT_MS)
    expect(await scoresIn(engine)).toHaveLength(from)
  },
  PATIENCE.testMs,
)
