/**
 * A bundle as a model of the plan: what its graph reads from features, from the row's event, from other scores and from the
 * request, and which scores it gives. The graph itself runs in the worker (graph-session.ts).
 */
import { createHash } from 'node:crypto'
import { RtmlError } from '../app/errors.ts'
import { didYouMean } from '../app/suggest.ts'
import type { Column, FeatureSet, Vector } from '../features/types.ts'
import { answersOf } from '../graph/answers.ts'
import { readBundle } from '../graph/bundle.ts'
import { jsonValue } from '../graph/ops/columns.ts'
import { compileGraph, type Program } from '../graph/program.ts'
import { type Question, readerOf } from '../graph/questions.ts'
import type { SourceColumn } from '../graph/sources.ts'
import { columnTensor, fetchesOf, NUMBERS, TEXTS, writtenKept, writtenTensor } from '../graph/wire.ts'
import type { Binding, BoundInput, BoundOutput } from './bind.ts'
import type { ScorerModel } from './plan.ts'
import type { GraphAnswer, ScoringRow, Tensor } from './types.ts'

/** A vector with what a graph reads besides features: its columns follow those of the feature set. */
export interface ExtendedVector extends Vector {
  /** A value is of another type than its column: the row can't be scored. */
  readonly isUnfit: boolean
}

/** Fills the columns that are no features. */
export interface Extension {
  extend(row: ScoringRow, vector: Vector, scores: Question['profile']): ExtendedVector
  /** The same for a profile that nothing is known of. */
  baseline(vector: Vector): ExtendedVector
  /** Models, or models' outputs, whose scores of the same event are read. */
  readonly scores: readonly string[]
}

/** What a graph answers and writes besides scores, by row. */
export interface GraphAnswers {
  /** The graph writes attributes: they are wanted whoever asks. */
  readonly areAlwaysWanted: boolean
  of(results: Readonly<Record<string, Tensor>>, rows: number): GraphAnswer[]
}

export interface GraphBinding extends Binding {
  readonly extension: Extension | undefined
}

/** Compiled once for the same bytes: every new plan asks again. */
const programs = new WeakMap<Uint8Array, Program>()

/** @throws RtmlError BUNDLE, GRAPH */
export function programOf(bytes: Uint8Array): Program {
  const known = programs.get(bytes)
  if (known) return known
  const program = compileGraph(readBundle(bytes).graph)
  programs.set(bytes, program)
  return program
}

/**
 * Scores of a graph: `score` is the service's, the output's other numbers and what a sink writes as a score keep their names.
 * @throws RtmlError MODEL_INPUT when the graph gives no number
 */
export function graphOutputs(
  program: Program,
  title: string,
): Record<string, { tensor: string; kept?: string; isOptional: boolean }> {
  const outputs: Record<string, { tensor: string; kept?: string; isOptional: boolean }> = {}
  const { output, score, written } = program
  if (score !== undefined) outputs.score = { tensor: columnTensor(score), isOptional: false }
  for (const [name, dtype] of output) {
    if (dtype !== 'string' && name !== score && name !== 'score')
      outputs[name] = { tensor: columnTensor(name), isOptional: true }
  }
  for (const [index, { kind, name }] of written.entries()) {
    if (kind !== 'score' || name in outputs) continue
    outputs[name] = { tensor: writtenTensor(index), kept: writtenKept(index), isOptional: true }
  }
  if (Object.keys(outputs).length > 0) return outputs
  throw new RtmlError(
    'MODEL_INPUT',
    `${title} answers with texts only; a service scores with a number. Add one to output.columns.`,
  )
}

/** What the check needs of a model's definition. */
type Bindable = Pick<ScorerModel, 'name' | 'version' | 'inputs' | 'place' | 'bytes'> & {
  readonly deploy?: 'hub' | 'edge' | 'both'
}

/** @throws RtmlError MODEL_INPUT naming the node and the column */
export function bindGraph(model: Bindable, featureSet: FeatureSet): GraphBinding {
  const program = programOf(model.bytes)
  const title = `${model.name}@${model.version}`
  const extras: Extra[] = []
  const slots: { numbers: Column[]; texts: Column[] } = { numbers: [], texts: [] }
  let [floats, strings] = [featureSet.floatCount, featureSet.stringCount]
  for (const source of program.sources) {
    const isText = source.dtype === 'string'
    let column = featureColumn(model, source, featureSet, title)
    if (!column) {
      const index = isText ? strings++ : floats++
      column = { name: source.name, feature: source.name, type: isText ? 'string' : 'float', index }
      extras.push({ index, source, read: readerOf(source.origin) })
    }
    slots[isText ? 'texts' : 'numbers'].push(column)
  }
  const inputs: BoundInput[] = []
  if (slots.numbers.length > 0) inputs.push(boundInput(NUMBERS, 'float32', slots.numbers))
  if (slots.texts.length > 0)
    inputs.push({ ...boundInput(TEXTS, 'string', slots.texts), featureTexts: featureSet.stringCount })
  const outputs = Object.entries(graphOutputs(program, title)).map(
    ([name, { tensor, kept, isOptional }]): BoundOutput => ({
      name,
      tensor,
      column: 0,
      width: 1,
      isOptional,
      keptTensor: kept,
    }),
  )
  return {
    inputs,
    outputs,
    fetches: fetchesOf(program),
    fixedRows: undefined,
    checksum: checksumOf(inputs),
    notes: [],
    answers: {
      areAlwaysWanted: program.written.some(({ kind }) => kind !== 'score'),
      of: (results, rows) =>
        answersOf(program, results, rows).map(({ output, attributes, paths }) => ({
          output,
          attributes: { ...attributes, ...paths },
        })),
    },
    extension: extras.length > 0 ? extensionOf(extras, floats, strings) : undefined,
  }
}

const boundInput = (name: string, type: string, columns: readonly Column[]): BoundInput => ({
  name,
  type,
  columns,
  indexes: Int32Array.from(columns, ({ index }) => index),
  tail: [columns.length],
  isSingle: false,
})

function checksumOf(inputs: readonly BoundInput[]): string {
  const lines = inputs.map((it) => `${it.name}=${it.columns.map((column) => column.name).join(',')}\n`)
  return createHash('sha256').update(lines.join('')).digest('hex').slice(0, 12)
}

/** The column of the vector that a source reads; undefined: it reads something else. */
function featureColumn(
  model: Bindable,
  source: SourceColumn,
  featureSet: FeatureSet,
  title: string,
): Column | undefined {
  const { origin, node, name, dtype } = source
  if (origin.kind !== 'record' && origin.kind !== 'feature') return undefined
  const refuse = (text: string): never => {
    throw new RtmlError(
      'MODEL_INPUT',
      `${title}, node ${node}: ${text}`,
      model.place === undefined ? {} : { place: model.place },
    )
  }
  const feature = renamed(model.inputs, name) ?? origin.name
  const columns = featureSet.resolve(feature)
  if (!columns || columns.length === 0) {
    // A service of the edge alone may be asked with columns that no profile has.
    if (origin.kind === 'record' && model.deploy === 'edge') return undefined
    const names = new Set(featureSet.columns.flatMap((it) => [it.feature, it.name]))
    const remedy =
      origin.kind === 'record' ? ' To take it from the request only, deploy it to the edge: deploy: edge.' : ''
    return refuse(`column ${JSON.stringify(name)} (${dtype}) is no feature.${didYouMean(feature, names)}${remedy}`)
  }
  const [column, ...others] = columns as [Column, ...Column[]]
  if (others.length > 0)
    return refuse(
      `feature ${JSON.stringify(feature)} has ${columns.length} columns. Name one of them: ${column.name}, ${others[0]?.name}…`,
    )
  if ((column.type === 'string') !== (dtype === 'string'))
    return refuse(
      `column ${JSON.stringify(name)} is ${dtype}, feature ${JSON.stringify(column.name)} is ${column.type === 'string' ? 'a text' : 'a number'}.`,
    )
  return column
}

/** `inputs: { column: feature }` of the application file, where the names differ. */
function renamed(inputs: ScorerModel['inputs'], name: string): string | undefined {
  if (inputs === undefined || Array.isArray(inputs)) return undefined
  const given = (inputs as Readonly<Record<string, string | readonly string[]>>)[name]
  return typeof given === 'string' ? given : given?.[0]
}

interface Extra {
  readonly index: number
  readonly source: SourceColumn
  readonly read: (question: Question) => unknown
}

function extensionOf(extras: readonly Extra[], floatCount: number, stringCount: number): Extension {
  const fill = (vector: Vector, question: Question): ExtendedVector => {
    const floats = new Float32Array(floatCount).fill(Number.NaN, vector.floats.length)
    floats.set(vector.floats)
    const strings: (string | null)[] = vector.strings.slice()
    while (strings.length < stringCount) strings.push(null)
    let isUnfit = false
    for (const { index, source, read } of extras) {
      const value = read(question) ?? null
      if (value === null || Number.isNaN(value)) continue
      const made = jsonValue(value, source.dtype)
      if (made === undefined) isUnfit = true
      else if (typeof made === 'string') strings[index] = made
      else floats[index] = made
    }
    // A missing text of a graph is null, not ''. The packing knows.
    return { floats, strings: strings as string[], isUnfit }
  }
  return {
    scores: extras.flatMap(({ source: { origin } }) => (origin.kind === 'score' ? [origin.name] : [])),
    extend: (row, vector, profile) => fill(vector, { record: row.record, event: row.event.xdm, profile }),
    baseline: (vector) => fill(vector, {}),
  }
}
