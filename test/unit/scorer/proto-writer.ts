/** Tiny ONNX files for tests, written with the scorer's own wire writer. */
import { concat, writeBytes, writeVarint } from '../../../processors/onnx/proto.ts'

const tensorType = (element: number, dims: readonly (number | string)[]): Uint8Array => {
  const shape = dims.map((it) => writeBytes(1, typeof it === 'number' ? writeVarint(1, it) : writeBytes(2, it)))
  return writeBytes(1, concat([writeVarint(1, element), writeBytes(2, concat(shape))]))
}

export const value = (name: string, element: number, dims: readonly (number | string)[]): Uint8Array =>
  concat([writeBytes(1, name), writeBytes(2, tensorType(element, dims))])

export const sequenceValue = (name: string, element: number): Uint8Array =>
  concat([writeBytes(1, name), writeBytes(2, writeBytes(4, writeBytes(1, tensorType(element, ['n']))))])

export const node = (op: string, inputs: readonly string[], outputs: readonly string[], domain = ''): Uint8Array =>
  concat([
    ...inputs.map((it) => writeBytes(1, it)),
    ...outputs.map((it) => writeBytes(2, it)),
    writeBytes(4, op),
    ...(domain ? [writeBytes(7, domain)] : []),
  ])

/** Cast of a tensor to another element type. */
export const cast = (input: string, output: string, element: number): Uint8Array => {
  const attribute = concat([writeBytes(1, 'to'), writeVarint(3, element), writeVarint(20, 2)])
  return concat([node('Cast', [input], [output]), writeBytes(5, attribute)])
}

export interface ModelSpec {
  readonly nodes: readonly Uint8Array[]
  readonly inputs: readonly Uint8Array[]
  readonly outputs: readonly Uint8Array[]
  readonly irVersion?: number
  readonly opset?: number
  /** Bytes of a text in the graph that nobody reads: makes a file as large as a test wants. */
  readonly padding?: Uint8Array
}

export function onnx({ nodes, inputs, outputs, irVersion = 8, opset = 17, padding }: ModelSpec): Uint8Array {
  const graph = concat([
    ...nodes.map((it) => writeBytes(1, it)),
    writeBytes(2, 'test'),
    ...(padding ? [writeBytes(10, padding)] : []),
    ...inputs.map((it) => writeBytes(11, it)),
    ...outputs.map((it) => writeBytes(12, it)),
  ])
  return concat([writeVarint(1, irVersion), writeBytes(7, graph), writeBytes(8, writeVarint(2, opset))])
}

const FLOAT32 = 1
export const FLOAT16 = 10
export const INT4 = 22

/** y = x, float32[n, 1] unless told otherwise. */
export const identityModel = (
  over: Partial<ModelSpec> & { element?: number; dims?: readonly (number | string)[] } = {},
): Uint8Array => {
  const { element = FLOAT32, dims = ['n', 1], ...spec } = over
  return onnx({
    nodes: [node('Identity', ['x'], ['y'])],
    inputs: [value('x', element, dims)],
    outputs: [value('y', element, dims)],
    ...spec,
  })
}
