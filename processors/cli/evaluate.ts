import { Command } from 'commander'
import { RtmlError } from '../app/errors.ts'
import type { XdmEvent } from '../app/event.ts'
import { learnerSchema } from '../app/schema-learning.ts'
import { systemClock } from '../app/system-clock.ts'
import { FeatureReplay } from '../host/feature-replay.ts'
import { eventsInOrder, fileRecords, newCounts } from '../host/history.ts'
import type { Figures } from '../learner/evaluation/trial.ts'
import { type LearnerResult, Prequential, type RatedModel } from '../learner/prequential.ts'
import type { Mapper } from '../mapper/index.ts'
import { createModelPool, createScorer } from '../scorer/index.ts'
import type { Score, Scorer, ScoringRow } from '../scorer/types.ts'
import { type Plan, planApplication } from '../topology.ts'
import { BadUsage, CommandFailed, note, printJson, printLine, printTable } from './output.ts'
import { type AppOptions, examples, integerOption, openApp, sourceNamed, withApp } from './shared.ts'

/** Rows of one run of the ONNX models. */
const SCORED_TOGETHER = 256

interface EvaluateOptions extends AppOptions {
  readonly input: string
  readonly source?: string
  readonly learner?: string
  readonly delay: number
  readonly limit?: number
  readonly slice?: string
  readonly json?: true
}

export function evaluateCommand(): Command {
  return withApp(new Command('evaluate'))
    .description("test then train on a file of raw events, in order of time: how good the application's learners are")
    .requiredOption(
      '--input <file>',
      'raw events as the source sends them (CSV, JSON lines …; .gz), or - for standard input',
    )
    .option('--source <name>', "source of the application that reads the file; default: the application's only one")
    .option('--learner <name>', 'evaluate this learner only; default: all of them')
    .option(
      '--delay <samples>',
      'labels that the events carry themselves are known this many samples later',
      integerOption,
      0,
    )
    .option('--limit <events>', 'stop after this many events', integerOption)
    .option('--slice <expression>', 'figures by the value of this CEL expression, too')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      examples(
        'rtml evaluate --app examples/phishing/rtml.yaml --input examples/phishing/phishing.csv.gz',
        'rtml evaluate --input history.jsonl.gz --learner propensity_online --slice device.type --json',
      ),
    )
    .action(async (options: EvaluateOptions) => {
      const { planOptions } = openApp(options)
      const plan = await planApplication(planOptions)
      const { mapper, format } = sourceNamed(plan, options)
      const app = withLearners(plan, options)
      const models = ratedModels(plan, app)
      await using scoring = await openScorer(plan, models)
      const run = new Prequential({
        app,
        models,
        featureSet: plan.featureSet,
        compile: (text) => plan.expressions.compile(text),
        delay: options.delay,
        slice: options.slice,
      })
      const started = performance.now()
      const counts = await evaluate(plan, run, { mapper, format, scorer: scoring.scorer }, options)
      requireLabels(run, options)
      const result = resultOf(run, counts, (performance.now() - started) / 1_000)
      if (options.json) return printJson(result)
      printResult(result)
    })
}

/** An application that names no learner gets a linear one a label, over all its features. */
function withLearners({ app }: Plan, { app: file, learner }: EvaluateOptions): Plan['app'] {
  const labels = Object.keys(app.labels)
  if (labels.length === 0) {
    const message =
      'there is nothing to compare predictions with. Say under "labels" what the outcome is; see docs/evaluate.md'
    throw new RtmlError('CONFIG', message, { place: file })
  }
  const named = Object.entries(app.learners)
  const all = named.length > 0 ? named : labels.map((label) => [label, learnerSchema.parse({ label })] as const)
  const chosen = learner === undefined ? all : all.filter(([name]) => name === learner)
  if (chosen.length === 0) {
    const names = all.map(([name]) => name).join(', ')
    throw new BadUsage(`there is no learner ${JSON.stringify(learner)}. Learners: ${names}`)
  }
  return { ...app, learners: Object.fromEntries(chosen) }
}

/**
 * ONNX models of the application whose scores can be compared with a label: that of a learner of their service, or the
 * only label there is.
 */
function ratedModels(plan: Plan, { labels, learners }: Plan['app']): RatedModel[] {
  const names = Object.keys(labels)
  return plan.models.flatMap((model) => {
    const rival = Object.entries(learners).find(([name, it]) => (it.service ?? name) === model.service)
    const label = rival?.[1].label ?? (names.length === 1 ? names[0] : undefined)
    return label === undefined || labels[label]?.type === 'classes' ? [] : [{ name: model.name, label }]
  })
}

/** Without models nothing is started. */
async function openScorer(plan: Plan, models: readonly RatedModel[]) {
  const stack = new AsyncDisposableStack()
  if (models.length === 0) return Object.assign(stack, { scorer: undefined })
  const pool = stack.use(await createModelPool({}))
  const options = { plan: { models: plan.models }, featureSet: plan.featureSet, pool, clock: systemClock }
  return Object.assign(stack, { scorer: stack.use(await createScorer({ ...options, deadlines: 'off' })) })
}

interface Reader {
  readonly mapper: Mapper
  readonly format: string
  readonly scorer: Scorer | undefined
}

interface Counts {
  readonly read: number
  readonly events: number
  readonly rejected: number
  readonly skipped: number
  /** Events that features refused: older than the lateness bound, or a second time. */
  readonly refused: number
}

async function evaluate(
  plan: Plan,
  run: Prequential,
  { mapper, format, scorer }: Reader,
  options: EvaluateOptions,
): Promise<Counts> {
  const counts = { ...newCounts(), refused: 0 }
  const replay = new FeatureReplay(plan.featureSet)
  let rows: ScoringRow[] = []
  const takeRows = async (): Promise<void> => {
    const scores = scorer ? await scorer.score(rows) : []
    for (const [index, { event, vector }] of rows.entries())
      run.event(event, vector, scoresByModel(scores[index] ?? []))
    rows = []
  }
  const take = async (event: XdmEvent): Promise<void> => {
    if (replay.apply(event) !== 'applied') counts.refused++
    else if (rows.push({ event, vector: replay.vector(event) }) >= SCORED_TOGETHER) await takeRows()
  }
  const history = { mapper, counts, limit: options.limit, onRejected: note }
  for await (const event of eventsInOrder(fileRecords(options.input, format), history)) await take(event)
  await takeRows()
  run.finish()
  if (counts.events === 0) {
    throw new CommandFailed(
      `${options.input}: no event came out of it (${counts.rejected} refused, ${counts.skipped} skipped). Try: rtml map --app ${options.app} --source ${mapper.source} < FILE`,
    )
  }
  return counts
}

/** A model of several outputs is judged by its first. */
function scoresByModel(scores: readonly Score[]): Record<string, number> {
  return Object.fromEntries(scores.map(({ model, value }) => [model, value] as const).reverse())
}

function requireLabels(run: Prequential, { app }: EvaluateOptions): void {
  const results = run.results()
  if (results.some(({ report }) => report.overall.labels > 0)) return
  const names = [...new Set(results.map(({ label }) => `labels.${label}`))].join(', ')
  throw new CommandFailed(
    `${app}: no event got a label by ${names}. Are "where", "outcome" and "value" ever true or set (a missing field makes a condition false)? Joined: ${JSON.stringify(run.joins())}`,
  )
}

/** What every task has, under the names that binary has; absent ones are null in JSON. */
function figuresOf(figures: Figures) {
  const { task, ...rest } = figures
  return {
    task,
    auc: 'auc' in figures ? figures.auc : null,
    logLoss: 'logLoss' in figures ? figures.logLoss : null,
    accuracy: 'accuracy' in figures ? figures.accuracy : null,
    calibrationError: 'calibrationError' in figures ? figures.calibrationError : null,
    ...rest,
  }
}

function resultOf(run: Prequential, counts: Counts, seconds: number) {
  const learners = run.results()
  const [first] = learners as [LearnerResult, ...LearnerResult[]]
  const describe = ({ name, label, kind, inputs, report, learned, slices }: LearnerResult) => ({
    learner: name,
    label,
    kind,
    features: inputs.length,
    learned,
    ...figuresOf(report.overall),
    recent: figuresOf(report.recent),
    baselines: { prior: figuresOf(report.baselines.prior), noChange: figuresOf(report.baselines.noChange) },
    curve: report.curve.map(({ overall, recent }) => ({
      ...figuresOf(overall),
      recent: figuresOf(recent),
    })),
    ...(slices.length > 0
      ? { slices: Object.fromEntries(slices.map(([value, it]) => [value, figuresOf(it.overall)])) }
      : {}),
  })
  return {
    events: counts.events,
    ...describe(first),
    eventsPerSecond: Math.round(counts.events / Math.max(seconds, 1e-9)),
    seconds,
    rejected: counts.rejected,
    skipped: counts.skipped,
    refused: counts.refused,
    joins: run.joins(),
    leaks: run.leaks(),
    learners: Object.fromEntries(learners.map((it) => [it.name, describe(it)])),
  }
}

const COLUMNS = {
  binary: ['auc', 'logLoss', 'accuracy', 'f1', 'prAuc', 'brier', 'calibrationError', 'normalisedEntropy'],
  classes: ['accuracy', 'macroF1', 'logLoss', 'calibrationError'],
  number: ['rmse', 'mae', 'r2', 'ratio'],
  count: ['rmse', 'mae', 'r2', 'ratio'],
} as const

function printResult(result: ReturnType<typeof resultOf>): void {
  const { events, eventsPerSecond, rejected, skipped, refused } = result
  printLine(
    `${events} events (${rejected} refused by the mapping, ${skipped} skipped, ${refused} late or double), ${eventsPerSecond} events/s`,
  )
  for (const it of Object.values(result.learners)) {
    const columns = COLUMNS[it.task]
    const row = (name: string, figures: object) => [
      name,
      ...columns.map((column) => text((figures as Record<string, unknown>)[column])),
    ]
    const what = it.kind === 'onnx' ? 'ONNX model, as it is' : `${it.kind} over ${it.features} features`
    printLine(`\n${it.learner}: ${what}; label ${it.label}, ${it.labels} labels\n`)
    printTable(
      ['', ...columns],
      [
        row('model', it),
        row('prior', it.baselines.prior),
        row('no change', it.baselines.noChange),
        row('model, last 1000', it.recent),
        ...Object.entries('slices' in it ? (it.slices as Record<string, object>) : {}).map(([value, figures]) =>
          row(`slice ${value}`, figures),
        ),
      ],
    )
    printLine('\nlearning curve')
    printTable(
      ['labels', ...columns],
      it.curve.map((point) => row(String(point.labels), point)),
    )
  }
  for (const [label, counts] of Object.entries(result.joins)) printLine(`\n${label}: ${JSON.stringify(counts)}`)
  for (const { learner, feature, correlation } of result.leaks) {
    printLine(
      `\nLEAK? ${learner}: ${feature} follows the label (correlation ${text(correlation)}). Is it known at the time of the event? Else list it under except.`,
    )
  }
}

const text = (value: unknown): string =>
  typeof value !== 'number'
    ? '–'
    : Number.isNaN(value)
      ? '–'
      : Math.abs(value) >= 1_000
        ? value.toFixed(1)
        : value.toFixed(4)
