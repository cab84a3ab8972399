/**
 * A graph beside the model in it: microseconds a row through the pool, micro-batches of 256.
 *
 *   node test/bench/graphs.ts [--json]
 */
import { readFileSync } from 'node:fs'
import { createModelPool } from '../../processors/scorer/index.ts'
import type { ModelPool, Tensor } from '../../processors/scorer/types.ts'
import { bundle, graph, sha256 } from '../unit/graph/support.ts'

const ROWS = 256
const RUNS = 300

const model = readFileSync(new URL('../../models/bench/trees100x6.onnx', import.meta.url))

await using pool = await createModelPool()
const { signature } = await pool.load('single', model, { warmRows: ROWS })
const [input] = signature.inputs
const width = input?.dims?.[1] ?? 0
const output = signature.outputs.find(({ name }) => /prob/i.test(name)) ?? signature.outputs.at(-1)!
const names = Array.from({ length: width }, (_, i) => `f${i}`)
const col = (name: string) => ({ col: name })
const lit = (value: number) => ({ lit: value })
const fn = (name: string, ...args: unknown[]) => ({ fn: name, args })

const columns = names.map((name) => ({ name, type: 'float32' }))
const onnx = {
  id: 'model',
  op: 'onnx',
  params: {
    model: sha256(model),
    inputs: [{ name: input!.name, columns: names }],
    outputs: [{ as: 'p', output: output.name, index: 0, type: 'float32' }],
  },
}
const wrapped = graph([{ id: 'in', op: 'input', params: { columns } }, onnx], { node: 'model', columns: ['p'] })
const eight = graph(
  [
    { id: 'in', op: 'input', params: { columns } },
    { id: 'fill', op: 'fill', params: { values: { f0: 0, f1: 0 } } },
    { id: 'log', op: 'compute', params: { as: 'l', expr: fn('log1p', fn('abs', col('f0'))) } },
    { id: 'bin', op: 'bin', params: { column: 'f1', as: 'b', edges: [-1e9, 0, 1, 1e9], labels: ['a', 'b', 'c'] } },
    { id: 'hot', op: 'onehot', params: { column: 'b', categories: ['a', 'b', 'c'], names: ['b_a', 'b_b', 'b_c'] } },
    { id: 'some', op: 'filter', params: { where: fn('gt', col('f0'), lit(-1e6)) } },
    onnx,
    {
      id: 'mix',
      op: 'compute',
      params: { as: 's', expr: fn('clip', fn('add', col('p'), fn('mul', lit(0.01), col('b_a'))), lit(0), lit(1)) },
    },
  ],
  { node: 'mix', columns: ['s'] },
)
await pool.load('wrapped', bundle({ graph: wrapped, models: [model] }), { warmRows: ROWS })
await pool.load('eight', bundle({ graph: eight, models: [model] }), { warmRows: ROWS })

const floats = () => Float32Array.from({ length: ROWS * width }, (_, i) => Math.sin(i) * 3)

/** The median of the runs' time a row. */
async function usPerRow(key: string, name: string, fetches: readonly string[], from: ModelPool): Promise<number> {
  const times: number[] = []
  for (let run = 0; run < RUNS; run++) {
    const inputs: Record<string, Tensor> = { [name]: { type: 'float32', dims: [ROWS, width], data: floats() } }
    const start = performance.now()
    await from.run(key, inputs, fetches)
    times.push(performance.now() - start)
  }
  times.sort((a, b) => a - b)
  return ((times[RUNS >> 1] as number) * 1_000) / ROWS
}

const results = [
  { name: 'one ONNX model', microseconds: await usPerRow('single', input!.name, [output.name], pool) },
  { name: 'graph of 2 nodes: the model alone', microseconds: await usPerRow('wrapped', 'numbers', ['column:p'], pool) },
  { name: 'graph of 8 nodes around the model', microseconds: await usPerRow('eight', 'numbers', ['column:s'], pool) },
]
if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(results)}\n`)
else {
  const base = results[0]!.microseconds
  for (const { name, microseconds } of results)
    process.stdout.write(
      `${microseconds.toFixed(3).padStart(8)} µs/row  ${(microseconds / base).toFixed(2)} ×  ${name}\n`,
    )
}
