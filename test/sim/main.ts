/** `npm run sim`: see docs/simulation.md. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Found } from './hunt.ts'

const USAGE = `Usage: npm run sim -- [options]
  --seeds N        seeds to run (default 1000; 2000 at most for each mutant)
  --from S         first seed (default 1)
  --seed S         only this seed, with its history
  --mutant NAME    switch one safeguard off and hunt for a seed that notices
  --mutants        all mutants, one after the other
  --json           one JSON line
  --verbose        show the history of failing seeds`

const MUTANT_SEEDS = 2_000

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string' },
    seed: { type: 'string' },
    mutant: { type: 'string' },
    mutants: { type: 'boolean' },
    events: { type: 'string' },
    faults: { type: 'string' },
    json: { type: 'boolean' },
    verbose: { type: 'boolean' },
    help: { type: 'boolean' },
  },
})

function whole(name: 'seeds' | 'from' | 'seed', otherwise: number): number {
  const value = Number(values[name] ?? otherwise)
  if (Number.isSafeInteger(value) && value >= 0) return value
  console.error(`--${name} must be a whole number\n\n${USAGE}`)
  process.exit(2)
}

const list = (text: string | undefined) =>
  text === undefined ? undefined : text === '' ? [] : text.split(',').map(Number)

async function runSeeds(): Promise<number> {
  // Before anything of the program is loaded: a mutant's files are changed while they are.
  if (values.mutant !== undefined) {
    const { MUTANTS } = await import('./mutants.ts')
    const known = MUTANTS.find(({ name }) => name === values.mutant)
    if (!known) {
      console.error(`There is no mutant ${values.mutant}. Known: ${MUTANTS.map(({ name }) => name).join(', ')}`)
      return 2
    }
    const { applyPatches } = await import('./mutate.ts')
    applyPatches(known.patches ?? [])
  }
  const { hunt, replay } = await import('./hunt.ts')
  const from = whole('from', 1)
  if (values.seed !== undefined) {
    const mask = { events: list(values.events), faults: list(values.faults) }
    return replay(whole('seed', 0), { mutant: values.mutant, mask, isJson: values.json ?? false })
  }
  const found = await hunt({
    from,
    seeds: whole('seeds', values.mutant === undefined ? 1_000 : MUTANT_SEEDS),
    mutant: values.mutant,
    // A mutant has done its duty when it is caught once.
    untilFirst: values.mutant !== undefined,
    isQuiet: values.json ?? false,
    isVerbose: values.verbose ?? false,
  })
  if (values.json) console.log(JSON.stringify(found))
  return found.failures > 0 ? 1 : 0
}

/** Each mutant in a process of its own: the program is loaded with other lines. */
async function runMutants(): Promise<number> {
  const { MUTANTS } = await import('./mutants.ts')
  const seeds = Math.min(MUTANT_SEEDS, whole('seeds', MUTANT_SEEDS))
  const mutants: { name: string; caught: boolean; seed: number | null; seeds: number }[] = []
  for (const { name, about } of MUTANTS) {
    const { firstFailingSeed, seeds: tried } = await huntApart(['--mutant', name], whole('from', 1), seeds)
    if (firstFailingSeed !== null && (await huntApart([], firstFailingSeed, 1)).failures > 0)
      throw new Error(`seed ${firstFailingSeed} fails without ${name} as well: mend the program first`)
    mutants.push({ name, caught: firstFailingSeed !== null, seed: firstFailingSeed, seeds: tried })
    if (!values.json)
      console.log(
        `${firstFailingSeed === null ? 'NOT CAUGHT' : `seed ${firstFailingSeed}`.padEnd(10)}  ${name}: ${about}`,
      )
  }
  if (values.json) console.log(JSON.stringify({ mutants }))
  return mutants.every(({ caught }) => caught) ? 0 : 1
}

function huntApart(extra: readonly string[], from: number, seeds: number): Promise<Found> {
  const args = [fileURLToPath(import.meta.url), ...extra, '--from', `${from}`, '--seeds', `${seeds}`, '--json']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      const line = output.trim().split('\n').at(-1)
      if (line?.startsWith('{')) resolve(JSON.parse(line) as Found)
      else reject(new Error(`a hunt (${extra.join(' ')}) ended with code ${code}`))
    })
  })
}

if (values.help) console.log(USAGE)
else process.exitCode = await (values.mutants ? runMutants() : runSeeds())
