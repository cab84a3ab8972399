import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { Command } from 'commander'
import { RtmlError } from '../app/errors.ts'
import { answersOf } from '../graph/answers.ts'
import { type Bundle, readBundle } from '../graph/bundle.ts'
import { compileGraph, type Program } from '../graph/program.ts'
import { type Question, readQuestions } from '../graph/questions.ts'
import { fetchesOf, PROBLEMS } from '../graph/wire.ts'
import {
  bindGraph,
  createModelPool,
  describeDifference,
  openBundle,
  type Replay,
  replayTests,
  scorerModel,
  tensorsFor,
} from '../scorer/index.ts'
import type { ModelPool } from '../scorer/types.ts'
import { planApplication } from '../topology.ts'
import { CommandFailed, note, printJson, printLine } from './output.ts'
import { examples, openApp } from './shared.ts'

interface CheckOptions {
  readonly app?: string
  readonly deploy: 'hub' | 'edge' | 'both'
  readonly json?: true
}

/** Rows of one run: as on the stream. */
const BATCH_ROWS = 256
/** Of one line. */
const MAX_LINE_CHARS = 4_194_304

export function graphCommand(): Command {
  const command = new Command('graph').description('graphs and bundles: check, run')
  command
    .command('check')
    .description('load a bundle, check its graph, and replay its own tests')
    .argument('<bundle>', 'bundle (.zip) of a graph')
    .option('--app <file>', 'application file: also hold what the graph reads against its features')
    .option('--deploy <target>', 'with --app: where it would run: hub, edge or both', 'both')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      examples('rtml graph check churn.rtml.zip', 'rtml graph check churn.rtml.zip --app rtml.yaml --json'),
    )
    .action(check)
  command
    .command('run')
    .description('answer questions from standard input, one JSON line each, as the scorer would')
    .argument('<bundle>', 'bundle (.zip) of a graph')
    .addHelpText(
      'after',
      examples(
        'echo \'{"record": {"age": 41, "device": "phone"}}\' | rtml graph run churn.rtml.zip',
        'rtml graph run churn.rtml.zip < questions.jsonl > answers.jsonl',
      ),
    )
    .action(run)
  return command
}

async function check(file: string, options: CheckOptions): Promise<void> {
  const bytes = await readFile(file)
  const bundle = readBundle(bytes)
  const program = compileGraph(bundle.graph)
  await using pool = await createModelPool({})
  await using loaded = await openBundle(bytes, pool)
  if (options.app !== undefined) await bind(options.app, options.deploy, bundle, bytes)
  const replay = await replayTests(bytes, loaded.key, pool)
  if (options.json) printJson({ ...outline(bundle, program), tests: report(bundle, replay) })
  else print(bundle, program, replay)
  if (replay.difference) throw new CommandFailed(describeDifference(replay.difference))
}

/** @throws RtmlError MODEL_INPUT */
async function bind(app: string, deploy: CheckOptions['deploy'], { graph }: Bundle, bytes: Uint8Array): Promise<void> {
  const opened = openApp({ app })
  const plan = await planApplication(opened.planOptions)
  const definition = { version: 'check', role: 'shadow', deadline: 50, maxBatchRows: 512, deploy } as const
  bindGraph(scorerModel(graph.name, definition as never, { bytes, sha256: '' }), plan.featureSet)
}

function outline({ graph, models, modules, provenance }: Bundle, program: Program) {
  return {
    graph: graph.name,
    nodes: graph.nodes.length,
    reads: program.sources.map(({ node, name, dtype, origin }) => ({ node, name, type: dtype, from: origin.kind })),
    answers: Object.fromEntries(program.output),
    score: program.score ?? null,
    writes: program.written.map(({ kind, name, column }) => ({ kind, name, column })),
    models: [...models].map(([sha256, { length }]) => ({ sha256, bytes: length })),
    modules: [...modules].map(([sha256, { length }]) => ({ sha256, bytes: length })),
    provenance: provenance ?? null,
  }
}

const report = ({ tests }: Bundle, { difference, largest, problems }: Replay) => ({
  rows: tests.length,
  ok: difference === undefined,
  largestDifference: largest,
  ...(difference ? { difference } : {}),
  ...(problems.length > 0 ? { problems } : {}),
})

function print(bundle: Bundle, program: Program, replay: Replay): void {
  const { graph, models, modules } = bundle
  const reads = program.sources.map(({ name, dtype, origin }) => `${name} (${dtype}, ${origin.kind})`).join(', ')
  printLine(`${graph.name}: ${graph.nodes.length} nodes, ${models.size} models, ${modules.size} custom modules`)
  printLine(`  reads    ${reads}`)
  printLine(`  answers  ${[...program.output].map(([name, dtype]) => `${name} (${dtype})`).join(', ')}`)
  for (const { kind, name } of program.written) printLine(`  writes   ${kind} ${name}`)
  for (const problem of replay.problems.slice(0, 5)) printLine(`  problem  ${problem}`)
  const { length } = bundle.tests
  if (length === 0) printLine('  tests    none: write the bundle with examples, so that a deployment can prove itself')
  else if (!replay.difference)
    printLine(`  tests    ${length} rows equal, largest difference ${replay.largest.toExponential(1)}`)
}

async function run(file: string): Promise<void> {
  const bytes = await readFile(file)
  const program = compileGraph(readBundle(bytes).graph)
  await using pool = await createModelPool({})
  await using loaded = await openBundle(bytes, pool)
  let batch: Question[] = []
  let number = 0
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
    number++
    if (line.trim() === '') continue
    batch.push(parse(line, number))
    if (batch.length < BATCH_ROWS) continue
    await answer(program, pool, loaded.key, batch)
    batch = []
  }
  if (batch.length > 0) await answer(program, pool, loaded.key, batch)
}

const PARTS = new Set(['record', 'event', 'profile'])

/** A line is a question, or the record of one. @throws RtmlError DECODE */
function parse(line: string, number: number): Question {
  const place = `stdin:${number}`
  if (line.length > MAX_LINE_CHARS)
    throw new RtmlError('LIMIT', `the line has more than ${MAX_LINE_CHARS} characters.`, { place })
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    throw new RtmlError('DECODE', `no JSON: ${(error as Error).message}`, { place })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RtmlError('DECODE', 'a question is an object: {"record": {…}, "event": {…}, "profile": {…}}.', { place })
  const keys = Object.keys(value)
  return keys.length > 0 && keys.every((key) => PARTS.has(key)) ? value : { record: value as Record<string, unknown> }
}

async function answer(program: Program, pool: ModelPool, key: string, questions: readonly Question[]): Promise<void> {
  const read = readQuestions(program, questions)
  const results = await pool.run(key, tensorsFor(read), fetchesOf(program))
  for (const problem of (results[PROBLEMS]?.data ?? []) as readonly string[]) note(problem)
  for (const { output, failed, scores, attributes, xdm } of answersOf(
    program,
    results,
    questions.length,
    read.failures,
  )) {
    const has = (it: object) => Object.keys(it).length > 0
    printJson({
      output,
      ...(failed ? { failed } : {}),
      ...(has(scores) ? { scores } : {}),
      ...(has(attributes) ? { attributes } : {}),
      ...(has(xdm) ? { xdm } : {}),
    })
  }
}
