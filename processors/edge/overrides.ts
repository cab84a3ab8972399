import type { Application } from '../app/schema.ts'
import { didYouMean } from '../app/suggest.ts'
import { encodedCode } from '../features/encoding.ts'
import type { Column, FeatureSet, Vector } from '../features/types.ts'

type Scalar = number | string | boolean | null
export type FeatureValues = Readonly<Record<string, Scalar | readonly Scalar[]>>

type Encode = Parameters<typeof encodedCode>[0]

export type Overrides =
  | { readonly ok: true; readonly apply: (vector: Vector) => void }
  | { readonly ok: false; readonly errors: readonly string[] }

/**
 * Features that a caller gives, by feature or by column. Texts are encoded as the kernel encodes them; null is missing;
 * a feature of several values takes a list.
 * @returns all that is wrong, not only the first
 */
export function compileOverrides(
  values: FeatureValues,
  { features }: Pick<Application, 'features'>,
  featureSet: FeatureSet,
): Overrides {
  const errors: string[] = []
  const writes: ((vector: Vector) => void)[] = []
  for (const [name, value] of Object.entries(values)) {
    const columns = featureSet.resolve(name)
    if (!columns) {
      errors.push(`features.${name}: there is no such feature.${didYouMean(name, Object.keys(features))}`)
      continue
    }
    const definition = features[(columns[0] as Column).feature]
    const encode = definition && 'encode' in definition && name in features ? definition.encode : undefined
    const write = writeOf(columns, value, encode)
    if (typeof write === 'string') errors.push(`features.${name}: ${write}`)
    else writes.push(write)
  }
  if (errors.length > 0) return { ok: false, errors }
  return { ok: true, apply: (vector) => writes.forEach((write) => void write(vector)) }
}

function writeOf(
  columns: readonly Column[],
  value: Scalar | readonly Scalar[],
  encode: Encode | undefined,
): ((vector: Vector) => void) | string {
  const width = encode && 'onehot' in encode ? encode.onehot.length : 1
  const slots = columns.length / width
  const values = Array.isArray(value) ? (value as readonly Scalar[]) : [value as Scalar]
  if (values.length > slots)
    return `it has ${slots} value${slots === 1 ? '' : 's'}, the request gives ${values.length}.`
  const cells: { column: Column; cell: number | string }[] = []
  for (const [slot, one] of values.entries()) {
    const written = cellsOf(columns.slice(slot * width, (slot + 1) * width), one, encode)
    if (typeof written === 'string') return written
    cells.push(...written)
  }
  return (vector) => {
    for (const { column, cell } of cells) {
      if (column.type === 'float') vector.floats[column.index] = cell as number
      else vector.strings[column.index] = cell as string
    }
  }
}

function cellsOf(
  columns: readonly Column[],
  value: Scalar,
  encode: Encode | undefined,
): { column: Column; cell: number | string }[] | string {
  const first = columns[0] as Column
  if (first.type === 'string') return [{ column: first, cell: value === null ? '' : String(value) }]
  if (encode && 'onehot' in encode) {
    if (value !== null && typeof value !== 'string') return 'expected a text.'
    const at = value === null ? 0 : encodedCode(encode, value)
    return columns.map((column, index) => ({ column, cell: index + 1 === at ? 1 : 0 }))
  }
  if (typeof value !== 'string') return [{ column: first, cell: value === null ? Number.NaN : Number(value) }]
  return encode
    ? [{ column: first, cell: encodedCode(encode, value) }]
    : `expected a number, got ${JSON.stringify(value.slice(0, 64))}.`
}
