/** Questions in JSON → the rows that a graph reads; and how a path of an event is read. */
import { parseFieldPath, type Step } from '../expressions/field-path.ts'
import { jsonValue } from './ops/columns.ts'
import type { Program } from './program.ts'
import type { Origin, Reduce, SourceRows } from './sources.ts'
import type { Failure } from './step.ts'

/** One row's data, as tests and callers give it. Anything that is absent is missing. */
export interface Question {
  readonly record?: Readonly<Record<string, unknown>> | null | undefined
  /** XDM. */
  readonly event?: unknown
  readonly profile?:
    | {
        readonly features?: Readonly<Record<string, unknown>>
        readonly scores?: Readonly<Record<string, unknown>>
        readonly segments?: Readonly<Record<string, unknown>>
        readonly attributes?: unknown
      }
    | null
    | undefined
}

export interface ReadRows {
  readonly rows: SourceRows
  /** Rows that a source could not take, with the column; the run itself knows only the source. */
  readonly failures: readonly (Failure | undefined)[]
}

/** Reads questions for a program. Never throws for what is in them. */
export function readQuestions(program: Program, questions: readonly Question[]): ReadRows {
  const { numberColumns, textColumns, sourceNodes } = program
  const rows = questions.length
  const numbers = new Float64Array(rows * numberColumns).fill(Number.NaN)
  const texts = new Array<string | null>(rows * textColumns).fill(null)
  const failures = new Array<Failure | undefined>(rows)
  let unfit: Uint8Array | undefined
  for (const column of program.sources) {
    const read = readerOf(column.origin)
    const source = sourceNodes.indexOf(column.node)
    for (const [row, question] of questions.entries()) {
      const value = read(question) ?? null
      const made = value === null || Number.isNaN(value) ? null : jsonValue(value, column.dtype)
      if (made === undefined) {
        failures[row] ??= { node: column.node, column: column.name }
        unfit ??= new Uint8Array(rows * sourceNodes.length)
        unfit[row * sourceNodes.length + source] = 1
      } else if (made !== null) {
        if (column.dtype === 'string') texts[row * textColumns + column.slot] = made as string
        else numbers[row * numberColumns + column.slot] = made as number
      }
    }
  }
  return { rows: { rows, numbers, numberColumns, texts, textColumns, unfit }, failures }
}

/** Reads one value of a question. @throws ExpressionError for a path that is none */
export function readerOf(origin: Origin): (question: Question) => unknown {
  switch (origin.kind) {
    case 'record':
      return ({ record }) => own(record, origin.name)
    case 'event': {
      const read = pathReader(origin.path, origin.reduce)
      return ({ event }) => read(event)
    }
    case 'attribute': {
      const read = pathReader(origin.name, undefined)
      return ({ profile }) => read(profile?.attributes)
    }
    case 'feature':
      return ({ profile }) => own(profile?.features, origin.name)
    case 'score':
      return ({ profile }) => own(profile?.scores, origin.name)
    case 'segment':
      return ({ profile }) => isIn(own(profile?.segments, origin.name))
  }
}

/** Realized or not. `existing` continues a membership. */
const isIn = (value: unknown): boolean => value === true || value === 1 || value === 'realized' || value === 'existing'

function own(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
}

/** Reads a path such as `commerce.order.priceTotal` or `productListItems[*].quantity` with a reduction. @throws ExpressionError for what is no path */
export function pathReader(path: string, reduce: Reduce | undefined): (root: unknown) => unknown {
  const steps = parseFieldPath(path)
  return (root) => {
    let values: unknown[] = [root]
    for (const step of steps) values = values.flatMap((it) => next(it, step))
    if (reduce === undefined) return values[0]
    return reduced(
      values.filter((it) => it !== null && it !== undefined),
      reduce,
    )
  }
}

function next(value: unknown, step: Step): unknown[] {
  if (step.kind === 'name') return [own(value, step.name)]
  if (!Array.isArray(value)) return step.kind === 'each' ? [] : [undefined]
  return step.kind === 'each' ? value : [value[step.index]]
}

function reduced(values: readonly unknown[], reduce: Reduce): unknown {
  if (reduce === 'count') return values.length
  if (reduce === 'first') return values[0]
  if (reduce === 'last') return values.at(-1)
  const numbers = values.filter((it) => typeof it === 'number')
  if (numbers.length === 0) return undefined
  const sum = numbers.reduce((total, it) => total + it, 0)
  switch (reduce) {
    case 'sum':
      return sum
    case 'mean':
      return sum / numbers.length
    case 'min':
      return numbers.reduce((least, it) => Math.min(least, it))
    case 'max':
      return numbers.reduce((most, it) => Math.max(most, it))
  }
}
