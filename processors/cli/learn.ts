import { Command } from 'commander'
import { systemClock } from '../app/system-clock.ts'
import type { Engine } from '../engine/ports.ts'
import { FeatureReplay } from '../host/feature-replay.ts'
import { eventsInOrder, fileRecords, type HistoryCounts, logRecords, newCounts } from '../host/history.ts'
import { learnerColumns } from '../learner/columns.ts'
import { HistoryLearner } from '../learner/stream/history-learner.ts'
import { LearnerStream } from '../learner/stream/learner-stream.ts'
import type { RawRecord } from '../mapper/types.ts'
import { learnerInline } from '../runtime/learning/learner-host.ts'
import { readLearner } from '../runtime/learning/learner-view.ts'
import { learnerSetup } from '../runtime/learning/learning-service.ts'
import { silentLogger, silentMetrics } from '../runtime/telemetry.ts'
import { learnerTask, type Plan, planApplication, type RunPlanOptions, topicSpecs } from '../topology.ts'
import { BadUsage, CommandFailed, note, printJson, printTable } from './output.ts'
import { interrupted } from './repair-shared.ts'
import { type EngineOptions, examples, integerOption, sourceNamed, withEngine, withOpenEngine } from './shared.ts'

interface LearnOptions extends EngineOptions {
  readonly from: string
  readonly source?: string
  readonly learner?: string
  readonly limit?: number
  readonly replace?: true
  readonly json?: true
}

export function learnCommand(): Command {
  return withEngine(new Command('learn'))
    .description(
      'start learners from a history: the same features, labels and steps as in the stream, which goes on from there',
    )
    .requiredOption(
      '--from <history>',
      'file of raw events as the source sends them (.gz; - = standard input), or log: the raw events that the log still has',
    )
    .option('--source <name>', "source of the application that the events are of; default: the application's only one")
    .option('--learner <name>', 'this learner only; default: all of them')
    .option('--limit <events>', 'stop after this many events', integerOption)
    .option('--replace', 'also when a learner has learned already: what it knows is dropped')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      examples(
        'rtml learn --app examples/luma/rtml.yaml --from examples/luma/luma_events.jsonl.gz',
        'rtml learn --from log --learner propensity_online --replace --json',
      ),
    )
    .action((options: LearnOptions) =>
      withOpenEngine(
        options,
        async (opened, engine) => {
          const plan = await planApplication(opened.planOptions)
          const names = chosen(plan, options)
          await engine.log.ensureTopics(topicSpecs(plan.app))
          for (const name of names) await refuseKnown(engine, plan, name, options)
          const learned = await learnAll(engine, plan, names, options)
          if (options.json) printJson(learned)
          else report(learned)
        },
        { create: true },
      ),
    )
}

function chosen({ app }: Plan, { learner, app: file }: LearnOptions): string[] {
  const names = Object.keys(app.learners)
  if (names.length === 0) throw new CommandFailed(`${file} names no learners; see docs/learning.md`)
  if (learner === undefined) return names
  if (!names.includes(learner)) {
    throw new BadUsage(`there is no learner ${JSON.stringify(learner)}. Learners: ${names.join(', ')}`)
  }
  return [learner]
}

async function refuseKnown(engine: Engine, plan: Plan, name: string, { replace }: LearnOptions): Promise<void> {
  const known = await readLearner(engine.store, plan, name)
  if (!known || replace) return
  throw new CommandFailed(
    `${name} has learned ${known.learned} examples already. To drop what it knows and begin with the history: --replace`,
  )
}

async function learnAll(engine: Engine, plan: Plan, names: readonly string[], options: LearnOptions) {
  const signal = interrupted()
  const at = systemClock.now()
  const learners = names.map((name) => {
    const setup = learnerSetup({ app: plan.app, featureSet: plan.featureSet }, name)
    const stream = new LearnerStream(setup)
    const columns = learnerColumns(setup.definition, plan.app.features, plan.featureSet, `learners.${name}`)
    const label = plan.labels.find((it) => it.name === setup.labelName)!
    return { name, setup, stream, history: new HistoryLearner({ stream, label, columns, at }) }
  })
  const counts = newCounts()
  const replay = new FeatureReplay(plan.featureSet)
  const { mapper, records } = sourceOf(engine, plan, options, signal)
  const started = performance.now()
  for await (const event of eventsInOrder(records, { mapper, counts, limit: options.limit, onRejected: note })) {
    if (replay.apply(event) !== 'applied') continue
    const vector = replay.vector(event)
    for (const { history } of learners) history.event(event, vector)
  }
  if (signal.aborted) throw new CommandFailed('interrupted: nothing was changed')
  for (const { history } of learners) history.finish()
  const seconds = (performance.now() - started) / 1_000
  const results = []
  for (const { name, stream, history } of learners) {
    if (stream.status().learned === 0) {
      throw new CommandFailed(
        `${options.from}: no event got a label for ${name} (${counts.events} events, ${counts.rejected} refused). Try: rtml evaluate`,
      )
    }
    stream.startAfter(history.until)
    const { version } = stream.decide(at, { routed: undefined, minExamples: 1, everyMs: 0, isLast: true })
    const task = await learnerTask(plan, { ...runOptions(engine, signal), createHost: learnerInline }, name)
    await task.replace(stream.encode(), stream.status(), signal)
    const { learned, labels, models } = stream.status()
    results.push({ learner: name, version: version?.version ?? null, learned, labels, figures: models.learner ?? null })
  }
  return { ...counts, seconds, learners: results }
}

const runOptions = (engine: Engine, signal: AbortSignal): RunPlanOptions => ({
  engine,
  clock: systemClock,
  random: Math.random,
  hrtime: () => performance.now() / 1_000,
  metrics: silentMetrics,
  logger: silentLogger,
  env: (name) => process.env[name],
  signal,
})

function sourceOf(engine: Engine, plan: Plan, options: LearnOptions, signal: AbortSignal) {
  const { name, mapper, format } = sourceNamed(plan, options)
  const records: AsyncIterable<RawRecord> =
    options.from === 'log' ? logRecords(engine.log, plan.topics.raw(name), signal) : fileRecords(options.from, format)
  return { mapper, records }
}

function report({ events, rejected, seconds, learners }: Awaited<ReturnType<typeof learnAll>> & HistoryCounts): void {
  note(`${events} events, ${rejected} refused, in ${seconds.toFixed(1)} s`)
  const figure = (value: number | null | undefined) => (value == null ? '–' : value.toFixed(4))
  printTable(
    ['learner', 'version', 'learned', 'labels', 'auc', 'log loss', 'calibration'],
    learners.map(({ learner, version, learned, labels, figures }) => [
      learner,
      version ?? '–',
      learned,
      labels,
      figure(figures?.auc),
      figure(figures?.logLoss),
      figure(figures?.calibrationError),
    ]),
  )
}
