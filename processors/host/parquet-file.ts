import { type ByteWriter, fileWriter, ParquetWriter } from 'hyparquet-writer'
import type { Cell, CellType, ExportColumn } from './export-rows.ts'

/** Rows of one row group: what is in memory at a time. */
const GROUP_ROWS = 20_000

/** Physical and logical types, as readers of Arrow take them for the columns of `samples`. */
const PARQUET = {
  text: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
  float: { type: 'FLOAT' },
  double: { type: 'DOUBLE' },
  integer: { type: 'INT64' },
  time: { type: 'INT64', logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' } },
  flag: { type: 'BOOLEAN' },
} as const satisfies Record<CellType, object>

/** Writes rows to a Parquet file, a row group at a time. @returns how many */
export async function writeParquet(
  file: string,
  columns: readonly ExportColumn[],
  rows: AsyncIterable<readonly Cell[]>,
  note: Readonly<Record<string, string>>,
): Promise<number> {
  const writer = new ParquetWriter({
    writer: fileWriter(file) as ByteWriter,
    schema: [
      { name: 'root', num_children: columns.length },
      ...columns.map(({ name, type }) => ({ name, repetition_type: 'OPTIONAL' as const, ...PARQUET[type] })),
    ],
    // NaN has no place in minimum and maximum, and readers differ in what they make of it.
    statistics: false,
    kvMetadata: Object.entries(note).map(([key, value]) => ({ key, value })),
    createdBy: 'rtml',
  })
  let group: Cell[][] = columns.map(() => [])
  let count = 0
  const flush = async () => {
    await writer.write({
      columnData: columns.map(({ name, type }, at) => ({
        name,
        data: group[at]!.map((cell) => parquetCell(type, cell)),
      })),
      rowGroupSize: GROUP_ROWS,
    })
    group = columns.map(() => [])
  }
  for await (const row of rows) {
    for (let at = 0; at < columns.length; at++) group[at]!.push(row[at]!)
    count++
    if (count % GROUP_ROWS === 0) await flush()
  }
  if (group[0] && (group[0].length > 0 || count === 0)) await flush()
  await writer.finish()
  return count
}

function parquetCell(type: CellType, cell: Cell): unknown {
  if (cell === null) return undefined
  return type === 'integer' || type === 'time' ? BigInt(cell as number) : cell
}
