/**
 * The benchmark: `npm run bench -- --help`.
 *
 * Every part runs in a process of its own: one fills the log, one works it off and is measured, one checks from outside
 * what was written, one measures the states. For latencies, a producer appends at half of the measured rate while a
 * follower reads the scores.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { benchEdge, edgeJson, edgeTable } from './edge.ts'
import type { Baseline } from './j1/baseline.part.ts'
import type { Checked } from './j1/check.part.ts'
import { type PartOptions, run, start } from './j1/children.ts'
import { JOB } from './j1/job.ts'
import { type Instants, type Latency, latencyOf } from './j1/latency.ts'
import type { StateSize } from './j1/state.part.ts'
import type { Throughput } from './j1/worker.part.ts'
import { runMicro } from './micro.ts'
import { type ProfileSummary, profileFlags, summarize } from './profile.ts'
import { type Delivery, type Figures, jsonOf, tableOf } from './report.ts'
import { type BenchServices, benchServices } from './services.ts'

const PARTS = ['throughput', 'check', 'state', 'latency', 'baseline'] as const
type PartName = (typeof PARTS)[number]

const HELP = `usage: npm run bench -- --engine embedded|kafka [options]
       npm run bench -- --edge [--rate R] [--json]
       npm run bench -- --micro [--json]

  --engine NAME     embedded, or kafka (KAFKA_BROKERS, REDIS_URL and SCHEMA_REGISTRY_URL, else local processes)
  --events N        records of job J1 (default ${JOB.events})
  --seed S          of the generator (default ${JOB.seed})
  --only A,B        parts to run: ${PARTS.join(', ')} (default: all; check and state need throughput)
  --rate R          events a second of the latency run (default: half of the measured rate)
  --profile         also say where the worker's processor time goes, by folder (costs some of it)
  --json            one line of JSON on standard output
  --edge            interact and predict over HTTP at 1,000 requests/s while the stream works at --rate (default 10000)
  --micro           what single steps cost instead: expressions, outputs, …
`

/** Bounds of the pace of a latency run, events a second. */
const RATE_MIN = 500
const RATE_MAX = 40_000
const LATENCY_SECONDS = 15
const LATENCY_SKIP_MS = 5_000

interface Options {
  readonly engine: 'embedded' | 'kafka'
  readonly events: number
  readonly seed: number
  readonly only: ReadonlySet<PartName>
  readonly rate: number | undefined
  readonly isProfiled: boolean
  readonly isJson: boolean
}

class BadUsage extends Error {}

await main().catch((error: unknown) => {
  if (error instanceof BadUsage) process.stderr.write(`${error.message}\n\n${HELP}`)
  else process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exitCode = error instanceof BadUsage ? 2 : 1
})

async function main(): Promise<void> {
  const options = optionsOf(process.argv.slice(2))
  if (options === 'help') process.stdout.write(HELP)
  else if (typeof options === 'object' && 'edge' in options) {
    const figures = await benchEdge(options.edge)
    process.stdout.write(options.isJson ? `${edgeJson(figures)}\n` : edgeTable(figures))
  } else if (typeof options === 'string') await runMicro({ isJson: options === 'micro-json' })
  else {
    const figures = await bench(options)
    process.stdout.write(options.isJson ? `${JSON.stringify(jsonOf(figures))}\n` : tableOf(figures))
    if (figures.checked && figures.checked.wrong > 0) process.exitCode = 1
  }
}

interface EdgeOptions {
  readonly edge: { readonly rate?: number }
  readonly isJson: boolean
}

function optionsOf(args: string[]): Options | EdgeOptions | 'help' | 'micro' | 'micro-json' {
  const { values } = parse(args)
  if (values.help) return 'help'
  if (values.edge) {
    const rate = integer('rate', values.rate, 0)
    return { edge: rate === undefined ? {} : { rate }, isJson: values.json ?? false }
  }
  if (values.micro) return values.json ? 'micro-json' : 'micro'
  const { engine } = values
  if (engine !== 'embedded' && engine !== 'kafka') throw new BadUsage(`--engine is embedded or kafka, not ${engine}`)
  const only = values.only?.split(',') ?? [...PARTS]
  for (const name of only)
    if (!PARTS.includes(name as PartName)) throw new BadUsage(`--only: no part ${name}; there are ${PARTS.join(', ')}`)
  const chosen = new Set(only as PartName[])
  if ((chosen.has('check') || chosen.has('state')) && !chosen.has('throughput'))
    throw new BadUsage('--only: check and state look at what throughput has written; name it too')
  return {
    engine,
    events: integer('events', values.events, 1_000) ?? JOB.events,
    seed: integer('seed', values.seed, 0) ?? JOB.seed,
    only: chosen,
    rate: integer('rate', values.rate, 1),
    isProfiled: values.profile ?? false,
    isJson: values.json ?? false,
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        engine: { type: 'string' },
        events: { type: 'string' },
        seed: { type: 'string' },
        only: { type: 'string' },
        rate: { type: 'string' },
        profile: { type: 'boolean' },
        json: { type: 'boolean' },
        micro: { type: 'boolean' },
        edge: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new BadUsage((error as Error).message)
  }
}

function integer(name: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < least)
    throw new BadUsage(`--${name}: ${text} is no whole number ≥ ${least}`)
  return value
}

async function bench(options: Options): Promise<Figures> {
  await using cleanUp = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'rtml-bench-'))
  cleanUp.defer(() => rm(directory, { recursive: true, force: true }))
  const services = options.engine === 'kafka' ? cleanUp.use(await told('services', benchServices())) : undefined
  const isChosen = (name: PartName) => options.only.has(name)
  const place = placeOf(options, directory, services)

  const main = place('exactly-once')
  let throughput: Throughput | undefined
  let profile: ProfileSummary | undefined
  let checked: Checked | undefined
  let state: StateSize | undefined
  if (isChosen('throughput')) {
    await told('topics', run('topics.part.ts', main))
    const before = services ? (await run<StateSize>('state.part.ts', main)).usedBytes : undefined
    await told(`fill ${options.events} events`, run('fill.part.ts', main))
    const folder = join(directory, 'profile')
    const flags = options.isProfiled ? profileFlags(folder) : []
    throughput = await told('throughput', run<Throughput>('worker.part.ts', main, flags))
    if (options.isProfiled) profile = await summarize(folder)
    if (isChosen('check'))
      checked = await told('check', run<Checked>('check.part.ts', main, ['--max-old-space-size=8192']))
    if (isChosen('state')) state = grown(await told('state', run<StateSize>('state.part.ts', main)), before, services)
  }

  const latencies: Partial<Record<Delivery, Latency>> = {}
  let rate: number | undefined
  if (isChosen('latency')) {
    const half = throughput ? throughput.events / throughput.seconds / 2 : 10_000
    rate = options.rate ?? Math.round(Math.min(RATE_MAX, Math.max(RATE_MIN, half)))
    // One transaction does both on the embedded engine: there is nothing to relax.
    const modes: Delivery[] = options.engine === 'kafka' ? ['exactly-once', 'at-least-once'] : ['exactly-once']
    for (const mode of modes) {
      const events = Math.round(rate * LATENCY_SECONDS)
      latencies[mode] = await told(
        `latency, ${mode}, ${rate} events/s`,
        measureLatency(options.engine, { ...place(mode, `${mode}.`), events, rate }),
      )
    }
  }
  const baselines = isChosen('baseline') ? await told('baseline', measureBaselines(main, isChosen('throughput'))) : []
  return { engine: options.engine, throughput, profile, checked, state, latencies, rate, baselines }
}

/** Where a run keeps its things: topics and states of its own. */
function placeOf(options: Options, directory: string, services: BenchServices | undefined) {
  // Short, and none where nobody else is: it is part of every key in Redis, whose size is measured.
  const id = services && !services.isAlone ? `${Date.now().toString(36)}.` : ''
  return (delivery: Delivery, name = ''): PartOptions => ({
    env: { ...services?.env, BENCH_DELIVERY: delivery, BENCH_PREFIX: `${id}${name}` },
    dataDir: join(directory, `data${name}`),
    events: options.events,
    seed: options.seed,
  })
}

/** On a Redis of our own, a profile's share of all memory that the run has taken says more than a sample of keys. */
function grown(state: StateSize, before: number | undefined, services: BenchServices | undefined): StateSize {
  if (!services?.isAlone || before === undefined || state.usedBytes === undefined) return state
  return { ...state, storedBytes: (state.usedBytes - before) / state.profiles }
}

async function measureLatency(engine: Options['engine'], options: PartOptions & { rate: number }): Promise<Latency> {
  await run('topics.part.ts', options)
  if (engine === 'embedded') {
    const both = await run<{ produced: Instants; followed: Instants }>('serve.part.ts', options)
    return latencyOf(both.produced, both.followed, LATENCY_SKIP_MS)
  }
  const { rate: _, ...working } = options
  const worker = start('serve.part.ts', working)
  await Promise.race([worker.ready, worker.result])
  const follower = start<Instants>('follow.part.ts', working)
  await Promise.race([follower.ready, follower.result])
  const produced = await run<Instants>('produce.part.ts', options)
  await new Promise((resolve) => setTimeout(resolve, 2_000))
  follower.stop()
  const followed = await follower.result
  worker.stop()
  await worker.result
  return latencyOf(produced, followed, LATENCY_SKIP_MS)
}

/** The copy of a topic needs one that is filled. */
async function measureBaselines(options: PartOptions, isFilled: boolean): Promise<Baseline[]> {
  if (!isFilled && options.env.KAFKA_BROKERS !== undefined) {
    await run('topics.part.ts', options)
    await run('fill.part.ts', options)
  }
  return run<Baseline[]>('baseline.part.ts', options)
}

/** Says on standard error what goes on, and how long it took. */
async function told<T>(what: string, work: Promise<T>): Promise<T> {
  const startedAt = performance.now()
  const result = await work
  process.stderr.write(`bench: ${what}: ${((performance.now() - startedAt) / 1_000).toFixed(1)} s\n`)
  return result
}
