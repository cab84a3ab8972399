/**
 * The benchmark of the HTTP edge: interact and predict with 50 features at a steady rate while the stream works.
 * `npm run bench -- --edge [--json]`, or `node test/bench/edge.ts [--json] [--requests-per-second N] [--seconds S] [--rate R]`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Load, Loads } from './edge/load.part.ts'
import type { EdgePartOptions } from './edge/options.ts'
import { start } from './j1/children.ts'
import { JOB } from './j1/job.ts'

export interface EdgeBenchOptions {
  readonly requestsPerSecond?: number
  readonly seconds?: number
  /** Events a second of the stream meanwhile; 0 = none. */
  readonly rate?: number
  /** Events that fill the profiles before. */
  readonly events?: number
  readonly seed?: number
  /** Variables that choose the engine; none = embedded. */
  readonly env?: Record<string, string>
}

export interface EdgeFigures extends Loads {
  readonly engine: 'embedded' | 'kafka'
  readonly requestsPerSecond: number
  readonly streamEventsPerSecond: number
}

/** Time that a load part needs besides the requests themselves, for its three kinds. */
const OVERHEAD_SECONDS = 12

export async function benchEdge(options: EdgeBenchOptions = {}): Promise<EdgeFigures> {
  const {
    requestsPerSecond = 1_000,
    seconds = 15,
    rate = 10_000,
    events = 300_000,
    seed = JOB.seed,
    env = {},
  } = options
  await using cleanUp = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'rtml-bench-edge-'))
  cleanUp.defer(() => rm(directory, { recursive: true, force: true }))
  const shared: EdgePartOptions = {
    env: { BENCH_PREFIX: `edge-${process.pid}.`, ...env },
    dataDir: join(directory, 'data'),
    events,
    seed,
    port: await freePort(),
    floorPort: await freePort(),
    requestsPerSecond,
    seconds,
  }
  const server = start('../edge/serve.part.ts', shared)
  cleanUp.defer(() => void server.process.kill())
  await Promise.race([server.ready, server.result])
  const streamed = Math.round(rate * (seconds * 3 + OVERHEAD_SECONDS))
  const producer =
    rate > 0 ? start('produce.part.ts', { ...shared, events: streamed, seed: seed + 2, rate }) : undefined
  cleanUp.defer(() => void producer?.process.kill())
  const load = start<Loads>('../edge/load.part.ts', shared)
  const loads = await Promise.race([
    load.result,
    server.result.then(() => Promise.reject(new Error('the server ended'))),
  ])
  return { engine: env.KAFKA_BROKERS ? 'kafka' : 'embedded', requestsPerSecond, streamEventsPerSecond: rate, ...loads }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

/** One line for machines: milliseconds with three digits. */
export function edgeJson(figures: EdgeFigures): string {
  return JSON.stringify(figures, (_, value: unknown) => (typeof value === 'number' ? Number(value.toFixed(3)) : value))
}

export function edgeTable({ engine, requestsPerSecond, streamEventsPerSecond, ...loads }: EdgeFigures): string {
  const row = (name: string, { requests, p50Ms, p99Ms, p999Ms, maxMs, errors }: Load) =>
    `${name.padEnd(9)} ${[p50Ms, p99Ms, p999Ms, maxMs].map((it) => it.toFixed(2).padStart(9)).join('')}   ${requests} requests, ${errors} errors`
  return [
    `HTTP edge, ${engine} engine: ${requestsPerSecond} requests/s, the stream at ${streamEventsPerSecond} events/s; targets p50 2, p99 5`,
    `${'ms'.padEnd(9)} ${['p50', 'p99', 'p99.9', 'max'].map((it) => it.padStart(9)).join('')}`,
    row('interact', loads.interact),
    row('predict', loads.predict),
    row('floor', loads.floor),
    '',
  ].join('\n')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean' },
      'requests-per-second': { type: 'string' },
      seconds: { type: 'string' },
      rate: { type: 'string' },
      events: { type: 'string' },
    },
  })
  const number = (text: string | undefined) => (text === undefined ? {} : { value: Number(text) })
  const given = {
    requestsPerSecond: number(values['requests-per-second']).value,
    seconds: number(values.seconds).value,
    rate: number(values.rate).value,
    events: number(values.events).value,
  }
  const chosen = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  const figures = await benchEdge(chosen)
  process.stdout.write(values.json ? `${edgeJson(figures)}\n` : edgeTable(figures))
}
