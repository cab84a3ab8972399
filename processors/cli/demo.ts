import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { Command } from 'commander'
import { systemClock } from '../app/system-clock.ts'
import { ms, type Offset } from '../app/units.ts'
import { serve } from '../edge/serve.ts'
import { openEmbedded } from '../engine/embedded/engine.ts'
import { type OpenedApplication, openApplicationFile } from '../host/application-file.ts'
import { consoleDir } from '../host/console.ts'
import { overviewOf } from '../host/overview.ts'
import { PACKAGE_ROOT } from '../host/package-root.ts'
import { startWorker, type Worker } from '../host/start.ts'
import { decodeScores, type ProfileScores } from '../outputs/index.ts'
import { silentLogger } from '../runtime/telemetry.ts'
import { CommandFailed, note, printJson, printLine, progress } from './output.ts'
import { stopSignal } from './run.ts'
import { examples, integerOption, portOption } from './shared.ts'

interface DemoOptions {
  readonly once?: true
  readonly json?: true
  readonly port: number
  readonly rate: number
}

interface DemoResult {
  readonly events: number
  readonly mapped: number
  readonly rejected: number
  readonly scored: number
  readonly eventsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly auc: number
}

/** What the demo itself reads of a line. */
interface RawEvent {
  readonly _id: string
  readonly timestamp: string
  readonly commerce?: { readonly purchases?: { readonly value: number } }
  readonly endUserIDs: { readonly _experience: Readonly<Record<string, { readonly id: string } | undefined>> }
}

const FOLDER = join(PACKAGE_ROOT, 'examples', 'luma')
const CHUNK = 100
/** Appended and not yet scored: enough to keep everything busy, little enough that the latency is not the queue's. */
const MAX_WAITING = 2_000
const QUIET_MS = 20_000

export function demoCommand(): Command {
  return new Command('demo')
    .description('replay real shopping events through the embedded engine, with live scores and a local page')
    .option('--once', 'replay once as fast as it goes, without a page, and exit')
    .option('--json', 'print one JSON line at the end')
    .option('--port <port>', 'port of the page; 0 takes any free one', portOption, 8080)
    .option('--rate <events>', 'events a second with the page', integerOption, 400)
    .addHelpText('after', examples('rtml demo', 'rtml demo --once --json'))
    .action(async (options: DemoOptions) => {
      const dir = mkdtempSync(join(tmpdir(), 'rtml-demo-'))
      try {
        await using engine = await openEmbedded({ dir, clock: systemClock })
        await using worker = await startWorker({
          opened: withoutDeadlines(openApplicationFile(join(FOLDER, 'rtml.yaml'), {})),
          env: {},
          logger: silentLogger,
          engine,
        })
        await play(worker, options)
      } finally {
        rmSync(dir, { recursive: true, force: true })
      }
    })
}

/** A slow moment of the machine must not put fallbacks among the scores that are judged. */
function withoutDeadlines(opened: OpenedApplication): OpenedApplication {
  const models = Object.entries(opened.app.models).map(([name, model]) => [name, { ...model, deadline: ms(600_000) }])
  const app = { ...opened.app, models: Object.fromEntries(models) }
  return { ...opened, app, planOptions: { ...opened.planOptions, app } }
}

async function play(worker: Worker, options: DemoOptions): Promise<void> {
  await using page = options.once ? undefined : await openPage(worker, options.port)
  if (page) {
    note(`rtml demo: ${page.address}  (Ctrl-C ends it)`)
    openBrowser(page.address)
  }
  const stopped = options.once ? new Promise<never>(() => {}) : stopSignal()
  const result = await Promise.race([replay(worker, options), stopped, failure(worker)])
  if (typeof result === 'string') return
  if (options.json) printJson(result)
  else report(result)
  if (!page) return
  note('rtml demo: all events are replayed; the page stays. Ctrl-C ends it.')
  await Promise.race([stopped, failure(worker)])
}

async function failure(worker: Worker): Promise<never> {
  throw await worker.failed
}

/** Appends the events, reads the scores back as a subscriber would, and compares them with what visitors did next. */
async function replay(worker: Worker, options: DemoOptions): Promise<DemoResult> {
  const { plan, engine } = await worker.started
  const lines = gunzipSync(readFileSync(join(FOLDER, 'luma_events.jsonl.gz')))
    .toString('utf8')
    .trimEnd()
    .split('\n')
  const appendedAt = new Map<string, number>()
  const scored = new Map<string, { record: ProfileScores; ms: number }>()
  const stop = new AbortController()
  const live = liveLines(options)
  const readers = (await engine.log.bounds(plan.topics.scores)).map(async (bounds) => {
    for await (const run of engine.log.read(bounds, 0 as Offset, { signal: stop.signal })) {
      const now = performance.now()
      for (const { value } of run.records) {
        if (!value) continue
        const record = decodeScores(value)
        scored.set(record.eventId, { record, ms: now - (appendedAt.get(record.eventId) ?? now) })
        live(record)
      }
    }
  })
  const rejected = () => worker.metrics.total('rtml_rejected_total')
  const finished = () => scored.size + rejected() + worker.metrics.total('rtml_events_total', ['profile', 'duplicate'])
  const bar = progress(lines.length, 'events')
  const started = performance.now()
  for (let at = 0; at < lines.length; at += CHUNK) {
    const chunk = lines.slice(at, at + CHUNK)
    const now = performance.now()
    const records = chunk.map((line) => {
      const { _id, endUserIDs } = JSON.parse(line) as RawEvent
      appendedAt.set(_id, now)
      // By visitor, as a producer would: a visitor's events stay in order.
      const { mcid, aaid } = endUserIDs._experience
      return {
        topic: plan.topics.raw('web'),
        key: Buffer.from(mcid?.id ?? aaid?.id ?? _id),
        value: Buffer.from(line),
      }
    })
    await engine.log.append(records)
    bar.update(finished())
    await until(() => at + CHUNK - finished() < MAX_WAITING)
    if (!options.once)
      await systemClock.sleep(
        ms(Math.max(1, started + (1_000 * (at + CHUNK)) / Math.max(1, options.rate) - performance.now())),
      )
  }
  await until(() => finished() >= lines.length)
  const seconds = (performance.now() - started) / 1_000
  bar.stop()
  stop.abort()
  await Promise.all(readers)
  const latencies = [...scored.values()].map((it) => it.ms).sort((a, b) => a - b)
  const at = (q: number) =>
    Number((latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? Number.NaN).toFixed(2))
  return {
    events: lines.length,
    mapped: worker.metrics.total('rtml_events_total', ['map.web', 'mapped']),
    rejected: rejected(),
    scored: scored.size,
    eventsPerSecond: Math.round(lines.length / seconds),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    auc: await honestAuc(lines, scored),
  }
}

/** AUC over the events after the training period whose outcome is known. */
async function honestAuc(
  lines: readonly string[],
  scored: ReadonlyMap<string, { record: ProfileScores }>,
): Promise<number> {
  const { labelsOf, areaUnderRoc } = (await import(
    pathToFileURL(labelsModule()).href
  )) as typeof import('../../examples/luma/labels.ts')
  const { until: split } = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'models', 'luma', 'metrics.json'), 'utf8')) as {
    until: string
  }
  const events = lines.flatMap((line) => {
    const { _id, timestamp, commerce } = JSON.parse(line) as RawEvent
    const record = scored.get(_id)?.record
    if (!record) return []
    return [
      {
        profile: record.profile.id,
        ts: Date.parse(timestamp),
        isPurchase: (commerce?.purchases?.value ?? 0) > 0,
        score: record.scores[0]?.score,
      },
    ]
  })
  const labels = labelsOf(events)
  const judged = events.flatMap(({ ts, score }, index) => {
    const label = labels[index]
    return ts >= Date.parse(split) && label !== undefined && score !== undefined ? [{ score, label }] : []
  })
  const auc = areaUnderRoc(
    judged.map(({ score }) => score),
    judged.map(({ label }) => label),
  )
  return Number(auc.toFixed(4))
}

/** Compiled beside the rest in an installed package. */
function labelsModule(): string {
  return import.meta.filename.endsWith('.ts')
    ? join(FOLDER, 'labels.ts')
    : join(PACKAGE_ROOT, 'dist', 'examples', 'luma', 'labels.js')
}

async function until(condition: () => boolean): Promise<void> {
  let last = performance.now()
  while (!condition()) {
    await systemClock.sleep(ms(2))
    if (performance.now() - last > QUIET_MS)
      throw new CommandFailed('the demo made no progress for 20 s; please report this')
    if (condition()) last = performance.now()
  }
}

/** A few live scores a second on a terminal. */
function liveLines(options: DemoOptions): (record: ProfileScores) => void {
  if (options.once || options.json) return () => {}
  let next = 0
  return (record) => {
    const now = performance.now()
    const [score] = record.scores
    if (now < next || !score) return
    next = now + 500
    const bar = '█'.repeat(Math.round(score.score * 20)).padEnd(20, '·')
    printLine(
      `${new Date(record.eventTime).toISOString()}  ${record.profile.namespace}:…${record.profile.id.slice(-8)}  ${score.model}@${score.version}  ${bar} ${score.score.toFixed(3)}`,
    )
  }
}

function report(result: DemoResult): void {
  printLine(`
${result.events} events, ${result.mapped} mapped to XDM, ${result.rejected} rejected, ${result.scored} scored
${result.eventsPerSecond} events/s; append → score readable: p50 ${result.p50Ms} ms, p99 ${result.p99Ms} ms
AUC ${result.auc} on the events after the model's training period: "will this visitor buy within 24 hours?"`)
}

async function openPage(worker: Worker, port: number): Promise<AsyncDisposable & { address: string }> {
  return serve({
    worker,
    overview: () => overviewOf(worker),
    consoleDir,
    origins: worker.opened.app.edge.origins,
    env: {},
    logger: silentLogger,
    host: '127.0.0.1',
    port,
    anyPort: true,
  })
}

/** Opens the page where a person sits in front of it; never a reason to fail. */
function openBrowser(address: string): void {
  if (!process.stdout.isTTY || process.env.CI) return
  const command = process.platform === 'darwin' ? 'open' : process.platform === 'win32' ? 'explorer' : 'xdg-open'
  spawn(command, [address], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref()
}
