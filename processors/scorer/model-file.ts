/** What an ONNX file says about itself, and the edit that makes its outputs readable as tensors. */
import {
  concat,
  type Field,
  integer,
  integers,
  message,
  readFields,
  text,
  textOf,
  writeBytes,
  writeVarint,
} from '../onnx/proto.ts'

/** Field numbers of onnx.proto (github.com/onnx/onnx: onnx/onnx.proto). */
const MODEL = { irVersion: 1, producer: 2, graph: 7, opset: 8 } as const
const OPSET = { domain: 1, version: 2 } as const
const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12 } as const
const NODE = { input: 1, output: 2, name: 3, op: 4, attribute: 5, domain: 7 } as const
const ATTRIBUTE = { name: 1, ints: 8, strings: 9 } as const
const VALUE = { name: 1, type: 2 } as const
const TYPE = { tensor: 1, sequence: 4, map: 5, sparse: 8, optional: 9 } as const
const TENSOR_TYPE = { elem: 1 } as const
const FLOAT = 1
/** uint4, int4, float4e2m1, uint2, int2: several elements a byte. The binding kills the process when it reads one as an output. */
const SUB_BYTE = new Set([21, 22, 23, 25, 26])
/** Identity's opset when the model imports only ai.onnx.ml: any would do, this one is in every runtime since 2020. */
const IDENTITY_OPSET = 13
/** A sequence of more parts than this is no list of outputs that anybody names by hand. */
const MAX_SEQUENCE_PARTS = 256

type ClassLabel = string | number

export interface Opset {
  /** '' is ai.onnx. */
  readonly domain: string
  readonly version: number
}

/** An output that is no tensor even after the edit, with what the owner of the model can do about it. */
export interface Opaque {
  readonly name: string
  readonly kind: 'sequence' | 'map' | 'optional' | 'sparse' | 'packed tensor'
  readonly remedy: string
}

export interface ModelOutline {
  readonly irVersion: number
  readonly opsets: readonly Opset[]
  readonly producer: string
  /** The file, or the edited file. */
  readonly bytes: Uint8Array
  /** Names of outputs whose ZipMap was taken out or whose sequence was opened. */
  readonly exposed: readonly string[]
  readonly classes: readonly ClassLabel[] | undefined
  readonly opaque: readonly Opaque[]
}

interface Node {
  readonly index: number
  readonly op: string
  readonly domain: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly fields: readonly Field[]
}

/**
 * Reads the outline of an ONNX file. A ZipMap that feeds an output becomes an Identity, so that the output of the same
 * name is the probabilities' tensor; a SequenceConstruct that feeds an output is opened into outputs `name[0]`, `name[1]`….
 * @throws ProtoError when the bytes are not a protobuf message
 */
export function outline(bytes: Uint8Array): ModelOutline {
  const model = readFields(bytes)
  const graph = message(model, MODEL.graph) ?? []
  const opsets = model.filter((it) => it.number === MODEL.opset).map(readOpset)
  const nodes = graph.flatMap((field, index) => (field.number === GRAPH.node ? [readNode(field, index)] : []))
  const edit = exposeTensors(graph, nodes)
  return {
    irVersion: Number(integer(model, MODEL.irVersion)),
    opsets,
    producer: text(model, MODEL.producer),
    bytes: edit.graph ? writeModel(model, opsets, edit.graph) : bytes,
    exposed: edit.exposed,
    classes: unanimous(edit.zipMapClasses) ?? unanimous(nodes.flatMap(classifierClasses)),
    opaque: edit.opaque,
  }
}

function readOpset(field: Field): Opset {
  const fields = readFields(field.body)
  const domain = text(fields, OPSET.domain)
  return { domain: domain === 'ai.onnx' ? '' : domain, version: Number(integer(fields, OPSET.version)) }
}

function readNode(field: Field, index: number): Node {
  const fields = readFields(field.body)
  const names = (number: number) => fields.filter((it) => it.number === number).map(textOf)
  return {
    index,
    op: text(fields, NODE.op),
    domain: text(fields, NODE.domain),
    inputs: names(NODE.input),
    outputs: names(NODE.output),
    fields,
  }
}

interface Edit {
  /** New fields of the graph; undefined: nothing to change. */
  readonly graph: Uint8Array[] | undefined
  readonly exposed: string[]
  readonly zipMapClasses: (readonly ClassLabel[])[]
  readonly opaque: Opaque[]
}

function exposeTensors(graph: readonly Field[], nodes: readonly Node[]): Edit {
  const edit = { exposed: [] as string[], zipMapClasses: [] as (readonly ClassLabel[])[], opaque: [] as Opaque[] }
  const replaced = new Map<number, Uint8Array[]>()
  const added: Uint8Array[] = []
  for (const [index, field] of graph.entries()) {
    if (field.number !== GRAPH.output) continue
    const value = readFields(field.body)
    const name = text(value, VALUE.name)
    const type = message(value, VALUE.type) ?? []
    const kind = kindOf(type)
    if (kind === 'tensor') continue
    const producer = nodes.find((it) => it.outputs.includes(name))
    const zipped = producer?.op === 'ZipMap' ? producer.inputs[0] : undefined
    const parts = producer?.op === 'SequenceConstruct' ? producer.inputs : []
    if (producer && zipped !== undefined) {
      const labels = labelsOf(producer, 'classlabels_int64s', 'classlabels_strings')
      if (labels) edit.zipMapClasses.push(labels)
      replaced.set(producer.index, [writeBytes(GRAPH.node, identity(zipped, name))])
      replaced.set(index, [writeBytes(GRAPH.output, tensorValue(name, FLOAT))])
      edit.exposed.push(name)
    } else if (parts.length > 0 && parts.length <= MAX_SEQUENCE_PARTS) {
      const element = elementType(type)
      for (const [part, input] of parts.entries())
        added.push(writeBytes(GRAPH.node, identity(input, `${name}[${part}]`)))
      replaced.set(
        index,
        parts.map((_, part) => writeBytes(GRAPH.output, tensorValue(`${name}[${part}]`, element))),
      )
      edit.exposed.push(...parts.map((_, part) => `${name}[${part}]`))
    } else {
      edit.opaque.push({ name, kind, remedy: remedyFor(kind) })
    }
  }
  if (replaced.size === 0) return { ...edit, graph: undefined }
  const fields = graph.flatMap((field, index) => replaced.get(index) ?? [field.raw])
  return { ...edit, graph: [...fields, ...added] }
}

function remedyFor(kind: Opaque['kind']): string {
  switch (kind) {
    case 'map':
    case 'sequence':
      return 'Export the classifier with options={id(model): {"zipmap": False}}, or end the graph with ConcatFromSequence.'
    case 'optional':
      return 'End the graph with OptionalGetElement, so that the output is a tensor.'
    case 'packed tensor':
      return 'Cast it to int8 or float32 inside the graph.'
    case 'sparse':
      return 'Make the output dense before it leaves the graph.'
  }
}

function kindOf(type: readonly Field[]): Opaque['kind'] | 'tensor' {
  for (const field of type) {
    if (field.number === TYPE.sequence) return 'sequence'
    if (field.number === TYPE.map) return 'map'
    if (field.number === TYPE.optional) return 'optional'
    if (field.number === TYPE.sparse) return 'sparse'
    if (field.number === TYPE.tensor && SUB_BYTE.has(Number(integer(readFields(field.body), TENSOR_TYPE.elem))))
      return 'packed tensor'
  }
  return 'tensor'
}

/** Element type of the tensors in a sequence; float when the file doesn't say. */
function elementType(type: readonly Field[]): number {
  const sequence = message(type, TYPE.sequence)
  const element = sequence && message(sequence, 1)
  const tensor = element && message(element, TYPE.tensor)
  return Number(tensor ? integer(tensor, TENSOR_TYPE.elem) : 0n) || FLOAT
}

function identity(input: string, output: string): Uint8Array {
  return concat([writeBytes(NODE.input, input), writeBytes(NODE.output, output), writeBytes(NODE.op, 'Identity')])
}

/** No shape: the runtime infers it from the graph. */
function tensorValue(name: string, element: number): Uint8Array {
  const tensor = writeVarint(TENSOR_TYPE.elem, element)
  return concat([writeBytes(VALUE.name, name), writeBytes(VALUE.type, writeBytes(TYPE.tensor, tensor))])
}

function writeModel(model: readonly Field[], opsets: readonly Opset[], graph: readonly Uint8Array[]): Uint8Array {
  const body = concat(graph)
  const fields = model.map((it) => (it.number === MODEL.graph ? writeBytes(MODEL.graph, body) : it.raw))
  if (!opsets.some((it) => it.domain === '')) {
    fields.push(writeBytes(MODEL.opset, writeVarint(OPSET.version, IDENTITY_OPSET)))
  }
  return concat(fields)
}

function labelsOf(node: Node, intsName: string, stringsName: string): readonly ClassLabel[] | undefined {
  for (const field of node.fields) {
    if (field.number !== NODE.attribute) continue
    const attribute = readFields(field.body)
    const name = text(attribute, ATTRIBUTE.name)
    if (name === stringsName) {
      const labels = attribute.filter((it) => it.number === ATTRIBUTE.strings).map(textOf)
      if (labels.length > 0) return labels
    }
    if (name === intsName) {
      const labels = integers(attribute, ATTRIBUTE.ints)
      if (labels.length > 0) return labels.map(label)
    }
  }
  return undefined
}

/** An int64 beyond 2^53 keeps its digits as text. */
const label = (value: bigint): ClassLabel => (Number.isSafeInteger(Number(value)) ? Number(value) : value.toString())

const CLASSIFIERS = new Set(['TreeEnsembleClassifier', 'LinearClassifier', 'SVMClassifier'])

function classifierClasses(node: Node): (readonly ClassLabel[])[] {
  if (!CLASSIFIERS.has(node.op)) return []
  // LinearClassifier calls its integer labels classlabels_ints.
  const labels =
    labelsOf(node, 'classlabels_int64s', 'classlabels_strings') ??
    labelsOf(node, 'classlabels_ints', 'classlabels_strings')
  return labels ? [labels] : []
}

/** Several classifiers in a graph (voting, stacking) say something about the output only when they agree. */
function unanimous(all: readonly (readonly ClassLabel[])[]): readonly ClassLabel[] | undefined {
  const [first, ...others] = all
  if (!first) return undefined
  const key = JSON.stringify(first)
  return others.every((it) => JSON.stringify(it) === key) ? first : undefined
}
