import { expect, it } from 'vitest'
import { scenarioOf } from './scenario.ts'
import { simulate } from './world.ts'

const SEEDS = 30

it(`gives each sample its label exactly once, whatever breaks, under ${SEEDS} seeds`, {
  timeout: 120_000,
}, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const scenario = scenarioOf(seed)
    const settings = { ...scenario.settings, delivery: 'exactly-once' as const }
    // Who is forgotten takes the pending labels along, which the reference here doesn't know: test/privacy looks at that.
    const events = scenario.events.filter((it) => !('rtml-control' in (it.headers ?? {})))
    const exactly = { ...scenario, settings, events }
    const { problems } = await simulate(exactly, { hasLabels: true })
    expect(problems, `seed ${seed}`).toEqual([])
  }
})
