import { describe, expect, it } from 'vitest'
import { OnnxGraph } from '../../../processors/onnx/graph.ts'
import { createModelPool } from '../../../processors/scorer/pool.ts'
import { replayBundle } from '../../../processors/scorer/replay-bundle.ts'
import { bundle, graph, sha256 } from './support.ts'

/** sum of two columns, plus a bias. */
function sumModel(bias: number): Uint8Array {
  const onnx = new OnnxGraph()
  const x = onnx.input('x', 'float32', 2)
  const weights = onnx.constant([1, 1], [2, 1], 'float32')
  const sum = onnx.node('MatMul', [x, weights])
  onnx.output(onnx.node('Add', [sum, onnx.constant([bias], [1], 'float32')]), 'y', 'float32', 1)
  return onnx.bytes('sum')
}

const MODULE = 'export default (c, rows) => ({ twice: c.s.map((v) => v * 2) })'

const whole = (expected: number) => {
  const model = sumModel(1)
  return bundle({
    graph: graph(
      [
        {
          id: 'in',
          op: 'input',
          params: {
            columns: [
              { name: 'a', type: 'float64' },
              { name: 'device', type: 'string' },
            ],
          },
        },
        { id: 'fill', op: 'fill', params: { values: { a: 2 } } },
        { id: 'big', op: 'filter', params: { where: { fn: 'gt', args: [{ col: 'a' }, { lit: 0 }] } } },
        { id: 'hot', op: 'onehot', params: { column: 'device', categories: ['phone'], names: ['phone'] } },
        {
          id: 'model',
          op: 'onnx',
          params: {
            model: sha256(model),
            inputs: [{ name: 'x', columns: ['a', 'phone'] }],
            outputs: [{ as: 's', output: 'y', type: 'float32' }],
          },
        },
        {
          id: 'own',
          op: 'custom',
          params: {
            module: sha256(MODULE),
            inputs: ['s'],
            outputs: [{ name: 'twice', type: 'float64' }],
            timeoutMs: 1000,
          },
        },
      ],
      { node: 'own', columns: ['twice'] },
    ),
    models: [model],
    modules: [MODULE],
    questions: [
      { record: { a: 1, device: 'phone' } },
      { record: { a: -1 } },
      { record: { device: 'x' } },
      { record: { a: 'no' } },
    ],
    expected: [
      { output: { twice: 6 }, nodes: { model: { s: 3 } } },
      { output: null },
      { output: { twice: expected }, nodes: { fill: { a: 2 }, model: { s: 3 } } },
      { output: null, failed: { node: 'in', column: 'a' } },
    ],
  })
}

describe('a bundle in the pool', () => {
  it('answers its own tests', async () => {
    await using pool = await createModelPool()
    expect(await replayBundle(whole(6), pool)).toEqual({ rows: 4, difference: undefined, problems: [], largest: 0 })
  })

  it('names the first row and node that differ', async () => {
    await using pool = await createModelPool()
    const { difference } = await replayBundle(whole(6.1), pool)
    expect(difference).toEqual({ line: 3, node: 'own', column: 'twice', expected: 6.1, got: 6 })
  })
})
