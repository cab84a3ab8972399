import { createHash } from 'node:crypto'
import { crc32, deflateRawSync } from 'node:zlib'
import type { Host } from '../../../processors/graph/program.ts'

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')

export interface ZipOptions {
  readonly method?: 0 | 8
  /** Changes what the directory says of an entry. */
  readonly lie?: { readonly size?: number; readonly crc?: number; readonly flags?: number; readonly method?: number }
}

/** Writes a zip file, or one that lies about its entries. */
export function zip(entries: Readonly<Record<string, Uint8Array | string>>, options: ZipOptions = {}): Uint8Array {
  const { method = 8, lie = {} } = options
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const [name, content] of Object.entries(entries)) {
    const data = Buffer.from(content as string)
    const packed = method === 8 ? deflateRawSync(data) : data
    const label = Buffer.from(name)
    const head = Buffer.alloc(26)
    head.writeUInt16LE(20, 0)
    head.writeUInt16LE(lie.flags ?? 0x800, 2)
    head.writeUInt16LE(lie.method ?? method, 4)
    head.writeUInt32LE(lie.crc ?? crc32(data), 10)
    head.writeUInt32LE(packed.length, 14)
    head.writeUInt32LE(lie.size ?? data.length, 18)
    head.writeUInt16LE(label.length, 22)
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), head, label, packed])
    const central = Buffer.alloc(16)
    central.writeUInt32LE(at, 12)
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02'), Buffer.from([20, 0]), head, central.subarray(2), label]))
    parts.push(local)
    at += local.length
  }
  const list = Buffer.concat(directory)
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 0, 'latin1')
  end.writeUInt16LE(directory.length, 8)
  end.writeUInt16LE(directory.length, 10)
  end.writeUInt32LE(list.length, 12)
  end.writeUInt32LE(at, 16)
  return Buffer.concat([...parts, list, end])
}

type Json = Record<string, unknown>

/** A graph whose nodes follow each other, unless edges are given. */
export function graph(nodes: readonly Json[], output: Json, edges?: readonly Json[]): Json {
  const chain = nodes.slice(1).map((node, index) => ({ from: nodes[index]!.id, to: node.id }))
  return { format: 'rtml-graph', version: 1, name: 'test', nodes, edges: edges ?? chain, output }
}

export interface BundleParts {
  readonly graph: Json
  readonly models?: readonly Uint8Array[]
  readonly modules?: readonly string[]
  readonly questions?: readonly unknown[]
  readonly expected?: readonly unknown[]
  readonly more?: Readonly<Record<string, string | Uint8Array>>
}

const lines = (list: readonly unknown[]): string => list.map((it) => `${JSON.stringify(it)}\n`).join('')

export function bundle({ graph, models = [], modules = [], questions, expected, more = {} }: BundleParts): Uint8Array {
  return zip({
    'graph.json': JSON.stringify(graph),
    ...Object.fromEntries(models.map((it) => [`models/${sha256(it)}.onnx`, it])),
    ...Object.fromEntries(modules.map((it) => [`modules/${sha256(it)}.js`, it])),
    ...(questions ? { 'tests/input.jsonl': lines(questions) } : {}),
    ...(expected ? { 'tests/expected.jsonl': lines(expected) } : {}),
    ...more,
  })
}

/** For graphs without models and modules. */
export const noHost: Host = {
  runModel: () => Promise.reject(new Error('no models here')),
  callModule: () => Promise.reject(new Error('no modules here')),
}
