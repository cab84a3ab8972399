/** A columnar micro-batch: what flows along the edges of a graph (docs/graph-format.md). */

export const DTYPES = ['float32', 'float64', 'int64', 'bool', 'string'] as const
export type Dtype = (typeof DTYPES)[number]
export type NumberDtype = Exclude<Dtype, 'string'>

/**
 * Numbers of every kind lie in a Float64Array, so that each kernel exists once: whole numbers are exact up to 2^53, booleans
 * are 0 and 1, values of float32 are rounded to it. NaN is null; int64 and bool never have it.
 */
export interface NumberColumn {
  readonly dtype: NumberDtype
  readonly data: Float64Array
}

export interface TextColumn {
  readonly dtype: 'string'
  readonly data: readonly (string | null)[]
}

export type Column = NumberColumn | TextColumn

/** Names and types of a frame's columns, in order. */
export type Schema = ReadonlyMap<string, Dtype>

/**
 * Every frame of a run has a row for each question, in the same order, so branches join without a key and answers find their
 * question. A row that a filter or a failure took out is only marked: what its columns hold means nothing.
 */
export interface Frame {
  readonly rows: number
  readonly columns: ReadonlyMap<string, Column>
  /** 1: the row is there. Absent: all are. */
  readonly kept: Uint8Array | undefined
}

export const isFloat = (dtype: Dtype): boolean => dtype === 'float32' || dtype === 'float64'

/** int64 and bool have no null. */
export const hasNull = (dtype: Dtype): boolean => dtype !== 'int64' && dtype !== 'bool'

/** The column of a name that the check has found. */
export function columnOf(frame: Frame, name: string): Column {
  const column = frame.columns.get(name)
  if (!column) throw new Error(`column ${JSON.stringify(name)} was checked to be there`)
  return column
}

export function numbersOf(frame: Frame, name: string): Float64Array {
  const column = columnOf(frame, name)
  if (column.dtype === 'string') throw new Error(`column ${JSON.stringify(name)} was checked to be a number`)
  return column.data
}

/** The same frame with other or more columns: those that exist keep their place. */
export function withColumns(frame: Frame, columns: Iterable<readonly [string, Column]>): Frame {
  const next = new Map(frame.columns)
  for (const [name, column] of columns) next.set(name, column)
  return { ...frame, columns: next }
}

/** Numbers of the rows that are there; undefined: all. */
export function keptRows({ rows, kept }: Pick<Frame, 'rows' | 'kept'>): Int32Array | undefined {
  if (!kept) return undefined
  const found = new Int32Array(rows)
  let count = 0
  for (let row = 0; row < rows; row++) if (kept[row] === 1) found[count++] = row
  return count === rows ? undefined : found.subarray(0, count)
}

/** Rows that are there in both. */
export function both(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (!a || !b) return a ?? b
  return a.map((it, row) => it & (b[row] as number))
}

/** Rows that are there in either. */
export function either(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (!a || !b) return undefined
  return a.map((it, row) => it | (b[row] as number))
}

/** The given rows of a column, in the given order. */
export function gather(column: Column, rows: Int32Array): Column {
  if (column.dtype === 'string') return { dtype: 'string', data: Array.from(rows, (row) => column.data[row] ?? null) }
  const data = new Float64Array(rows.length)
  for (let at = 0; at < rows.length; at++) data[at] = column.data[rows[at] as number] as number
  return { dtype: column.dtype, data }
}

/** The inverse of `gather`: the other rows hold 0 or null. */
export function scatter(column: Column, rows: Int32Array, total: number): Column {
  if (column.dtype === 'string') {
    const data = new Array<string | null>(total).fill(null)
    for (let at = 0; at < rows.length; at++) data[rows[at] as number] = column.data[at] ?? null
    return { dtype: 'string', data }
  }
  const data = new Float64Array(total)
  for (let at = 0; at < rows.length; at++) data[rows[at] as number] = column.data[at] as number
  return { dtype: column.dtype, data }
}
