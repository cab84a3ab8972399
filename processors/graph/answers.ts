/** A graph's tensors → one answer a row, in JSON. */
import type { Tensor } from '../scorer/types.ts'
import type { Dtype } from './frame.ts'
import type { Program } from './program.ts'
import type { Failure } from './step.ts'
import { columnTensor, FAILED, FAILURES, failureOf, KEPT, STATE, TRACE, writtenKept, writtenTensor } from './wire.ts'

export type JsonValue = number | string | boolean | null
export type JsonRow = Readonly<Record<string, JsonValue>>

/** What a sink writes; null writes nothing. */
export type Values = Readonly<Record<string, number | string | boolean>>

export interface Answer {
  /** Null: the row was filtered, or has failed. */
  readonly output: JsonRow | null
  readonly failed: Failure | undefined
  readonly scores: Readonly<Record<string, number>>
  readonly attributes: Values
  /** Nested, as XDM is. */
  readonly xdm: Readonly<Record<string, unknown>>
  /** The same by path. */
  readonly paths: Values
}

/** @param known failures that the reading of the questions found: it knows the column */
export function answersOf(
  program: Program,
  tensors: Readonly<Record<string, Tensor>>,
  rows: number,
  known: readonly (Failure | undefined)[] = [],
): Answer[] {
  const state = tensors[STATE]?.data
  const failures = tensors[FAILURES]?.data
  return Array.from({ length: rows }, (_, row): Answer => {
    const written = writtenAt(program, tensors, row)
    return {
      output: state?.[row] === KEPT ? outputAt(program, tensors, row) : null,
      failed: state?.[row] === FAILED ? (known[row] ?? failureOf(failures?.[row])) : undefined,
      ...written,
    }
  })
}

function outputAt({ output }: Program, tensors: Readonly<Record<string, Tensor>>, row: number): JsonRow {
  return Object.fromEntries(
    [...output].map(([name, dtype]) => [name, valueAt(tensors[columnTensor(name)], dtype, row)]),
  )
}

function writtenAt(
  { written }: Program,
  tensors: Readonly<Record<string, Tensor>>,
  row: number,
): Pick<Answer, 'scores' | 'attributes' | 'xdm' | 'paths'> {
  const made = { score: {}, attribute: {}, xdm: {} } as Record<
    'score' | 'attribute' | 'xdm',
    Record<string, number | string | boolean>
  >
  for (const [index, { kind, name, dtype }] of written.entries()) {
    const kept = tensors[writtenKept(index)]
    if (kept && kept.data[row] !== 1) continue
    const value = valueAt(tensors[writtenTensor(index)], dtype, row)
    if (value !== null) made[kind][name] = value
  }
  return {
    scores: made.score as Record<string, number>,
    attributes: made.attribute,
    xdm: nested(made.xdm),
    paths: made.xdm,
  }
}

/** `{ 'a.b': 1 }` → `{ a: { b: 1 } }`. */
function nested(paths: Values): Record<string, unknown> {
  const root: Record<string, unknown> = {}
  for (const [path, value] of Object.entries(paths)) {
    const names = path.split('.')
    let at = root
    for (const name of names.slice(0, -1)) {
      if (!Object.hasOwn(at, name)) Object.defineProperty(at, name, { ...OWN, value: {} })
      at = at[name] as Record<string, unknown>
    }
    Object.defineProperty(at, names.at(-1) as string, { ...OWN, value })
  }
  return root
}

/** Defined, not assigned: a path may be called `__proto__`. */
const OWN = { configurable: true, enumerable: true, writable: true }

/** What a node made for a row: undefined when the row did not reach it. The run must have been asked for its trace. */
export function traceAt(
  tensors: Readonly<Record<string, Tensor>>,
  node: string,
  row: number,
): ((column: string) => JsonValue | undefined) | undefined {
  if (tensors[`${TRACE}:${node}`]?.data[row] !== 1) return undefined
  return (column) => {
    const tensor = tensors[`${TRACE}:${node}:${column}`]
    return tensor && valueAt(tensor, tensor.type === 'string' ? 'string' : 'float64', row)
  }
}

/** As JSON has it: NaN is null, infinities are texts. */
function valueAt(tensor: Tensor | undefined, dtype: Dtype, row: number): JsonValue {
  const value = tensor?.data[row] ?? null
  if (value === null || typeof value === 'string') return value
  const number = Number(value)
  if (dtype === 'bool') return number === 1
  if (Number.isNaN(number)) return null
  return Number.isFinite(number) ? number : number > 0 ? 'Infinity' : '-Infinity'
}
