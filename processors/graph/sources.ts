/** What a graph reads: which numbers and texts a row must bring, and the frames that its sources make of them. */
import type { NodeOf } from './format.ts'
import { type Column, type Dtype, type Frame, hasNull } from './frame.ts'
import { valueAs } from './ops/columns.ts'
import { refuse } from './problem.ts'
import { at, type Failure } from './step.ts'

type SourceNode = NodeOf<'input'> | NodeOf<'event'> | NodeOf<'profile'>
export type Reduce = NonNullable<NodeOf<'event'>['params']['columns'][number]['reduce']>

/** Where a source's value comes from. */
export type Origin =
  /** A column of the request's record; on the stream a feature of the same name. */
  | { readonly kind: 'record'; readonly name: string }
  | { readonly kind: 'event'; readonly path: string; readonly reduce: Reduce | undefined }
  | { readonly kind: 'feature' | 'score' | 'segment' | 'attribute'; readonly name: string }

export interface SourceColumn {
  readonly node: string
  readonly name: string
  readonly dtype: Dtype
  readonly default: number | string | undefined
  readonly origin: Origin
  /** Column of the row's numbers, or of its texts when the type is string. */
  readonly slot: number
}

/** Columns of all sources, in the order of the nodes: numbers and texts count apart. */
export function sourceColumns(nodes: readonly SourceNode[]): SourceColumn[] {
  let [numbers, texts] = [0, 0]
  return nodes.flatMap((node) => {
    const names = new Set<string>()
    return node.params.columns.map((column): SourceColumn => {
      const { name, type } = column
      if (names.has(name)) refuse(at(node), `column ${JSON.stringify(name)} stands twice.`)
      names.add(name)
      const slot = type === 'string' ? texts++ : numbers++
      const given = column.default === undefined ? undefined : valueAs(column.default, type, name, at(node))
      return { node: node.id, name, dtype: type, default: given, origin: originOf(node, column), slot }
    })
  })
}

function originOf(node: SourceNode, column: SourceNode['params']['columns'][number]): Origin {
  if (node.op === 'input') return { kind: 'record', name: column.name }
  if ('path' in column) {
    const isList = column.path.includes('[*]')
    if (isList && column.reduce === undefined)
      refuse(
        at(node),
        `column ${JSON.stringify(column.name)} takes every element of ${column.path}. Say what to make of them: reduce: first, last, count, sum, mean, min or max.`,
      )
    return { kind: 'event', path: column.path, reduce: column.reduce }
  }
  for (const kind of ['feature', 'score', 'segment', 'attribute'] as const) {
    const name = (column as Partial<Record<typeof kind, string>>)[kind]
    if (name !== undefined) return { kind, name }
  }
  throw new Error('the format asks for one of feature, score, segment, attribute')
}

/** The rows of a run as they come to the worker, row-major. Missing: NaN, null. */
export interface SourceRows {
  readonly rows: number
  readonly numbers: Float32Array | Float64Array
  readonly numberColumns: number
  readonly texts: readonly (string | null)[]
  readonly textColumns: number
  /** A row and source a byte, row-major: 1 when a value of the row was no such value. Absent: all fit. */
  readonly unfit?: Uint8Array | undefined
}

/** The frame of one source. @param index of the node among the sources */
export function sourceFrame(
  columns: readonly SourceColumn[],
  index: number,
  sources: number,
  given: SourceRows,
  failures: (Failure | undefined)[],
): Frame {
  const { rows, unfit } = given
  let kept: Uint8Array | undefined
  const fail = (row: number, failure: Failure) => {
    kept ??= new Uint8Array(rows).fill(1)
    kept[row] = 0
    failures[row] ??= failure
  }
  const made = new Map<string, Column>()
  // One array for all of a source's numbers: an array for each column costs as much as what is written into it.
  const slab = new Float64Array(rows * columns.filter(({ dtype }) => dtype !== 'string').length)
  let taken = 0
  for (const column of columns) {
    const { name, node, dtype } = column
    if (dtype === 'string') made.set(name, textColumn(column, given))
    else {
      const data = slab.subarray(taken, taken + rows)
      taken += rows
      readNumbers(column, given, data)
      if (!hasNull(dtype))
        for (let row = 0; row < rows; row++) if (!fits(data[row] as number, dtype)) fail(row, { node, column: name })
      made.set(name, { dtype, data })
    }
  }
  if (unfit && columns[0]) {
    // The caller knows the column and says so itself; here it is only known that the row isn't usable.
    for (let row = 0; row < rows; row++)
      if (unfit[row * sources + index] === 1) fail(row, { node: columns[0].node, column: columns[0].name })
  }
  return { rows, columns: made, kept }
}

const fits = (value: number, dtype: Dtype): boolean =>
  dtype === 'bool' ? value === 0 || value === 1 : Number.isSafeInteger(value)

function readNumbers(
  { slot, dtype, default: given }: SourceColumn,
  { numbers, numberColumns, rows }: SourceRows,
  into: Float64Array,
): void {
  for (let row = 0, from = slot; row < rows; row++, from += numberColumns) into[row] = numbers[from] as number
  if (given !== undefined) for (let row = 0; row < rows; row++) if (Number.isNaN(into[row])) into[row] = given as number
  if (dtype === 'float32' && numbers instanceof Float64Array)
    for (let row = 0; row < rows; row++) into[row] = Math.fround(into[row] as number)
}

function textColumn({ slot, default: given }: SourceColumn, { texts, textColumns, rows }: SourceRows): Column {
  const data = new Array<string | null>(rows)
  for (let row = 0, from = slot; row < rows; row++, from += textColumns)
    data[row] = texts[from] ?? (given as string | undefined) ?? null
  return { dtype: 'string', data }
}
