import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { Found } from './hunt.ts'
import { MUTANTS, type Mutant } from './mutants.ts'
import { REGRESSIONS } from './regressions.ts'
import { scenarioOf } from './scenario.ts'
import { shrink } from './shrink.ts'
import { simulate } from './world.ts'

const SEEDS = 200

describe('the simulated application', () => {
  it(`keeps every rule under ${SEEDS} seeds`, { timeout: 120_000 }, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { problems } = await simulate(scenarioOf(seed))
      expect(problems, `npm run sim -- --seed ${seed}`).toEqual([])
    }
  })

  it.each(REGRESSIONS)('$about', async ({ scenario }) => {
    const { problems } = await simulate(scenario)
    expect(problems).toEqual([])
  })

  it('repeats a seed step by step', async () => {
    for (const seed of [3, 14, 159]) {
      const first = await simulate(scenarioOf(seed))
      const second = await simulate(scenarioOf(seed))
      expect(second).toEqual(first)
    }
    const histories = await Promise.all([1, 2, 3].map(async (seed) => (await simulate(scenarioOf(seed))).hash))
    expect(new Set(histories).size).toBe(3)
  })

  it('lets what happens be read without changing it', async () => {
    const silent = await simulate(scenarioOf(42))
    const told = await simulate(scenarioOf(42), { isVerbose: true })
    expect(told.hash).toBe(silent.hash)
    expect(told.lines.length).toBeGreaterThan(100)
  })

  it('makes a failing scenario shorter', async () => {
    const { guards } = MUTANTS.find(({ name }) => name === 'dedup')!
    const scenario = await failing(guards)
    const { events, faults } = await shrink(scenario, guards, 80)
    expect(faults).toEqual([])
    // Two records of one id are all it takes.
    expect(events).toHaveLength(2)
  })
})

async function failing(guards: Mutant['guards']) {
  for (let seed = 1; seed < 50; seed++) {
    const scenario = scenarioOf(seed)
    if ((await simulate(scenario, guards ? { guards } : {})).problems.length > 0) return scenario
  }
  throw new Error('no seed fails without dedup')
}

/** Two at a time: each is a process that loads the program with other lines. */
describe.concurrent('without a safeguard', { timeout: 600_000 }, () => {
  it.each(MUTANTS)('$name: some seed fails', async ({ name, hint }) => {
    // A change of the program moves the seeds: then the whole range is searched, which only takes longer.
    const near = await hunted(name, hint ?? 1, 60)
    const found = near.failures > 0 ? near : await hunted(name, 1, 2_000)
    expect(found.failures, `npm run sim -- --mutant ${name}`).toBe(1)
  })
})

function hunted(mutant: string, from: number, seeds: number): Promise<Found> {
  const main = fileURLToPath(new URL('main.ts', import.meta.url))
  const args = [main, '--mutant', mutant, '--from', `${from}`, '--seeds', `${seeds}`, '--json']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      if (output.startsWith('{')) resolve(JSON.parse(output) as Found)
      else reject(new Error(`the hunt for ${mutant} ended with code ${code}`))
    })
  })
}
