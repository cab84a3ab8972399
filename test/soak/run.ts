/** One soak: the highest rate is found with events that come as fast as the log takes them, then events come at a share of it for as long as asked. */
import { type ChildProcess, fork } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { ms } from '../../processors/app/units.ts'
import type { Engine } from '../../processors/engine/ports.ts'
import { openEngine } from '../../processors/host/open-engine.ts'
import { type BenchServices, benchServices } from '../bench/services.ts'
import { RAW_TOPIC } from '../chaos/load.ts'
import { compile } from '../chaos/reference.ts'
import { APPLICATION, pause } from '../chaos/workers.ts'
import { fill, paced } from './produce.ts'
import { type Point, slopeOf } from './slope.ts'
import type { Ask, Figures } from './worker.part.ts'

export type EngineName = 'embedded' | 'kafka'

export interface SoakOptions {
  readonly engine: EngineName
  readonly minutes: number
  readonly seed: number
  /** Of the highest rate. */
  readonly share: number
  readonly tell: (text: string) => void
}

/** Slopes are of the second half: until then, caches and states still fill. */
export interface SoakReport {
  readonly engine: EngineName
  readonly minutes: number
  /** Events a second, through all stages, when they come faster than they are worked off. */
  readonly maxPerSecond: number
  readonly perSecond: number
  readonly events: number
  /** Processors that the worker kept busy, on average. */
  readonly cores: number
  /** Without mapped files, such as those of the embedded engine's log, which the system takes back when it needs room. */
  readonly ownMb: { readonly first: number; readonly last: number; readonly slopePerMinute: number }
  /** All resident memory. */
  readonly rssMb: { readonly first: number; readonly last: number; readonly slopePerMinute: number }
  /** After a collection. */
  readonly heapMb: { readonly first: number; readonly last: number; readonly slopePerMinute: number }
  readonly handles: { readonly first: number; readonly last: number; readonly max: number }
  readonly files: { readonly first: number; readonly last: number; readonly max: number }
  /** Undefined on the embedded engine. */
  readonly redisMb: { readonly first: number; readonly last: number; readonly slopePerMinute: number } | undefined
  /** Records that waited. */
  readonly lag: { readonly p50: number; readonly max: number; readonly last: number }
}

interface Sample extends Figures {
  readonly minutes: number
  readonly files: number
  readonly ownBytes: number
  readonly redisBytes: number | undefined
}

const BACKLOG_EVENTS = 60_000
const SAMPLE_EVERY_MS = 5_000
const LOOK_EVERY_MS = 200
const MIB = 2 ** 20

export async function soak({ engine: name, minutes, seed, share, tell }: SoakOptions): Promise<SoakReport> {
  await using cleanUp = new AsyncDisposableStack()
  // Worker and servers are processes of their own: without this they would outlive an interrupted run.
  const interrupted = () => void cleanUp.disposeAsync().finally(() => process.exit(130))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, interrupted)
    cleanUp.defer(() => void process.off(signal, interrupted))
  }
  const dataDir = await mkdtemp(join(tmpdir(), 'rtml-soak-'))
  cleanUp.defer(() => rm(dataDir, { recursive: true, force: true }))
  const services = name === 'kafka' ? cleanUp.use(await benchServices()) : undefined
  const env = { ...process.env, ...services?.env, RTML_DATA_DIR: dataDir }
  const outside = services && cleanUp.use(await openEngine(env, { role: 'look' }))
  if (outside) await makeRawTopic(outside)
  const worker = cleanUp.use(await Part.start(env))
  const redis = redisOf(services)
  cleanUp.defer(() => void redis?.disconnect())

  tell(`${name}: ${BACKLOG_EVENTS} events as fast as they go, to find the highest rate`)
  const filling = outside
    ? fill(outside.log, { events: BACKLOG_EVENTS, seed })
    : worker.ask({ kind: 'fill', events: BACKLOG_EVENTS, seed }, 'filled')
  const [maxPerSecond] = await Promise.all([highestRate(worker), filling])
  const perSecond = Math.max(1, Math.round(maxPerSecond * share))

  tell(`${name}: ${Math.round(maxPerSecond)} events/s at most; ${perSecond} for ${minutes} minutes`)
  const stop = new AbortController()
  const producing = outside
    ? paced(outside.log, { perSecond, seed, first: BACKLOG_EVENTS, signal: stop.signal })
    : worker.send({ kind: 'pace', perSecond, seed, first: BACKLOG_EVENTS })
  const samples: Sample[] = []
  const started = performance.now()
  while (performance.now() - started < minutes * 60_000) {
    await Promise.race([pause(SAMPLE_EVERY_MS), worker.ended])
    const figures = await worker.figures({ collect: true })
    const redisBytes = redis && Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
    const minute = (performance.now() - started) / 60_000
    const ownBytes = worker.ownBytes() ?? figures.rssBytes
    samples.push({ ...figures, minutes: minute, files: worker.files(), ownBytes, redisBytes })
  }
  stop.abort()
  await producing
  await worker.end()
  return reportOf({ engine: name, minutes, maxPerSecond, perSecond, samples })
}

/** The raw topic is its producers' own, and on Kafka those run before the worker has made it. */
async function makeRawTopic(engine: Engine): Promise<void> {
  const { app } = compile(APPLICATION)
  const { partitions } = app
  await engine.log.ensureTopics([{ topic: RAW_TOPIC, partitions, cleanup: 'delete', retentionMs: ms(86_400_000) }])
}

function redisOf(services: BenchServices | undefined): Redis | undefined {
  return services && new Redis(services.env.REDIS_URL!)
}

/** From a tenth to nine tenths of the events: without start and end. */
async function highestRate(worker: Part): Promise<number> {
  let first: { at: number; applied: number } | undefined
  for (;;) {
    const { applied } = await worker.figures({ collect: false })
    const now = performance.now()
    if (applied >= BACKLOG_EVENTS * 0.1) first ??= { at: now, applied }
    // Repeated, late and broken ones aren't applied: hence not the very last.
    if (first && now > first.at && applied >= BACKLOG_EVENTS * 0.9)
      return ((applied - first.applied) / (now - first.at)) * 1_000
    await Promise.race([pause(LOOK_EVERY_MS), worker.ended])
  }
}

function reportOf(options: {
  engine: EngineName
  minutes: number
  maxPerSecond: number
  perSecond: number
  samples: readonly Sample[]
}): SoakReport {
  const { samples, ...rest } = options
  const [first, last] = [samples[0]!, samples.at(-1)!]
  const line = (pick: (sample: Sample) => number) => {
    const second = samples.slice(Math.floor(samples.length / 2))
    const points = second.map((sample): Point => [sample.minutes, pick(sample) / MIB])
    return { first: pick(first) / MIB, last: pick(last) / MIB, slopePerMinute: slopeOf(points) }
  }
  const count = (pick: (sample: Sample) => number) => ({
    first: pick(first),
    last: pick(last),
    max: Math.max(...samples.map(pick)),
  })
  const lags = samples.map(({ lag }) => lag).sort((a, b) => a - b)
  return {
    ...rest,
    events: last.applied - first.applied,
    cores: (last.cpuSeconds - first.cpuSeconds) / ((last.minutes - first.minutes) * 60),
    ownMb: line(({ ownBytes }) => ownBytes),
    rssMb: line(({ rssBytes }) => rssBytes),
    heapMb: line(({ heapBytes }) => heapBytes),
    handles: count(({ handles }) => handles),
    files: count(({ files }) => files),
    redisMb: first.redisBytes === undefined ? undefined : line(({ redisBytes }) => redisBytes ?? 0),
    lag: { p50: lags[Math.floor(lags.length / 2)]!, max: lags.at(-1)!, last: last.lag },
  }
}

type Told = { kind: 'ready' | 'filled' } | { kind: 'figures'; figures: Figures }

/** The worker's process as its parent sees it. */
class Part implements AsyncDisposable {
  readonly #child: ChildProcess
  /** Rejects when the worker ends although nobody told it to. */
  readonly ended: Promise<never>
  readonly #exited: Promise<void>
  #isEnding = false

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()))
    let stderr = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-4_000)
    })
    this.ended = new Promise((_, reject) => {
      void this.#exited.then(() => {
        if (!this.#isEnding) reject(new Error(`the worker ended: ${stderr.trim()}`))
      })
    })
    this.ended.catch(() => {})
  }

  static async start(env: NodeJS.ProcessEnv): Promise<Part> {
    const child = fork(fileURLToPath(new URL('worker.part.ts', import.meta.url)), {
      execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env,
    })
    const part = new Part(child)
    await part.#told('ready')
    return part
  }

  async send(ask: Ask): Promise<void> {
    this.#child.send(ask)
  }

  async ask<K extends Told['kind']>(ask: Ask, answer: K): Promise<Extract<Told, { kind: K }>> {
    const told = this.#told(answer)
    await this.send(ask)
    return told
  }

  async figures({ collect }: { collect: boolean }): Promise<Figures> {
    return (await this.ask({ kind: 'figures', collect }, 'figures')).figures
  }

  /** Open file descriptors; 0 where the system has no /proc. */
  files(): number {
    try {
      return readdirSync(`/proc/${this.#child.pid}/fd`).length
    } catch {
      return 0
    }
  }

  /** Anonymous memory; undefined where the system has no /proc. */
  ownBytes(): number | undefined {
    try {
      const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.#child.pid}/status`, 'utf8'))?.[1]
      return kib === undefined ? undefined : Number(kib) * 1_024
    } catch {
      return undefined
    }
  }

  async end(): Promise<void> {
    this.#isEnding = true
    if (this.#child.connected) this.#child.send({ kind: 'stop' } satisfies Ask)
    await this.#exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true
    this.#child.kill('SIGKILL')
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.#exited
  }

  #told<K extends Told['kind']>(kind: K): Promise<Extract<Told, { kind: K }>> {
    const told = new Promise<Extract<Told, { kind: K }>>((resolve) => {
      const listen = (message: Told) => {
        if (message.kind !== kind) return
        this.#child.off('message', listen)
        resolve(message as Extract<Told, { kind: K }>)
      }
      this.#child.on('message', listen)
    })
    return Promise.race([told, this.ended])
  }
}
