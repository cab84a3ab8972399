/** A graph with its models, modules, tests and provenance: one zip file (docs/graph-format.md). */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { RtmlError } from '../app/errors.ts'
import { type Graph, parseGraph } from './format.ts'
import { isZip, readZip, type ZipLimits, ZipProblem } from './zip.ts'

export interface Bundle {
  readonly graph: Graph
  /** ONNX files by SHA-256. */
  readonly models: ReadonlyMap<string, Uint8Array>
  /** Sources of custom modules by SHA-256. */
  readonly modules: ReadonlyMap<string, string>
  readonly tests: readonly BundleTest[]
  readonly provenance: Provenance | undefined
}

/** One question with the answer that the author's side gave. */
export interface BundleTest {
  readonly question: unknown
  readonly expected: Expected
}

const values = z.record(z.string(), z.union([z.number(), z.string(), z.boolean(), z.null()]))
const expected = z.strictObject({
  output: values.nullable(),
  failed: z.strictObject({ node: z.string(), column: z.string() }).optional(),
  nodes: z.record(z.string(), values).default({}),
  written: z
    .strictObject({
      scores: values.optional(),
      attributes: values.optional(),
      xdm: z.record(z.string(), z.unknown()).optional(),
    })
    .optional(),
})
export type Expected = z.output<typeof expected>

const provenance = z.looseObject({
  created: z.string(),
  author: z.string().optional(),
  data: z.looseObject({ sha256: z.string() }).optional(),
  metrics: z.record(z.string(), z.number()).optional(),
})
export type Provenance = z.output<typeof provenance>

export const BUNDLE_LIMITS: ZipLimits & { readonly maxBytes: number; readonly maxTests: number } = {
  /** Of the file. */
  maxBytes: 536_870_912,
  maxEntries: 600,
  maxEntryBytes: 536_870_912,
  maxTotalBytes: 1_073_741_824,
  maxTests: 10_000,
}
const MAX_GRAPH_BYTES = 16_777_216
const MAX_JSON_DEPTH = 100
const MAX_MODULE_BYTES = 262_144

export { isZip as isBundle }

/**
 * Reads a bundle and checks that it is whole. The graph is only checked for its structure: `compileGraph` does the rest.
 * @throws RtmlError BUNDLE naming the entry, GRAPH naming the node
 */
export function readBundle(bytes: Uint8Array, limits = BUNDLE_LIMITS): Bundle {
  if (bytes.length > limits.maxBytes)
    return refuse(
      `has ${bytes.length} bytes, the limit is ${limits.maxBytes}. Make its models smaller, or give them by uri.`,
    )
  const entries = unzip(bytes, limits)
  const graph = parseGraph(json(entries, 'graph.json', MAX_GRAPH_BYTES))
  const models = carried(entries, graph, 'onnx')
  const modules = new Map(
    [...carried(entries, graph, 'custom')].map(([sha256, data]) => [sha256, decode(`modules/${sha256}.js`, data)]),
  )
  const tests = testsOf(entries, limits.maxTests)
  const made = entries.has('provenance.json')
    ? provenance.safeParse(json(entries, 'provenance.json', MAX_GRAPH_BYTES))
    : undefined
  if (made && !made.success)
    return refuse(`${made.error.issues[0]?.path.join('.')}: ${made.error.issues[0]?.message}.`, 'provenance.json')
  return { graph, models, modules, tests, provenance: made?.data }
}

function unzip(bytes: Uint8Array, limits: ZipLimits): Map<string, Uint8Array> {
  try {
    return readZip(bytes, limits)
  } catch (error) {
    if (error instanceof ZipProblem) return refuse(`${error.message}.`)
    if (error instanceof RangeError) return refuse('is no zip file, or is cut.')
    throw error
  }
}

/** The files that nodes name, each checked against its name. */
function carried(
  entries: ReadonlyMap<string, Uint8Array>,
  graph: Graph,
  op: 'onnx' | 'custom',
): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>()
  const declared = op === 'onnx' ? graph.models : graph.modules
  for (const node of graph.nodes) {
    if (node.op !== op) continue
    const sha256 = node.op === 'onnx' ? node.params.model : node.params.module
    const name = node.op === 'onnx' ? `models/${sha256}.onnx` : `modules/${sha256}.js`
    const data =
      entries.get(name) ?? refuse(`entry ${name} is missing, which node ${node.id} names. Write the bundle again.`)
    if (found.has(sha256)) continue
    const real = createHash('sha256').update(data).digest('hex')
    if (real !== sha256)
      return refuse(`has SHA-256 ${real}: it was changed after node ${node.id} named it. Write the bundle again.`, name)
    if (op === 'custom' && data.length > MAX_MODULE_BYTES)
      return refuse(`has ${data.length} bytes, the limit of a module is ${MAX_MODULE_BYTES}.`, name)
    const said = declared?.[sha256]?.bytes
    if (said !== undefined && said !== data.length)
      return refuse(`has ${data.length} bytes, graph.json says ${said}.`, name)
    found.set(sha256, data)
  }
  return found
}

function testsOf(entries: ReadonlyMap<string, Uint8Array>, maxTests: number): BundleTest[] {
  const inputs = lines(entries, 'tests/input.jsonl', maxTests)
  const answers = lines(entries, 'tests/expected.jsonl', maxTests)
  if (inputs.length !== answers.length)
    return refuse(
      `has ${inputs.length} lines, tests/expected.jsonl has ${answers.length}: each question has one answer.`,
      'tests/input.jsonl',
    )
  return inputs.map((question, index) => {
    const parsed = expected.safeParse(answers[index])
    if (parsed.success) return { question, expected: parsed.data }
    const [issue] = parsed.error.issues
    return refuse(`line ${index + 1}: ${issue?.path.join('.')}: ${issue?.message}.`, 'tests/expected.jsonl')
  })
}

function lines(entries: ReadonlyMap<string, Uint8Array>, name: string, maxTests: number): unknown[] {
  const data = entries.get(name)
  if (!data) return []
  const texts = decode(name, data).split('\n')
  if (texts.at(-1)?.trim() === '') texts.pop()
  if (texts.length > maxTests) return refuse(`has ${texts.length} lines, the limit is ${maxTests}.`, name)
  return texts.map((text, index) => parse(text, name, `line ${index + 1} `))
}

function json(entries: ReadonlyMap<string, Uint8Array>, name: string, maxBytes: number): unknown {
  const data =
    entries.get(name) ?? refuse(`has no entry ${name}. Write it with rtml's Python package: graph.bundle(…).`)
  if (data.length > maxBytes) return refuse(`has ${data.length} bytes, the limit is ${maxBytes}.`, name)
  return parse(decode(name, data), name, '')
}

function parse(text: string, name: string, where: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return refuse(`${where}is no JSON: ${(error as Error).message}.`, name)
  }
  if (isDeeper(value, MAX_JSON_DEPTH)) return refuse(`${where}nests more than ${MAX_JSON_DEPTH} deep.`, name)
  return value
}

function isDeeper(value: unknown, limit: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return limit === 0 || Object.values(value).some((it) => isDeeper(it, limit - 1))
}

function decode(name: string, data: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(data)
  } catch {
    return refuse('is no UTF-8.', name)
  }
}

function refuse(text: string, place = 'bundle'): never {
  throw new RtmlError('BUNDLE', text, { place })
}
