import { InferenceSession, Tensor } from 'onnxruntime-node'

/** Runs an exported learner on rows. @returns one list a row */
export async function runOnnx(model: Uint8Array, rows: readonly Float32Array[]): Promise<number[][]> {
  const width = rows[0]!.length
  const flat = new Float32Array(rows.length * width)
  for (const [i, row] of rows.entries()) flat.set(row, i * width)
  const session = await InferenceSession.create(model, { intraOpNumThreads: 1 })
  try {
    const [name] = session.outputNames
    const { [name!]: output } = await session.run({ features: new Tensor('float32', flat, [rows.length, width]) })
    const data = output!.data as Float32Array
    const columns = data.length / rows.length
    return rows.map((_, i) => Array.from(data.subarray(i * columns, (i + 1) * columns)))
  } finally {
    await session.release()
  }
}

/** Greatest difference, relative to values above 1. */
export function farthest(a: readonly number[], b: ArrayLike<number>): number {
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!) / Math.max(1, Math.abs(b[i]!))))
}
