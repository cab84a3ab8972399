import { expect, it } from 'vitest'
import { scenarioOf } from './scenario.ts'
import { simulate } from './world.ts'

const SEEDS = 30

it(`gives each sample its label exactly once, whatever breaks, under ${SEEDS} seeds`, {
  timeout: 120_000,
}, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const scenario = scenarioOf(seed)
    const exactly = { ...scenario, settings: { ...scenario.settings, delivery: 'exactly-once' as const } }
    const { problems } = await simulate(exactly, { hasLabels: true })
    expect(problems, `seed ${seed}`).toEqual([])
  }
})
