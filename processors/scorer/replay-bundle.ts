/** Replays a bundle's own tests where it will run: in the pool, through the worker, in micro-batches. */
import { randomUUID } from 'node:crypto'
import { RtmlError } from '../app/errors.ts'
import { type Answer, answersOf, type JsonValue, traceAt } from '../graph/answers.ts'
import { type BundleTest, type Expected, readBundle } from '../graph/bundle.ts'
import { compileGraph, type Program } from '../graph/program.ts'
import { type Question, type ReadRows, readQuestions } from '../graph/questions.ts'
import { fetchesOf, NUMBERS, PROBLEMS, TEXTS, TRACE, UNFIT } from '../graph/wire.ts'
import type { ModelPool, Tensor } from './types.ts'

export interface Difference {
  /** Line of tests/input.jsonl, from 1. */
  readonly line: number
  readonly node: string
  readonly column: string
  readonly expected: JsonValue | undefined
  readonly got: JsonValue | undefined
}

export interface Replay {
  readonly rows: number
  /** The first row that differs, at the first node that differs. */
  readonly difference: Difference | undefined
  /** What went wrong with whole batches. */
  readonly problems: readonly string[]
  /** Largest |got − expected| / max(1, |expected|) of the outputs. */
  readonly largest: number
}

/** `tests/input.jsonl line 3, node own, column twice: expected 6.1, got 6`. */
export const describeDifference = ({ line, node, column, expected, got }: Difference): string =>
  `tests/input.jsonl line ${line}, node ${node}, column ${column}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`

/** Numbers agree when |got − expected| ≤ TOLERANCE · max(1, |expected|). */
const TOLERANCE = 1e-5
/** Rows of a run: as on the stream. */
const BATCH_ROWS = 256

/**
 * @param key in the pool; the bundle must be loaded under it
 * @throws RtmlError BUNDLE, GRAPH; Error when a run fails as a whole
 */
export async function replayTests(bytes: Uint8Array, key: string, pool: ModelPool): Promise<Replay> {
  const { graph, tests } = readBundle(bytes)
  const program = compileGraph(graph)
  const problems: string[] = []
  let largest = 0
  for (let from = 0; from < tests.length; from += BATCH_ROWS) {
    const batch = tests.slice(from, from + BATCH_ROWS)
    const read = readQuestions(
      program,
      batch.map(({ question }) => questionOf(question)),
    )
    const results = await pool.run(key, tensorsFor(read), [...fetchesOf(program), TRACE])
    if (results[PROBLEMS]) problems.push(...(results[PROBLEMS].data as readonly string[]))
    const answers = answersOf(program, results, batch.length, read.failures)
    for (const [row, { expected }] of batch.entries()) {
      const answer = answers[row] as Answer
      const place =
        differenceAt(program, results, row, expected) ??
        outputDifference(program, answer.output, expected) ??
        writtenDifference(program, answer, expected)
      if (place) return { rows: from + row + 1, difference: { line: from + row + 1, ...place }, problems, largest }
      largest = Math.max(largest, distanceOf(answer.output ?? {}, expected.output ?? {}))
    }
  }
  return { rows: tests.length, difference: undefined, problems, largest }
}

/** Loads a bundle for a while. @throws RtmlError MODEL_LOAD */
export async function openBundle(
  bytes: Uint8Array,
  pool: ModelPool,
): Promise<{ readonly key: string } & AsyncDisposable> {
  const key = `bundle:${randomUUID()}`
  await pool.load(key, bytes, { warmRows: 0 })
  return { key, [Symbol.asyncDispose]: () => pool.unload(key) }
}

/** Loads a bundle for as long as its tests run. @throws RtmlError BUNDLE, GRAPH, MODEL_LOAD */
export async function replayBundle(bytes: Uint8Array, pool: ModelPool): Promise<Replay> {
  await using loaded = await openBundle(bytes, pool)
  return await replayTests(bytes, loaded.key, pool)
}

/**
 * A bundle that is deployed shows first that it does here what it did where it was made.
 * @throws RtmlError BUNDLE naming the first row and node that differ, or that there is nothing to show it with
 */
export async function proveBundle(bytes: Uint8Array, key: string, pool: ModelPool): Promise<void> {
  const { graph, tests } = readBundle(bytes)
  const place = { place: graph.name }
  if (tests.length === 0) {
    const text =
      'has no tests, so nothing shows that it does the same here. Write it with some: graph.bundle(tests=frame).'
    throw new RtmlError('BUNDLE', text, place)
  }
  const { difference, problems } = await replayTests(bytes, key, pool)
  if (!difference) return
  const why = problems.length > 0 ? ` (${problems[0]})` : ''
  throw new RtmlError(
    'BUNDLE',
    `its tests differ at ${describeDifference(difference)}${why}. Nothing was deployed.`,
    place,
  )
}

export const questionOf = (test: BundleTest['question']): Question =>
  typeof test === 'object' && test !== null ? (test as Question) : {}

/** Tensors of rows that were read. */
export function tensorsFor({ rows: given }: ReadRows): Record<string, Tensor> {
  const { rows, numbers, numberColumns, texts, textColumns, unfit } = given
  const tensors: Record<string, Tensor> = {}
  if (numberColumns > 0) tensors[NUMBERS] = { type: 'float64', dims: [rows, numberColumns], data: numbers }
  // Null is a missing text; the tensor of a graph may hold it.
  if (textColumns > 0) tensors[TEXTS] = { type: 'string', dims: [rows, textColumns], data: texts as readonly string[] }
  if (unfit) tensors[UNFIT] = { type: 'uint8', dims: [rows, unfit.length / rows], data: unfit }
  return tensors
}

type Place = Omit<Difference, 'line'>

function differenceAt(
  program: Program,
  results: Readonly<Record<string, Tensor>>,
  row: number,
  { nodes }: Expected,
): Place | undefined {
  for (const node of program.order) {
    const wanted = nodes[node]
    if (wanted === undefined) continue
    const made = traceAt(results, node, row)
    for (const [column, expected] of Object.entries(wanted)) {
      const got = made?.(column)
      if (!agree(expected, got)) return { node, column, expected, got }
    }
    if (!made) return { node, column: '(the row)', expected: 'reached', got: 'not reached' }
  }
  return undefined
}

function outputDifference(
  { graph }: Program,
  got: Readonly<Record<string, JsonValue>> | null,
  { output }: Expected,
): Place | undefined {
  const { node } = graph.output
  if (output === null || got === null) {
    if (output === got) return undefined
    const say = (it: object | null) => (it === null ? 'no answer' : 'an answer')
    return { node, column: '(the row)', expected: say(output), got: say(got) }
  }
  for (const [column, expected] of Object.entries(output)) {
    if (!agree(expected, got[column])) return { node, column, expected, got: got[column] }
  }
  return undefined
}

/** What sinks wrote, where the author's side has noted it. */
function writtenDifference({ written }: Program, answer: Answer, { written: wanted }: Expected): Place | undefined {
  if (wanted === undefined) return undefined
  for (const { node, kind, name } of written) {
    const [expected, got] =
      kind === 'xdm'
        ? [leafOf(wanted.xdm, name), leafOf(answer.xdm, name)]
        : [wanted[`${kind}s`]?.[name], answer[`${kind}s`][name]]
    if (expected !== got && !(expected !== undefined && agree(expected, got)))
      return { node, column: `${kind} ${name}`, expected, got }
  }
  return undefined
}

/** The value at a path of names. */
function leafOf(root: unknown, path: string): JsonValue | undefined {
  let at = root
  for (const name of path.split('.')) at = (at as Readonly<Record<string, unknown>> | undefined)?.[name]
  return at as JsonValue | undefined
}

function agree(expected: JsonValue, got: JsonValue | undefined): boolean {
  if (expected === got) return true
  // Truth values come back as numbers from the middle of a graph.
  const [want, have] = [numberOf(expected), numberOf(got)]
  return want !== undefined && have !== undefined && Math.abs(have - want) <= TOLERANCE * Math.max(1, Math.abs(want))
}

const numberOf = (value: JsonValue | undefined): number | undefined =>
  typeof value === 'number' ? value : typeof value === 'boolean' ? Number(value) : undefined

function distanceOf(got: Readonly<Record<string, JsonValue>>, expected: Readonly<Record<string, JsonValue>>): number {
  let largest = 0
  for (const [name, want] of Object.entries(expected)) {
    const have = got[name]
    if (typeof want === 'number' && typeof have === 'number')
      largest = Math.max(largest, Math.abs(have - want) / Math.max(1, Math.abs(want)))
  }
  return largest
}
