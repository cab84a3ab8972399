/** The deploy check: a model's inputs and outputs against the feature set, by name. Nothing is left to be discovered by an event. */
import { createHash } from 'node:crypto'
import { RtmlError } from '../app/errors.ts'
import type { ModelDefinition } from '../app/schema.ts'
import { didYouMean } from '../app/suggest.ts'
import type { Column, FeatureSet } from '../features/types.ts'
import { isBundle } from '../graph/bundle.ts'
import { bindGraph, type Extension, type GraphAnswers } from './graph-model.ts'
import type { OutputChoice, ScorerModel } from './plan.ts'
import type { LoadedModel, TensorInfo } from './types.ts'

/** A model input and the columns that fill it, row by row. */
export interface BoundInput {
  readonly name: string
  readonly type: string
  readonly columns: readonly Column[]
  /** Of each column, in `Vector.strings` for type string, else in `Vector.floats`. */
  readonly indexes: Int32Array
  /** Dimensions after the batch's. Their product is the number of columns. */
  readonly tail: readonly number[]
  /** The input is one vector without a batch dimension: scored row by row. */
  readonly isSingle: boolean
  /** Of a graph's texts: how many columns are features, whose '' means missing. In a model's own input '' stays ''. */
  readonly featureTexts?: number
}

export interface BoundOutput {
  /** Of the score: `score`, or its key under `outputs`. */
  readonly name: string
  readonly tensor: string
  /** Column of the score. */
  readonly column: number
  /** Columns of the tensor, when the model says so. */
  readonly width: number | undefined
  /** Of a graph: the row has a score without it, too. */
  readonly isOptional?: boolean
  /** Of a graph's sink: 1 for the rows that it writes. */
  readonly keptTensor?: string | undefined
}

export interface Binding {
  readonly inputs: readonly BoundInput[]
  readonly outputs: readonly BoundOutput[]
  /** Tensors to fetch, each once. */
  readonly fetches: readonly string[]
  /** The model only takes batches of exactly this many rows. */
  readonly fixedRows: number | undefined
  /** First 12 hex digits of SHA-256 over `input=column,column` lines: equal only when every column has its place. */
  readonly checksum: string
  /** What an operator should know: row by row, padded. */
  readonly notes: readonly string[]
  /** Of a graph that reads more than features. */
  readonly extension?: Extension | undefined
  /** Of a graph: what it answers and writes besides scores. */
  readonly answers?: GraphAnswers | undefined
}

/** What the check needs of a model's definition. */
export type Bindable = Pick<ScorerModel, 'name' | 'version' | 'inputs' | 'outputs' | 'place'> & {
  readonly deploy?: ModelDefinition['deploy']
  /** Looked at for a bundle only. */
  readonly bytes?: Uint8Array
}

const NUMERIC = new Set(['float32', 'float64', 'float16', 'int64', 'int32', 'bool'])
const FLOATS = new Set(['float32', 'float64', 'float16'])
const READABLE = new Set([...NUMERIC, 'uint8', 'int8', 'uint16', 'int16', 'uint32', 'uint64'])

/**
 * @throws RtmlError MODEL_INPUT naming the input or output, what it wants, what there is and the nearest name
 */
export function bindModel(model: Bindable, loaded: LoadedModel, featureSet: FeatureSet): Binding {
  if (model.bytes && isBundle(model.bytes)) return bindGraph({ ...model, bytes: model.bytes }, featureSet)
  const context: Context = { model, loaded, featureSet, title: `${model.name}@${model.version}` }
  const inputs = bindInputs(context)
  const outputs = Object.entries(model.outputs).map(([name, choice]) => bindOutput(context, name, choice))
  const fixedRows = fixedRowsOf(context, inputs)
  return {
    inputs,
    outputs,
    fetches: [...new Set(outputs.map((it) => it.tensor))],
    fixedRows,
    checksum: checksumOf(inputs),
    notes: notesOf(context, fixedRows),
  }
}

interface Context {
  readonly model: Bindable
  readonly loaded: LoadedModel
  readonly featureSet: FeatureSet
  readonly title: string
}

function refuse({ model, title }: Context, text: string): never {
  throw new RtmlError('MODEL_INPUT', `${title} ${text}`, model.place === undefined ? {} : { place: model.place })
}

const describeType = (info: TensorInfo): string =>
  info.dims
    ? `${info.type}[${info.dims.map((it) => (it < 0 ? 'n' : it)).join(',')}]`
    : 'a sequence, a map or an optional'

function bindInputs(context: Context): BoundInput[] {
  const wanted = context.loaded.signature.inputs
  if (wanted.length === 0)
    refuse(context, 'has no inputs: it gives the same score for everybody. Export the model with its inputs.')
  const given = namedInputs(context)
  for (const name of given.keys()) {
    if (!wanted.some((it) => it.name === name)) {
      const names = wanted.map((it) => it.name)
      refuse(context, `has no input ${JSON.stringify(name)}.${didYouMean(name, names)}`)
    }
  }
  return wanted.map((info) => {
    const features = given.get(info.name)
    if (!features) {
      const hint = didYouMean(
        info.name,
        context.featureSet.columns.map((it) => it.name),
      )
      return refuse(
        context,
        `wants ${JSON.stringify(info.name)} (${describeType(info)}), which no feature is given for.${hint} ` +
          `Add ${info.name}: <feature> under inputs.`,
      )
    }
    return bindInput(context, info, features)
  })
}

function namedInputs(context: Context): Map<string, readonly string[]> {
  const { inputs = [] } = context.model
  const wanted = context.loaded.signature.inputs
  if (!Array.isArray(inputs)) {
    return new Map(Object.entries(inputs).map(([name, it]) => [name, Array.isArray(it) ? it : [it]]))
  }
  const [only, ...others] = wanted
  if (!only) return new Map()
  if (others.length > 0) {
    const names = wanted.map((it) => `${it.name} (${describeType(it)})`).join(', ')
    refuse(
      context,
      `has ${wanted.length} inputs: ${names}. Give features by input: inputs: { ${only.name}: [feature, …], … }.`,
    )
  }
  return new Map([[only.name, inputs]])
}

function bindInput(context: Context, info: TensorInfo, features: readonly string[]): BoundInput {
  const wants = `wants ${JSON.stringify(info.name)} (${describeType(info)})`
  if (!info.dims) return refuse(context, `${wants}; features fill tensors only. Export the model with tensor inputs.`)
  if (info.type !== 'string' && !NUMERIC.has(info.type)) {
    return refuse(context, `${wants}; features fill ${[...NUMERIC].join(', ')} and string. Cast inside the graph.`)
  }
  const columns = features.flatMap((name) => resolve(context, info, name))
  const type = info.type === 'string' ? 'string' : 'float'
  const misfit = columns.find((it) => it.type !== type)
  if (misfit) {
    const remedy =
      misfit.type === 'string'
        ? `Give feature ${misfit.feature} an encode (vocabulary, onehot, hash), or give it to a string input.`
        : 'Give it a text feature, or encode inside the graph from a number.'
    refuse(
      context,
      `${wants}; ${JSON.stringify(misfit.name)} is ${misfit.type === 'string' ? 'text' : 'a number'}. ${remedy}`,
    )
  }
  return shape(context, info, info.dims, columns)
}

function resolve(context: Context, info: TensorInfo, name: string): readonly Column[] {
  const columns = context.featureSet.resolve(name)
  if (columns && columns.length > 0) return columns
  const names = new Set(context.featureSet.columns.flatMap((it) => [it.feature, it.name]))
  return refuse(
    context,
    `wants ${JSON.stringify(name)} for input ${info.name} (${describeType(info)}); the feature set has no ` +
      `${JSON.stringify(name)}.${didYouMean(name, names)}`,
  )
}

/** Fits the columns into the input's dimensions: [n, k], [n], [n, 1, k]…; [k] alone is a single vector. */
function shape(context: Context, info: TensorInfo, dims: readonly number[], columns: readonly Column[]): BoundInput {
  const indexes = Int32Array.from(columns, (it) => it.index)
  const input = { name: info.name, type: info.type, columns, indexes }
  const [first = -1, ...rest] = dims
  const width = columns.length
  if (dims.length === 1 && first > 1 && first === width) return { ...input, tail: [width], isSingle: true }
  // A file without a shape shows none at all: [n, k] is what every exporter means.
  if (dims.length === 0) return { ...input, tail: [width], isSingle: false }
  const known = rest.filter((it) => it >= 0).reduce((product, it) => product * it, 1)
  const open = rest.filter((it) => it < 0).length
  const fits = open === 0 ? known === width : known > 0 && width % known === 0
  if (!fits || (open > 1 && width !== 1)) {
    const names = columns.map((it) => it.name)
    const shown = `${names.slice(0, 6).join(', ')}${names.length > 6 ? ', …' : ''}`
    const wanted = open === 0 ? `${known} ${known === 1 ? 'column' : 'columns'}` : `a multiple of ${known} columns`
    refuse(
      context,
      `wants ${JSON.stringify(info.name)} (${describeType(info)}), ${wanted} a row; its features give ${width}: ${shown}. ` +
        'List as many features as the model was trained with, in that order.',
    )
  }
  let filled = false
  const tail = rest.map((it) => {
    if (it >= 0) return it
    const size = filled ? 1 : width / known
    filled = true
    return size
  })
  return { ...input, tail, isSingle: false }
}

function fixedRowsOf(context: Context, inputs: readonly BoundInput[]): number | undefined {
  const fixed = new Set<number>()
  for (const input of inputs) {
    const info = context.loaded.signature.inputs.find((it) => it.name === input.name)
    const rows = input.isSingle ? 1 : (info?.dims?.[0] ?? -1)
    if (rows >= 0) fixed.add(rows)
  }
  if (fixed.size > 1 || fixed.has(0)) {
    refuse(
      context,
      `has inputs of different fixed batch sizes (${[...fixed].join(', ')}). Export with a dynamic first dimension.`,
    )
  }
  return [...fixed][0]
}

function notesOf(context: Context, fixedRows: number | undefined): string[] {
  if (fixedRows === undefined) return []
  const remedy = 'Export with a dynamic first dimension (batch) to score whole batches at once.'
  return fixedRows === 1
    ? [`${context.title} takes one row a run: batches are scored row by row. ${remedy}`]
    : [`${context.title} takes exactly ${fixedRows} rows a run: smaller batches are padded. ${remedy}`]
}

function checksumOf(inputs: readonly BoundInput[]): string {
  const lines = inputs.map((it) => `${it.name}=${it.columns.map((column) => column.name).join(',')}\n`)
  return createHash('sha256').update(lines.join('')).digest('hex').slice(0, 12)
}

function bindOutput(context: Context, name: string, choice: OutputChoice | undefined): BoundOutput {
  const wanted = typeof choice === 'object' ? choice : { tensor: choice }
  const info = wanted.tensor === undefined ? defaultTensor(context) : namedTensor(context, wanted.tensor)
  const { classes } = context.loaded
  const declared = lastDimension(info)
  // Only the tensor that has a column a class is the probabilities; a label or a raw regression output beside it is not.
  const labels =
    classes && FLOATS.has(info.type) && (declared ?? classes.length) === classes.length ? classes : undefined
  const width = declared ?? labels?.length
  const bound = { name, tensor: info.name, width }
  if (wanted.class !== undefined) return { ...bound, column: classColumn(context, info, labels, wanted.class) }
  if (wanted.column !== undefined) {
    if (width !== undefined && wanted.column >= width) {
      refuse(
        context,
        `has ${width} columns in output ${JSON.stringify(info.name)}; column ${wanted.column} is not one of 0–${width - 1}.`,
      )
    }
    return { ...bound, column: wanted.column }
  }
  return { ...bound, column: defaultColumn(context, info, width, labels) }
}

function namedTensor(context: Context, name: string): TensorInfo {
  const { outputs } = context.loaded.signature
  const info = outputs.find((it) => it.name === name)
  if (!info)
    return refuse(
      context,
      `has no output ${JSON.stringify(name)}.${didYouMean(
        name,
        outputs.map((it) => it.name),
      )}`,
    )
  return readable(context, info)
}

function readable(context: Context, info: TensorInfo): TensorInfo {
  const opaque = context.loaded.opaque?.find((it) => it.name === info.name)
  if (opaque || !info.dims) {
    const remedy = opaque?.remedy ?? 'Export the model with tensor outputs.'
    return refuse(
      context,
      `gives output ${JSON.stringify(info.name)} as a ${opaque?.kind ?? 'sequence'}, which gives no numbers. ${remedy}`,
    )
  }
  if (!READABLE.has(info.type)) {
    return refuse(
      context,
      `gives output ${JSON.stringify(info.name)} as ${describeType(info)}; a score is a number. Choose another output.`,
    )
  }
  return info
}

/** The only float output, else the one that is called a probability, else the only number. */
function defaultTensor(context: Context): TensorInfo {
  const { outputs } = context.loaded.signature
  const floats = outputs.filter((it) => it.dims && FLOATS.has(it.type))
  const probabilities = floats.filter((it) => /prob/i.test(it.name))
  const numbers = outputs.filter((it) => it.dims && READABLE.has(it.type))
  for (const candidates of [floats, probabilities, floats.length > 0 ? [] : numbers]) {
    if (candidates.length === 1) return readable(context, candidates[0] as TensorInfo)
  }
  const [opaque] = context.loaded.opaque ?? []
  if (numbers.length === 0 && opaque) {
    return refuse(
      context,
      `gives output ${JSON.stringify(opaque.name)} as a ${opaque.kind}, which gives no numbers. ${opaque.remedy}`,
    )
  }
  const names = outputs.map((it) => `${it.name} (${describeType(it)})`).join(', ')
  return refuse(context, `has ${outputs.length} outputs: ${names}. Say which one is the score: output: { tensor: … }.`)
}

/** Columns a row: 1 for [n] and scalars, undefined when the file doesn't say. */
function lastDimension(info: TensorInfo): number | undefined {
  const rest = info.dims?.slice(1) ?? []
  // No dimensions at all: the file has no shape (a scalar output of a model with a batch would be no score a row).
  if (info.dims?.length === 0) return undefined
  return rest.some((it) => it < 0) ? undefined : rest.reduce((product, it) => product * it, 1)
}

function classColumn(
  context: Context,
  info: TensorInfo,
  classes: readonly (string | number)[] | undefined,
  wanted: string | number,
): number {
  if (!classes) {
    return refuse(
      context,
      `doesn't say the classes of output ${JSON.stringify(info.name)} (${describeType(info)}). ` +
        'Give output: { column: … } instead, or export with ZipMap or output_class_labels=True.',
    )
  }
  const column = classes.findIndex((it) => String(it) === String(wanted))
  if (column < 0)
    refuse(context, `has no class ${JSON.stringify(wanted)}.${didYouMean(String(wanted), classes.map(String))}`)
  return column
}

function defaultColumn(
  context: Context,
  info: TensorInfo,
  width: number | undefined,
  classes: readonly (string | number)[] | undefined,
): number {
  if (width === 1) return 0
  const positive = classes && positiveClass(classes)
  if (positive !== undefined) return positive
  if (classes) {
    const labels = classes.map((it) => JSON.stringify(it)).join(', ')
    return refuse(
      context,
      `gives a probability for each of the classes ${labels}. Say which one is the score: output: { class: ${JSON.stringify(classes[0])} }.`,
    )
  }
  if (width === undefined)
    return refuse(
      context,
      `doesn't say how many columns output ${JSON.stringify(info.name)} has. Give output: { column: 0 }.`,
    )
  return refuse(
    context,
    `gives ${width} columns in output ${JSON.stringify(info.name)}. Say which one is the score: output: { column: … }.`,
  )
}

const NO = new Set(['0', 'false', 'no', 'n', '-1'])
const YES = new Set(['1', 'true', 'yes', 'y'])

/** Of two classes that plainly mean no and yes, the column of yes. Never by position. */
function positiveClass(classes: readonly (string | number)[]): number | undefined {
  if (classes.length !== 2) return undefined
  const texts = classes.map((it) => String(it).toLowerCase())
  const yes = texts.findIndex((it) => YES.has(it))
  const no = texts.findIndex((it) => NO.has(it))
  return yes >= 0 && no >= 0 ? yes : undefined
}
