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
import { readLearner } from '../runtime/learning/learner-view.ts'
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
  /** The learner that began as a shadow beside an old champion. */
  readonly learner: DemoLearner
}

interface DemoLearner {
  readonly name: string
  readonly labels: number
  /** Share of the visitors that it serves at the end. */
  readonly share: number
  /** What it did, with the figures that justified it; empty: it did not climb, and `next` says why. */
  readonly moves: readonly {
    readonly kind: string
    readonly toShare: number
    readonly afterEvents: number
    readonly version: string | null
    readonly why: string
  }[]
  readonly next: string
  /** Log loss of the last labels, of all that both were judged by since the start. */
  readonly logLoss: { readonly learner: number | null; readonly champion: number | null }
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
/** Replayed once: these go as fast as they can, the others at a pace at which labels, versions and steps can be seen. */
const FAST_EVENTS = 11_000
const LIVE_RATE = 500
const LEARNER = 'next_view_online'
const OLD = 'next_view@1'
/** How long the labels of what was replayed may take. */
const CATCH_UP_MS = 30_000

export function demoCommand(): Command {
  return new Command('demo')
    .description('replay real shopping events through the embedded engine, with live scores and the console')
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
  const appends: { readonly at: number; readonly events: number }[] = []
  let started = performance.now()
  let fastSeconds = 0
  for (let at = 0; at < lines.length; at += CHUNK) {
    if (options.once && at === FAST_EVENTS) {
      await until(() => finished() >= at)
      fastSeconds = (performance.now() - started) / 1_000
      await quiet(worker)
      started = performance.now() - (1_000 * at) / LIVE_RATE
    }
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
    appends.push({ at: systemClock.now(), events: at + records.length })
    bar.update(finished())
    await until(() => at + CHUNK - finished() < MAX_WAITING)
    const rate = options.once ? LIVE_RATE : Math.max(1, options.rate)
    if (!options.once || at >= FAST_EVENTS)
      await systemClock.sleep(ms(Math.max(1, started + (1_000 * (at + CHUNK)) / rate - performance.now())))
  }
  await until(() => finished() >= lines.length)
  if (options.once) await quiet(worker)
  const learner = await learnerOf(worker, appends)
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
    eventsPerSecond: Math.round(
      options.once ? FAST_EVENTS / fastSeconds : (1_000 * lines.length) / (performance.now() - started),
    ),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    auc: await honestAuc(lines, scored),
    learner,
  }
}

/** Waits until no more labels come: the learner has learned all that has one, and what it wanted is done. */
async function quiet(worker: Worker): Promise<void> {
  const { plan, engine } = await worker.started
  const end = performance.now() + CATCH_UP_MS
  for (let before = -1, same = 0; same < 3 && performance.now() < end; ) {
    const status = await readLearner(engine.store, plan, LEARNER)
    const labels = status?.labels ?? 0
    same = status?.lagRecords === 0 && labels === before ? same + 1 : 0
    before = labels
    await systemClock.sleep(ms(700))
  }
}

/** What became of the learner. Events that were appended before a step tell when it was, on any machine. */
async function learnerOf(
  worker: Worker,
  appends: readonly { readonly at: number; readonly events: number }[],
): Promise<DemoLearner> {
  const { plan, engine } = await worker.started
  const status = await readLearner(engine.store, plan, LEARNER)
  const eventsAt = (at: number) => appends.findLast((it) => it.at <= at)?.events ?? 0
  return {
    name: LEARNER,
    labels: status?.labels ?? 0,
    share: status?.share ?? 0,
    moves: (status?.moves ?? []).map(({ kind, toShare, at, version = null, why }) => ({
      kind,
      toShare,
      afterEvents: eventsAt(at),
      version,
      why,
    })),
    next: status?.next ?? 'no label yet',
    logLoss: {
      learner: status?.models[LEARNER]?.logLoss ?? null,
      champion: status?.models[OLD]?.logLoss ?? null,
    },
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
  reportLearner(result.learner)
}

function reportLearner({ labels, share, moves, next, logLoss }: DemoLearner): void {
  const figure = (value: number | null) => (value === null ? 'unknown' : value.toFixed(3))
  printLine(
    `\n"Will this visitor look at another product within ten minutes?" An old model of 1,000 events answers, a learner watches:`,
  )
  for (const { kind, toShare, afterEvents, version, why } of moves)
    printLine(
      `  after ${afterEvents} events: ${kind} to ${toShare * 100} % of the visitors with version ${version}: ${why}`,
    )
  printLine(
    `  at the end it serves ${share * 100} % and has learned ${labels} labels; log loss of the last 1,000 labels ${figure(logLoss.learner)}, the old model's ${figure(logLoss.champion)}`,
  )
  if (share < 1) printLine(`  what stands in its way: ${next}`)
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
