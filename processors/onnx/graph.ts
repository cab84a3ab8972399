/**
 * Writes small ONNX models: what a learner needs to leave the program and be scored like any other model.
 * Field numbers: github.com/onnx/onnx onnx/onnx.proto. Operators are those of opset 17 and IR version 8, which every
 * runtime since 2022 reads.
 */
import { concat, writeBytes, writeVarint } from './proto.ts'

const IR_VERSION = 8
const OPSET = 17
const ML_OPSET = 3
const ML_DOMAIN = 'ai.onnx.ml'

const MODEL = { irVersion: 1, producer: 2, graph: 7, opset: 8 } as const
const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12 } as const
const NODE = { input: 1, output: 2, op: 4, attribute: 5, domain: 7 } as const
const ATTRIBUTE = { name: 1, float: 2, int: 3, text: 4, floats: 7, ints: 8, texts: 9, type: 20 } as const
const KIND = { float: 1, int: 2, text: 3, floats: 6, ints: 7, texts: 8 } as const
const TENSOR = { dims: 1, type: 2, name: 8, raw: 9 } as const
const ELEMENT = { float32: 1, int64: 7, float64: 11 } as const

export type Element = keyof typeof ELEMENT

/** Values of a node's attribute; `floats` and `ints` are lists. */
export type Attribute =
  | { readonly ints: readonly number[] }
  | { readonly floats: readonly number[] }
  | { readonly texts: readonly string[] }
  | { readonly int: number }
  | { readonly text: string }

/** A graph under construction. Names of values are made here, so that parts can be appended without clashes. */
export class OnnxGraph {
  readonly #nodes: Uint8Array[] = []
  readonly #initializers: Uint8Array[] = []
  readonly #inputs: Uint8Array[] = []
  readonly #outputs: Uint8Array[] = []
  #names = 0
  #usesMl = false

  /** @param width columns; rows are free */
  input(name: string, element: Element, width: number): string {
    this.#inputs.push(valueInfo(name, element, width))
    return name
  }

  /** Names a value as an output of the model. */
  output(value: string, name: string, element: Element, width: number): void {
    this.#nodes.push(nodeBytes('Identity', [value], [name], {}, ''))
    this.#outputs.push(valueInfo(name, element, width))
  }

  /** A constant of the graph. @param dims empty for a scalar */
  constant(values: Float64Array | readonly number[], dims: readonly number[], element: Element = 'float64'): string {
    const name = this.#name('c')
    this.#initializers.push(tensor(name, values, dims, element))
    return name
  }

  /** One node with one output. @returns the name of its output */
  node(op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    return this.nodes(op, inputs, 1, attributes)[0]!
  }

  /** One node of ai.onnx, or of ai.onnx.ml when `domain` says so. */
  nodes(
    op: string,
    inputs: readonly string[],
    outputs: number,
    attributes: Readonly<Record<string, Attribute>> = {},
    domain: '' | typeof ML_DOMAIN = '',
  ): string[] {
    if (domain !== '') this.#usesMl = true
    const names = Array.from({ length: outputs }, () => this.#name('v'))
    this.#nodes.push(nodeBytes(op, inputs, names, attributes, domain))
    return names
  }

  cast(value: string, to: Element): string {
    return this.node('Cast', [value], { to: { int: ELEMENT[to] } })
  }

  /** The model file. */
  bytes(name: string): Uint8Array {
    const graph = concat([
      ...this.#nodes.map((it) => writeBytes(GRAPH.node, it)),
      writeBytes(GRAPH.name, name),
      ...this.#initializers.map((it) => writeBytes(GRAPH.initializer, it)),
      ...this.#inputs.map((it) => writeBytes(GRAPH.input, it)),
      ...this.#outputs.map((it) => writeBytes(GRAPH.output, it)),
    ])
    const opset = (domain: string, version: number) =>
      writeBytes(MODEL.opset, concat([writeBytes(1, domain), writeVarint(2, version)]))
    return concat([
      writeVarint(MODEL.irVersion, IR_VERSION),
      writeBytes(MODEL.producer, 'rtml'),
      writeBytes(MODEL.graph, graph),
      opset('', OPSET),
      ...(this.#usesMl ? [opset(ML_DOMAIN, ML_OPSET)] : []),
    ])
  }

  #name(prefix: string): string {
    return `${prefix}${this.#names++}`
  }
}

function nodeBytes(
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, Attribute>>,
  domain: string,
): Uint8Array {
  return concat([
    ...inputs.map((it) => writeBytes(NODE.input, it)),
    ...outputs.map((it) => writeBytes(NODE.output, it)),
    writeBytes(NODE.op, op),
    ...Object.entries(attributes).map(([name, value]) => writeBytes(NODE.attribute, attributeBytes(name, value))),
    ...(domain === '' ? [] : [writeBytes(NODE.domain, domain)]),
  ])
}

function attributeBytes(name: string, value: Attribute): Uint8Array {
  const parts = [writeBytes(ATTRIBUTE.name, name)]
  const kind = (number: number) => parts.push(writeVarint(ATTRIBUTE.type, number))
  if ('int' in value) {
    parts.push(writeVarint(ATTRIBUTE.int, value.int))
    kind(KIND.int)
  } else if ('text' in value) {
    parts.push(writeBytes(ATTRIBUTE.text, value.text))
    kind(KIND.text)
  } else if ('ints' in value) {
    for (const it of value.ints) parts.push(writeVarint(ATTRIBUTE.ints, it))
    kind(KIND.ints)
  } else if ('texts' in value) {
    for (const it of value.texts) parts.push(writeBytes(ATTRIBUTE.texts, it))
    kind(KIND.texts)
  } else {
    // Packed repeated float: parsers take it for a field that is declared unpacked, too.
    const packed = new Uint8Array(value.floats.length * 4)
    const view = new DataView(packed.buffer)
    for (const [index, it] of value.floats.entries()) view.setFloat32(index * 4, it, true)
    parts.push(writeBytes(ATTRIBUTE.floats, packed))
    kind(KIND.floats)
  }
  return concat(parts)
}

function tensor(
  name: string,
  values: Float64Array | readonly number[],
  dims: readonly number[],
  element: Element,
): Uint8Array {
  const size = element === 'float32' ? 4 : 8
  const raw = new Uint8Array(values.length * size)
  const view = new DataView(raw.buffer)
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    if (element === 'float32') view.setFloat32(i * 4, value, true)
    else if (element === 'float64') view.setFloat64(i * 8, value, true)
    else view.setBigInt64(i * 8, BigInt(value), true)
  }
  return concat([
    ...dims.map((it) => writeVarint(TENSOR.dims, it)),
    writeVarint(TENSOR.type, ELEMENT[element]),
    writeBytes(TENSOR.name, name),
    writeBytes(TENSOR.raw, raw),
  ])
}

function valueInfo(name: string, element: Element, width: number): Uint8Array {
  const dims = [writeBytes(1, writeBytes(2, 'n')), writeBytes(1, writeVarint(1, width))]
  const type = writeBytes(1, concat([writeVarint(1, ELEMENT[element]), writeBytes(2, concat(dims))]))
  return concat([writeBytes(1, name), writeBytes(2, type)])
}
