/** The structure of `graph.json`: what schemas/graph.schema.json says, with messages that name the node. Meaning: docs/graph-format.md. */
import { z } from 'zod'
import { RtmlError } from '../app/errors.ts'
import { didYouMean } from '../app/suggest.ts'
import { DTYPES } from './frame.ts'

const id = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/, 'an id is letters, digits, _ . -, at most 100')
const columnName = z.string().min(1).max(200)
const names = z.array(columnName).min(1).max(4_096).refine(isDistinct, 'a name stands twice')
const dtype = z.enum(DTYPES)
const value = z.union([z.number(), z.string(), z.boolean()])
const scalar = z.union([z.number(), z.string(), z.boolean(), z.null()])
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 lower-case hexadecimal digits')

const column = { name: columnName, type: dtype, default: value.optional() }
const reduce = z.enum(['first', 'last', 'count', 'sum', 'mean', 'min', 'max'])

export const FUNCTIONS = [
  ...[
    'add',
    'sub',
    'mul',
    'div',
    'floordiv',
    'mod',
    'pow',
    'neg',
    'abs',
    'sqrt',
    'exp',
    'log',
    'log1p',
    'floor',
    'ceil',
  ],
  ...['round', 'min', 'max', 'clip', 'eq', 'ne', 'lt', 'le', 'gt', 'ge', 'and', 'or', 'not', 'isnull', 'isin', 'where'],
  ...[
    'coalesce',
    'lower',
    'upper',
    'strip',
    'length',
    'concat',
    'contains',
    'startswith',
    'endswith',
    'hash',
    'epochms',
  ],
  ...['year', 'month', 'day', 'hour', 'minute', 'second', 'dayofweek'],
] as const

export type Expr =
  | { readonly col: string }
  | { readonly lit: number | string | boolean | null }
  | { readonly fn: string; readonly args: readonly Expr[] }

/** Checked when it is compiled, with the place in words: a union of schemas would only say that nothing fits. */
const expr = z.custom<Expr>(
  (it) => typeof it === 'object' && it !== null,
  'an expression is {col}, {lit} or {fn, args}',
)

const nodeOf = <Op extends string, Shape extends z.ZodRawShape>(op: Op, params: Shape) =>
  z.strictObject({ id, op: z.literal(op), title: z.string().max(200).optional(), params: z.strictObject(params) })

const profileColumn = z
  .strictObject({
    ...column,
    feature: columnName.optional(),
    score: columnName.optional(),
    segment: columnName.optional(),
    attribute: columnName.optional(),
  })
  .refine(
    (it) => [it.feature, it.score, it.segment, it.attribute].filter((one) => one !== undefined).length === 1,
    'give exactly one of feature, score, segment, attribute',
  )

const edgeOf = z.union([z.number(), z.enum(['-Infinity', 'Infinity'])])

const node = z.discriminatedUnion('op', [
  nodeOf('input', { columns: z.array(z.strictObject(column)).min(1).max(4_096) }),
  nodeOf('event', {
    columns: z
      .array(z.strictObject({ ...column, path: z.string().min(1).max(500), reduce: reduce.optional() }))
      .min(1)
      .max(4_096),
  }),
  nodeOf('profile', { columns: z.array(profileColumn).min(1).max(4_096) }),
  nodeOf('select', { columns: names }),
  nodeOf('rename', { columns: z.record(columnName, columnName).refine(hasEntries, 'names nothing') }),
  nodeOf('fill', { values: z.record(columnName, value).refine(hasEntries, 'names nothing') }),
  nodeOf('cast', {
    columns: z.record(columnName, dtype).refine(hasEntries, 'names nothing'),
    invalid: z.enum(['fail', 'null']).default('fail'),
  }),
  nodeOf('map', {
    column: columnName,
    as: columnName,
    type: dtype,
    pairs: z.array(z.tuple([value, scalar])).max(10_000),
    otherwise: scalar.optional(),
    keep: z.boolean().default(false),
    null: scalar.optional(),
  }),
  nodeOf('compute', { as: columnName, expr }),
  nodeOf('filter', { where: expr }),
  nodeOf('bin', {
    column: columnName,
    as: columnName,
    edges: z.array(edgeOf).min(2).max(1_001),
    labels: z.array(z.string()).optional(),
    right: z.boolean().default(true),
    includeLowest: z.boolean().default(false),
  }),
  nodeOf('onehot', {
    column: columnName,
    categories: z.array(value).min(1).max(4_096),
    names,
    unknown: z.enum(['zeros', 'other', 'fail']).default('zeros'),
    other: columnName.optional(),
    keep: z.boolean().default(false),
  }),
  nodeOf('join', { how: z.enum(['inner', 'left']).default('inner') }),
  nodeOf('union', {}),
  nodeOf('onnx', {
    model: sha256,
    inputs: z
      .array(z.strictObject({ name: columnName, columns: names, shape: z.array(z.int().min(1)).max(6).optional() }))
      .min(1)
      .max(256),
    outputs: z
      .array(z.strictObject({ as: columnName, output: columnName, index: z.int().min(0).default(0), type: dtype }))
      .min(1)
      .max(1_024),
    keep: z.boolean().default(true),
  }),
  nodeOf('custom', {
    module: sha256,
    inputs: names,
    outputs: z
      .array(z.strictObject({ name: columnName, type: dtype }))
      .min(1)
      .max(1_024),
    timeoutMs: z.int().min(1).max(1_000).default(20),
    memoryMb: z.int().min(8).max(256).default(32),
  }),
  nodeOf('xdm', { columns: z.record(columnName, columnName).refine(hasEntries, 'names nothing') }),
  nodeOf('profile-write', {
    scores: z.record(columnName, columnName).optional(),
    attributes: z.record(columnName, columnName).optional(),
  }),
])

const graph = z.strictObject({
  format: z.literal('rtml-graph'),
  version: z.literal(1),
  name: id,
  description: z.string().max(2_000).optional(),
  nodes: z.array(node).min(1).max(256),
  edges: z.array(z.strictObject({ from: id, to: id, port: z.enum(['in', 'left', 'right']).default('in') })).max(1_024),
  output: z.strictObject({ node: id, columns: names, score: columnName.optional() }),
  models: z
    .record(
      sha256,
      z.strictObject({
        bytes: z.int().min(1).max(536_870_912),
        irVersion: z.int(),
        opset: z.record(z.string(), z.int()),
      }),
    )
    .optional(),
  modules: z.record(sha256, z.strictObject({ bytes: z.int().min(1).max(262_144) })).optional(),
})

export type Graph = z.output<typeof graph>
export type GraphNode = z.output<typeof node>
export type Op = GraphNode['op']
export type NodeOf<K extends Op> = Extract<GraphNode, { op: K }>
export type Port = Graph['edges'][number]['port']

const OPS: readonly string[] = node.options.map((it) => it.shape.op.value)

/** @throws RtmlError GRAPH naming the node and the field */
export function parseGraph(json: unknown): Graph {
  const parsed = graph.safeParse(json)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const path = issue?.path ?? []
  const place = placeOf(json, path)
  if (issue && path[0] === 'nodes' && path[2] === 'op') {
    const op = readPath(json, path)
    throw new RtmlError('GRAPH', `op ${JSON.stringify(op)} is not known.${didYouMean(String(op), OPS)}`, { place })
  }
  const field = path.slice(path[0] === 'nodes' && path.length > 1 ? 2 : 0).join('.')
  throw new RtmlError('GRAPH', `${field ? `${field}: ` : ''}${issue?.message ?? 'not a graph'}`, { place })
}

function placeOf(json: unknown, path: readonly PropertyKey[]): string {
  if (path[0] !== 'nodes' || path.length < 2) return 'graph.json'
  const name = readPath(json, ['nodes', path[1] as PropertyKey, 'id'])
  return `node ${typeof name === 'string' ? name : `nodes[${String(path[1])}]`}`
}

function readPath(json: unknown, path: readonly PropertyKey[]): unknown {
  let at = json
  for (const key of path) at = (at as Record<PropertyKey, unknown> | null | undefined)?.[key]
  return at
}

function isDistinct(list: readonly string[]): boolean {
  return new Set(list).size === list.length
}

function hasEntries(record: object): boolean {
  return Object.keys(record).length > 0
}
