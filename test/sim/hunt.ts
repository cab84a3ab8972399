import type { Guards } from './guards.ts'
import { MUTANTS } from './mutants.ts'
import { type Scenario, scenarioOf } from './scenario.ts'
import { type Mask, masked, shrink } from './shrink.ts'
import { type Outcome, simulate } from './world.ts'

export interface Found {
  readonly seeds: number
  readonly failures: number
  /** In wall time. */
  readonly seedsPerSecond: number
  readonly firstFailingSeed: number | null
}

const MAX_SHOWN = 5
const SHRINK_RUNS = 150

const guardsOf = (mutant: string | undefined): Guards | undefined => MUTANTS.find(({ name }) => name === mutant)?.guards

/** Runs seeds one after the other; shows the first failures, each as short as it could be made. */
export async function hunt(options: {
  from: number
  seeds: number
  mutant: string | undefined
  untilFirst: boolean
  isQuiet: boolean
  isVerbose: boolean
}): Promise<Found> {
  const { from, seeds, mutant, isQuiet, isVerbose } = options
  const guards = guardsOf(mutant)
  const started = performance.now()
  const cpu = process.cpuUsage()
  let failures = 0
  let firstFailingSeed: number | null = null
  let ran = 0
  for (let seed = from; seed < from + seeds; seed++) {
    const outcome = await simulate(scenarioOf(seed), guards ? { guards } : {})
    ran++
    if (outcome.problems.length === 0) continue
    failures++
    firstFailingSeed ??= seed
    if (!isQuiet && failures <= MAX_SHOWN) await showFailure(seed, outcome, mutant, { isVerbose })
    if (options.untilFirst) break
  }
  const seconds = (performance.now() - started) / 1_000
  const found = { seeds: ran, failures, seedsPerSecond: Math.round((ran / seconds) * 10) / 10, firstFailingSeed }
  if (!isQuiet) {
    const { user, system } = process.cpuUsage(cpu)
    const perCpuSecond = ((ran / (user + system)) * 1e6).toFixed(1)
    console.log(`${ran} seeds, ${failures} failed, ${found.seedsPerSecond} a second, ${perCpuSecond} a second of CPU`)
  }
  return found
}

async function showFailure(
  seed: number,
  outcome: Outcome,
  mutant: string | undefined,
  { isVerbose }: { isVerbose: boolean },
) {
  console.log(`seed ${seed} fails:\n  ${outcome.problems.slice(0, MAX_SHOWN).join('\n  ')}`)
  const scenario = scenarioOf(seed)
  const mask = await shrink(scenario, guardsOf(mutant), SHRINK_RUNS)
  const { events, faults } = masked(scenario, mask)
  console.log(
    `shortest found: ${events.length} of ${scenario.events.length} records, ${faults.length} of ${scenario.faults.length} faults`,
  )
  console.log(`replay: ${commandOf(seed, mask, mutant)}`)
  if (isVerbose) await replay(seed, { mutant, mask, isJson: false })
}

/** Runs one seed and shows what happened. @returns exit code */
export async function replay(
  seed: number,
  options: { mutant: string | undefined; mask: Mask; isJson: boolean },
): Promise<number> {
  const scenario = masked(scenarioOf(seed), options.mask)
  const guards = guardsOf(options.mutant)
  const outcome = await simulate(scenario, { isVerbose: true, ...(guards ? { guards } : {}) })
  if (options.isJson) {
    const failures = outcome.problems.length > 0 ? 1 : 0
    const firstFailingSeed = failures > 0 ? seed : null
    console.log(
      JSON.stringify({ seeds: 1, failures, seedsPerSecond: null, firstFailingSeed, problems: outcome.problems }),
    )
    return failures
  }
  showScenario(scenario)
  console.log(outcome.lines.join('\n'))
  console.log(
    `\n${outcome.steps} steps, hash ${outcome.hash}, lag 0 after ${Math.round(outcome.recoveryMs)} ms without faults`,
  )
  if (outcome.problems.length === 0) {
    console.log(`seed ${seed} passes`)
    return 0
  }
  console.log(`seed ${seed} fails:\n  ${outcome.problems.join('\n  ')}`)
  return 1
}

function showScenario({ settings, events, faults }: Scenario): void {
  console.log(`settings ${JSON.stringify(settings)}`)
  for (const { atMs, to, key, value } of events)
    console.log(`${atMs.toFixed(1).padStart(9)} produce to ${to} ${key} ${value}`)
  for (const { atMs, steps, after, kind, whom, forMs } of faults)
    console.log(
      `${atMs.toFixed(1).padStart(9)} + ${after === undefined ? `${steps} steps` : `next ${after}`}: ${kind} (${whom.toFixed(2)}, ${Math.round(forMs)} ms)`,
    )
  console.log('')
}

function commandOf(seed: number, { events, faults }: Mask, mutant: string | undefined): string {
  const parts = [`npm run sim -- --seed ${seed}`]
  if (mutant) parts.push(`--mutant ${mutant}`)
  if (events) parts.push(`--events=${events.join(',')}`)
  if (faults) parts.push(`--faults=${faults.join(',')}`)
  return parts.join(' ')
}
