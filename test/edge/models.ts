import { concat, writeBytes, writeVarint } from '../../processors/onnx/proto.ts'
import { node, onnx, value } from '../unit/scorer/proto-writer.ts'

const FLOAT32 = 1
const INTS = 7

/** y = mean of the four inputs of a row: a score that a test can compute. */
export function classifier(output = 'y'): Uint8Array {
  const axes = concat([writeBytes(1, 'axes'), writeVarint(8, 1), writeVarint(20, INTS)])
  return onnx({
    nodes: [concat([node('ReduceMean', ['x'], [output]), writeBytes(5, axes)])],
    inputs: [value('x', FLOAT32, ['n', 4])],
    outputs: [value(output, FLOAT32, ['n', 1])],
  })
}
