/** A graph, checked and put in order: from `graph.json` to something that runs over micro-batches. */
import { didYouMean } from '../app/suggest.ts'
import type { Graph, GraphNode, NodeOf, Op, Port } from './format.ts'
import type { Column, Dtype, Frame, Schema } from './frame.ts'
import { join, union } from './ops/branches.ts'
import { bin, map, onehot } from './ops/categories.ts'
import { cast, compute, fill, filter, rename, select } from './ops/columns.ts'
import { custom } from './ops/custom.ts'
import { onnx } from './ops/onnx.ts'
import { sink, type Written } from './ops/sinks.ts'
import { refuse, type Where, wanted } from './problem.ts'
import { type SourceColumn, type SourceRows, sourceColumns, sourceFrame } from './sources.ts'
import { at, type Failure, type RunContext, type Step, type StepContext } from './step.ts'

const MAX_COLUMNS = 4_096
const SOURCES = ['input', 'event', 'profile'] as const satisfies readonly Op[]
const SINKS: ReadonlySet<string> = new Set(['xdm', 'profile-write'] satisfies Op[])

type SourceNode = NodeOf<(typeof SOURCES)[number]>
const isSource = (node: GraphNode): node is SourceNode => (SOURCES as readonly string[]).includes(node.op)

/** Columns that a node made or changed, for the rows that reached it. */
export interface Traced {
  readonly kept: Uint8Array | undefined
  readonly columns: ReadonlyMap<string, Column>
}

export interface Run {
  readonly columns: ReadonlyMap<string, Column>
  /** 1: the row has an answer. */
  readonly kept: Uint8Array | undefined
  readonly failures: readonly (Failure | undefined)[]
  /** What went wrong with whole batches, in words. */
  readonly problems: readonly string[]
  /** Of each `Written` of the program. */
  readonly written: readonly { readonly column: Column; readonly kept: Uint8Array | undefined }[]
  /** By node, when asked for. */
  readonly trace: ReadonlyMap<string, Traced>
}

/** What the steps of a run need from outside. */
export type Host = Pick<RunContext, 'runModel' | 'callModule'>

export interface Program {
  readonly graph: Graph
  readonly sources: readonly SourceColumn[]
  /** Numbers and texts that a row brings. */
  readonly numberColumns: number
  readonly textColumns: number
  /** Nodes of the sources, in the order in which `SourceRows.unfit` counts them. */
  readonly sourceNodes: readonly string[]
  /** Of the answer, in order. */
  readonly output: Schema
  /** The column that is the service's score; undefined: the graph answers with texts only. */
  readonly score: string | undefined
  readonly written: readonly Written[]
  /** Nodes in the order in which they run. */
  readonly order: readonly string[]
  /** Nodes that the answer depends on. */
  readonly leads: ReadonlySet<string>
  run(given: SourceRows, host: Host, options?: { trace?: boolean }): Promise<Run>
}

interface Placed {
  readonly node: GraphNode
  readonly step: Step
  /** Places of the nodes that feed its ports, in the ports' order. */
  readonly feeds: readonly number[]
}

/**
 * Checks a graph and compiles it.
 * @throws RtmlError GRAPH naming node and port: unknown nodes, cycles, ports without an edge or with two, columns that
 *   aren't there, types that don't fit; with `signature` also models whose inputs and outputs don't fit
 */
export function compileGraph(graph: Graph, context: StepContext = { signature: () => undefined }): Program {
  const nodes = nodesById(graph)
  const inputs = portsOf(graph, nodes)
  const order = sorted(graph, inputs)
  const leads = checkReached(graph, inputs)
  const sourceNodes = order.filter(isSource)
  const sources = sourceColumns(sourceNodes)
  const placed: Placed[] = []
  const placeOf = new Map<string, number>()
  const written: Written[] = []
  for (const node of order) {
    const feeds = (inputs.get(node.id) ?? []).map((id) => placeOf.get(id) as number)
    const step = stepOf(
      node,
      feeds.map((it) => (placed[it] as Placed).step.schema),
      sources,
      context,
    )
    if (step.schema.size > MAX_COLUMNS)
      refuse(at(node), `the frame has ${step.schema.size} columns, the limit is ${MAX_COLUMNS}. Select fewer before.`)
    if ('written' in step) written.push(...(step.written as readonly Written[]))
    placeOf.set(node.id, placed.length)
    placed.push({ node, step, feeds })
  }
  checkNames(written)
  const last = placeOf.get(graph.output.node) as number
  const { output, score } = outputOf(graph, (placed[last] as Placed).step.schema)
  const ownSources = Map.groupBy(sources, ({ node }) => node)
  const parts = { graph, sources, sourceNodes: sourceNodes.map(({ id }) => id), output, score, written }
  return {
    ...parts,
    order: order.map(({ id }) => id),
    leads,
    numberColumns: sources.filter(({ dtype }) => dtype !== 'string').length,
    textColumns: sources.filter(({ dtype }) => dtype === 'string').length,
    run: (given, host, options = {}) =>
      runSteps({ ...parts, ownSources, placed, placeOf, last }, given, host, options.trace === true),
  }
}

function nodesById(graph: Graph): Map<string, GraphNode> {
  const nodes = new Map<string, GraphNode>()
  for (const node of graph.nodes) {
    if (nodes.has(node.id)) refuse(at(node), 'two nodes have this id. Ids are distinct.')
    nodes.set(node.id, node)
  }
  return nodes
}

function portsIn(node: GraphNode): readonly Port[] {
  if (isSource(node)) return []
  return node.op === 'join' || node.op === 'union' ? ['left', 'right'] : ['in']
}

/** Node → the nodes at its ports, in the ports' order. */
function portsOf(graph: Graph, nodes: ReadonlyMap<string, GraphNode>): Map<string, string[]> {
  const known = (id: string, where: Where): GraphNode =>
    nodes.get(id) ??
    refuse(where, `an edge names node ${JSON.stringify(id)}, which isn't there.${didYouMean(id, nodes.keys())}`)
  const found = new Map<string, Map<Port, string>>()
  for (const { from, to, port } of graph.edges) {
    const target = known(to, { node: from })
    known(from, { node: to, port })
    const ports = portsIn(target)
    if (!ports.includes(port)) {
      const names = ports.length === 0 ? 'it is a source and has none' : `it has ${ports.join(' and ')}`
      refuse({ node: to, port }, `the node has no such port: ${names}.`)
    }
    const taken = found.get(to) ?? new Map<Port, string>()
    const other = taken.get(port)
    if (other !== undefined)
      refuse(
        { node: to, port },
        `two edges lead here, from ${other} and ${from}. Bring them together with join or union.`,
      )
    found.set(to, taken.set(port, from))
  }
  if (!nodes.has(graph.output.node)) known(graph.output.node, { node: graph.output.node })
  const inputs = new Map<string, string[]>()
  for (const node of graph.nodes) {
    const taken = found.get(node.id)
    inputs.set(
      node.id,
      portsIn(node).map(
        (port) =>
          taken?.get(port) ??
          refuse({ node: node.id, port }, 'no edge leads here. Add one from the node that gives its rows.'),
      ),
    )
  }
  return inputs
}

/** Nodes so that each stands after those that feed it. Equal graphs give equal orders. */
function sorted(graph: Graph, inputs: ReadonlyMap<string, readonly string[]>): GraphNode[] {
  const nodes = new Map(graph.nodes.map((it) => [it.id, it]))
  const state = new Map<string, 'open' | 'done'>()
  const order: GraphNode[] = []
  const path: string[] = []
  const visit = (id: string): void => {
    if (state.get(id) === 'done') return
    if (state.get(id) === 'open')
      refuse(
        { node: id },
        `the graph is cyclic: ${[...path.slice(path.indexOf(id)), id].join(' → ')}. Take one of these edges out.`,
      )
    state.set(id, 'open')
    path.push(id)
    for (const from of inputs.get(id) ?? []) visit(from)
    path.pop()
    state.set(id, 'done')
    order.push(nodes.get(id) as GraphNode)
  }
  for (const { id } of graph.nodes) visit(id)
  return order
}

/** A node that nothing reads and that writes nothing is a mistake of the author. @returns the nodes that the answer depends on */
function checkReached(graph: Graph, inputs: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set<string>()
  const reach = (id: string): void => {
    if (reached.has(id)) return
    reached.add(id)
    for (const from of inputs.get(id) ?? []) reach(from)
  }
  reach(graph.output.node)
  const leads = new Set(reached)
  for (const { id, op } of graph.nodes) if (SINKS.has(op)) reach(id)
  const idle = graph.nodes.find(({ id }) => !reached.has(id))
  if (idle)
    refuse(
      at(idle),
      `leads neither to the output (node ${graph.output.node}) nor to a sink. Connect it or take it out.`,
    )
  return leads
}

function stepOf(
  node: GraphNode,
  feeds: readonly Schema[],
  sources: readonly SourceColumn[],
  context: StepContext,
): Step {
  const [left, right] = feeds as [Schema, Schema]
  switch (node.op) {
    case 'input':
    case 'event':
    case 'profile':
      return sourceStep(node, sources)
    case 'select':
      return select(node, left)
    case 'rename':
      return rename(node, left)
    case 'fill':
      return fill(node, left)
    case 'cast':
      return cast(node, left)
    case 'map':
      return map(node, left)
    case 'compute':
      return compute(node, left)
    case 'filter':
      return filter(node, left)
    case 'bin':
      return bin(node, left)
    case 'onehot':
      return onehot(node, left)
    case 'join':
      return join(node, left, right)
    case 'union':
      return union(node, left, right)
    case 'onnx':
      return onnx(node, left, context)
    case 'custom':
      return custom(node, left)
    case 'xdm':
    case 'profile-write':
      return sink(node, left)
  }
}

function sourceStep(node: SourceNode, sources: readonly SourceColumn[]): Step {
  const own = sources.filter((it) => it.node === node.id)
  return {
    schema: new Map(own.map(({ name, dtype }): [string, Dtype] => [name, dtype])),
    changed: own.map(({ name }) => name),
    run: (_, context) => context.source(node.id),
  }
}

function checkNames(written: readonly Written[]): void {
  const seen = new Set<string>()
  for (const { kind, name, node } of written) {
    if (seen.has(`${kind} ${name}`)) refuse({ node }, `${kind} ${JSON.stringify(name)} is written twice.`)
    seen.add(`${kind} ${name}`)
  }
}

function outputOf({ output }: Graph, schema: Schema): { output: Schema; score: string | undefined } {
  const where = { node: output.node, port: 'output' }
  const columns = new Map(output.columns.map((name): [string, Dtype] => [name, wanted(schema, name, where)]))
  const score = output.score ?? output.columns.find((name) => columns.get(name) !== 'string')
  if (score !== undefined && wanted(columns, score, where) === 'string')
    refuse(where, `the score ${JSON.stringify(score)} is a text. Name a column of numbers.`)
  return { output: columns, score }
}

interface Parts {
  readonly ownSources: ReadonlyMap<string, readonly SourceColumn[]>
  readonly sourceNodes: readonly string[]
  readonly output: Schema
  readonly written: readonly Written[]
  readonly placed: readonly Placed[]
  readonly placeOf: ReadonlyMap<string, number>
  readonly last: number
}

async function runSteps(parts: Parts, given: SourceRows, host: Host, isTraced: boolean): Promise<Run> {
  const failures = new Array<Failure | undefined>(given.rows)
  const context: RunContext = {
    rows: given.rows,
    failures,
    problems: [],
    source: (node) => {
      const own = parts.ownSources.get(node) ?? []
      return sourceFrame(own, parts.sourceNodes.indexOf(node), parts.sourceNodes.length, given, failures)
    },
    runModel: host.runModel,
    callModule: host.callModule,
  }
  const frames: Frame[] = []
  const trace = new Map<string, Traced>()
  for (const { node, step, feeds } of parts.placed) {
    const made = step.run(
      feeds.map((it) => frames[it] as Frame),
      context,
    )
    // Only nodes that run a model are waited for: a turn of the event loop for each step would cost more than the steps.
    const frame = made instanceof Promise ? await made : made
    frames.push(frame)
    if (isTraced) trace.set(node.id, { kept: frame.kept, columns: pick(frame, step.changed) })
  }
  const last = frames[parts.last] as Frame
  const written = parts.written.map(({ node, column }) => {
    const frame = frames[parts.placeOf.get(node) as number] as Frame
    return { column: frame.columns.get(column) as Column, kept: frame.kept }
  })
  return {
    columns: pick(last, [...parts.output.keys()]),
    kept: last.kept,
    failures,
    problems: context.problems,
    written,
    trace,
  }
}

const pick = (frame: Frame, names: readonly string[]): Map<string, Column> =>
  new Map(names.map((name) => [name, frame.columns.get(name) as Column]))
