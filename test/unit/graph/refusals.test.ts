/** Graphs and bundles that must be refused: each message names node and port, or the entry, and says what to do. */
import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RtmlError } from '../../../processors/app/errors.ts'
import { BUNDLE_LIMITS, readBundle } from '../../../processors/graph/bundle.ts'
import { parseGraph } from '../../../processors/graph/format.ts'
import { compileGraph } from '../../../processors/graph/program.ts'
import { OnnxGraph } from '../../../processors/onnx/graph.ts'
import { concat, writeBytes, writeVarint } from '../../../processors/onnx/proto.ts'
import { createModelPool } from '../../../processors/scorer/pool.ts'
import { bundle, graph, sha256, zip } from './support.ts'

const IN = {
  id: 'in',
  op: 'input',
  params: {
    columns: [
      { name: 'x', type: 'float64' },
      { name: 'n', type: 'int64' },
      { name: 't', type: 'string' },
      { name: 'b', type: 'bool' },
    ],
  },
}
const out = { node: 'it', columns: ['x'] }
const one = (op: string, params: object) => graph([IN, { id: 'it', op, params }], out)
const col = (name: string) => ({ col: name })
const lit = (value: unknown) => ({ lit: value })
const fn = (name: string, ...args: unknown[]) => ({ fn: name, args })
const compute = (expr: unknown) => one('compute', { as: 'z', expr })
const SHA = 'a'.repeat(64)

const compile = (json: unknown) => compileGraph(parseGraph(json))

const validate = new Ajv2020({ strict: false }).compile(
  JSON.parse(readFileSync(new URL('../../../schemas/graph.schema.json', import.meta.url), 'utf8')),
)

describe('a graph is refused when', () => {
  it.each<[string, unknown, RegExp]>([
    ['an op is unknown', one('onehott', {}), /GRAPH node it: op "onehott" is not known\. Did you mean "onehot"\?/],
    ['a parameter is missing', one('compute', { as: 'z' }), /GRAPH node it: params\.expr: an expression is/],
    ['a parameter is too much', one('union', { how: 1 }), /GRAPH node it: params: Unrecognized key: "how"/],
    ['it has no nodes', { ...one('union', {}), nodes: [] }, /GRAPH graph\.json: nodes: /],
    [
      'two nodes have one id',
      graph([IN, { ...IN }], { node: 'in', columns: ['x'] }, []),
      /node in: two nodes have this id/,
    ],
    [
      'an edge leads to nowhere',
      graph([IN], { node: 'in', columns: ['x'] }, [{ from: 'in', to: 'inn' }]),
      /node in: an edge names node "inn", which isn't there\. Did you mean "in"\?/,
    ],
    [
      'a port has no edge',
      graph([IN, { id: 'it', op: 'join', params: {} }], out, [{ from: 'in', to: 'it', port: 'left' }]),
      /node it, port right: no edge leads here/,
    ],
    [
      'a port has two edges',
      graph([IN, { id: 'it', op: 'select', params: { columns: ['x'] } }], out, [
        { from: 'in', to: 'it' },
        { from: 'in', to: 'it' },
      ]),
      /node it, port in: two edges lead here, from in and in/,
    ],
    [
      'a port is unknown',
      graph([IN, { id: 'it', op: 'select', params: { columns: ['x'] } }], out, [
        { from: 'in', to: 'it', port: 'left' },
      ]),
      /node it, port left: the node has no such port: it has in/,
    ],
    [
      'a source is fed',
      graph([IN, { ...IN, id: 'it' }], out),
      /node it, port in: the node has no such port: it is a source/,
    ],
    [
      'it is cyclic',
      graph([IN, { id: 'it', op: 'union', params: {} }, { id: 'c', op: 'select', params: { columns: ['x'] } }], out, [
        { from: 'in', to: 'it', port: 'left' },
        { from: 'c', to: 'it', port: 'right' },
        { from: 'it', to: 'c' },
      ]),
      /node it: the graph is cyclic: it → c → it/,
    ],
    [
      'a node leads nowhere',
      graph([IN, { id: 'lost', op: 'select', params: { columns: ['x'] } }], { node: 'in', columns: ['x'] }),
      /node lost: leads neither to the output \(node in\) nor to a sink/,
    ],
    [
      'the output is no node',
      { ...one('select', { columns: ['x'] }), output: { node: 'itt', columns: ['x'] } },
      /node itt: an edge names node "itt"/,
    ],
    [
      'the output has no such column',
      { ...one('select', { columns: ['x'] }), output: { node: 'it', columns: ['y'] } },
      /node it, port output: column "y" is missing\. Did you mean "x"\?/,
    ],
    [
      'the score is a text',
      { ...one('select', { columns: ['t'] }), output: { node: 'it', columns: ['t'], score: 't' } },
      /the score "t" is a text/,
    ],
    [
      'a column is missing',
      one('select', { columns: ['xx'] }),
      /node it, port in: column "xx" is missing\. Did you mean "x"\?/,
    ],
    [
      'a column stands twice',
      graph(
        [
          {
            ...IN,
            id: 'it',
            params: {
              columns: [
                { name: 'x', type: 'float64' },
                { name: 'x', type: 'float64' },
              ],
            },
          },
        ],
        out,
      ),
      /column "x" stands twice/,
    ],
    [
      'a default is of another type',
      graph([{ ...IN, id: 'it', params: { columns: [{ name: 'x', type: 'int64', default: 1.5 }] } }], out),
      /node it: 1\.5 is no int64/,
    ],
    [
      'a path is taken whole',
      graph([{ id: 'it', op: 'event', params: { columns: [{ name: 'x', type: 'float64', path: 'a[*].b' }] } }], out),
      /takes every element of a\[\*\]\.b/,
    ],
    [
      'a profile column says nothing',
      graph([{ id: 'it', op: 'profile', params: { columns: [{ name: 'x', type: 'float64' }] } }], out),
      /exactly one of feature, score/,
    ],
    ['a name is taken', one('rename', { columns: { x: 'n' } }), /two columns would be named "n"/],
    ['a value can’t fill', one('fill', { values: { n: 1.5 } }), /1\.5 is no int64, which column "n" is/],
    ['a bool fills a number', one('fill', { values: { x: true } }), /true can't fill "x"/],
    [
      'a float becomes a text',
      one('cast', { columns: { x: 'string' } }),
      /column "x" is float64, which can't be cast to string\. Cast it to int64 first/,
    ],
    ['a text becomes a bool', one('cast', { columns: { t: 'bool' } }), /Use map, or compare it/],
    ['null is no int64', one('cast', { columns: { x: 'int64' }, invalid: 'null' }), /int64 has no null/],
    [
      'a table has keys of another type',
      one('map', { column: 't', as: 'z', type: 'string', pairs: [[1, 'a']] }),
      /the table has the key 1/,
    ],
    [
      'keep changes the type',
      one('map', { column: 't', as: 'z', type: 'float64', pairs: [], keep: true }),
      /keep: type is float64, column "t" is string/,
    ],
    ['edges don’t rise', one('bin', { column: 'x', as: 'z', edges: [0, 2, 1] }), /edges must rise: 2 stands before 1/],
    [
      'labels don’t fit',
      one('bin', { column: 'x', as: 'z', edges: [0, 1, 2], labels: ['a'] }),
      /3 edges make 2 intervals, here are 1 labels/,
    ],
    ['texts are binned', one('bin', { column: 't', as: 'z', edges: [0, 1] }), /column "t" is string/],
    [
      'names don’t fit',
      one('onehot', { column: 't', categories: ['a', 'b'], names: ['a'] }),
      /2 categories want as many names, here are 1/,
    ],
    [
      'a category is of another type',
      one('onehot', { column: 't', categories: [1], names: ['a'] }),
      /category 1 is no such value/,
    ],
    [
      'a one-hot name is taken',
      one('onehot', { column: 't', categories: ['a'], names: ['x'] }),
      /column "x" is there already/,
    ],
    [
      'unknown: other has no column',
      one('onehot', { column: 't', categories: ['a'], names: ['a'], unknown: 'other' }),
      /unknown: other wants other/,
    ],
    [
      'both sides have a column',
      graph([IN, { id: 'it', op: 'join', params: {} }], out, [
        { from: 'in', to: 'it', port: 'left' },
        { from: 'in', to: 'it', port: 'right' },
      ]),
      /node it, port right: column "x" comes from both sides/,
    ],
    ['a score is a text', one('profile-write', { scores: { s: 't' } }), /score "s": column "t" is a text/],
    ['nothing is written', one('profile-write', {}), /writes nothing/],
    ['a path is no path to write to', one('xdm', { columns: { 'a[0].b': 'x' } }), /can't be written to/],
    [
      'a path is inside another',
      one('xdm', { columns: { a: 'x', 'a.b': 'x' } }),
      /can't be a value and hold "a\.b" at once/,
    ],
    ['a filter is no bool', one('filter', { where: col('x') }), /where is float64, wanted bool/],
    [
      'a function is unknown',
      compute(fn('addd', col('x'), lit(1))),
      /function "addd" is not known\. Did you mean "add"\?/,
    ],
    ['a function has too few arguments', compute(fn('clip', col('x'))), /clip takes 3 arguments, here are 1/],
    ['a text is added', compute(fn('add', col('x'), col('t'))), /add: argument 2 is a text, wanted a number/],
    ['a text is compared with a number', compute(fn('lt', col('t'), lit(1))), /a text can’t be compared with a number/],
    ['a number is lowered', compute(fn('lower', col('x'))), /lower: wanted a text, got float64/],
    [
      'a number is a condition',
      compute(fn('where', col('x'), lit(1), lit(2))),
      /where: the condition is float64, wanted bool/,
    ],
    ['texts and numbers are mixed', compute(fn('where', col('b'), col('t'), lit(2))), /where: mixes texts with int64/],
    ['a number is and-ed', compute(fn('and', col('b'), col('x'))), /and: wanted bools, got float64/],
    [
      'isin has no literals',
      compute(fn('isin', col('x'), col('n'))),
      /isin: the arguments after the first are literals/,
    ],
    ['hash has no buckets', compute(fn('hash', col('t'), lit(0))), /number of buckets/],
    ['an expression is none', compute({ col: 'x', lit: 1 }), /an expression is \{"col": name\}/],
    [
      'an expression is too deep',
      compute(Array.from({ length: 40 }).reduce((it) => fn('neg', it), col('x'))),
      /more than 32 deep/,
    ],
    [
      'a shape doesn’t fit',
      one('onnx', {
        model: SHA,
        inputs: [{ name: 'a', columns: ['x', 'n'], shape: [3] }],
        outputs: [{ as: 'y', output: 'o', type: 'float32' }],
      }),
      /shape \[3\] has 3 values a row, its columns give 2/,
    ],
    [
      'an output’s name is taken',
      one('onnx', {
        model: SHA,
        inputs: [{ name: 'a', columns: ['x'] }],
        outputs: [{ as: 'x', output: 'o', type: 'float32' }],
      }),
      /column "x" is there already/,
    ],
  ])('%s', (_, json, message) => {
    expect(() => compile(json)).toThrow(message)
  })

  it.each(['format', 'version', 'name', 'nodes', 'edges', 'output'])('it has no %s, as the JSON Schema says', (key) => {
    const { [key]: _, ...rest } = one('select', { columns: ['x'] }) as Record<string, unknown>
    expect(() => parseGraph(rest)).toThrow(RtmlError)
    expect(validate(rest)).toBe(false)
  })
})

/** An identity of k columns. */
function identity(width: number, edit: (bytes: Uint8Array) => Uint8Array = (it) => it): Uint8Array {
  const onnx = new OnnxGraph()
  onnx.output(onnx.node('Identity', [onnx.input('a', 'float32', width)]), 'o', 'float32', width)
  return edit(onnx.bytes('identity'))
}

const withModel = (model: Uint8Array, params: object) =>
  bundle({ graph: one('onnx', { model: sha256(model), ...params }), models: [model] })
const INPUTS = [{ name: 'a', columns: ['x', 'n'] }]
const OUTPUTS = [{ as: 'y', output: 'o', type: 'float32' }]
const MODULE = 'export default () => 1'

describe('a bundle is refused by the pool when', () => {
  it.each<[string, () => Uint8Array, RegExp]>([
    [
      'an input is unknown',
      () => withModel(identity(2), { inputs: [{ name: 'b', columns: ['x', 'n'] }], outputs: OUTPUTS }),
      /node it: the model has no input "b"\. Did you mean "a"\?/,
    ],
    [
      'it gives too few columns',
      () => withModel(identity(3), { inputs: INPUTS, outputs: OUTPUTS }),
      /node it, port in: input a of the model is \[n, 3\], its columns give \[n, 2\]/,
    ],
    [
      'a text feeds numbers',
      () => withModel(identity(2), { inputs: [{ name: 'a', columns: ['x', 't'] }], outputs: OUTPUTS }),
      /column "t" is string, input a of the model is float32/,
    ],
    [
      'an output is unknown',
      () => withModel(identity(2), { inputs: INPUTS, outputs: [{ as: 'y', output: 'p', type: 'float32' }] }),
      /the model has no output "p"/,
    ],
    [
      'an index is too large',
      () => withModel(identity(2), { inputs: INPUTS, outputs: [{ ...OUTPUTS[0], index: 2 }] }),
      /output o has 2 values a row; index 2 isn't one of 0–1/,
    ],
    [
      'an output is of another type',
      () => withModel(identity(2), { inputs: INPUTS, outputs: [{ ...OUTPUTS[0], type: 'string' }] }),
      /output o of the model is float32, which isn't string/,
    ],
    [
      'the opset is too new',
      () =>
        withModel(
          identity(2, (it) => concat([it, writeBytes(8, concat([writeBytes(1, ''), writeVarint(2, 99)]))])),
          { inputs: INPUTS, outputs: OUTPUTS },
        ),
      /node it: the file uses opset .* Export again with target_opset=/,
    ],
    [
      'a model is no model',
      () => withModel(Buffer.from('not onnx'), { inputs: INPUTS, outputs: OUTPUTS }),
      /node it: not an ONNX file/,
    ],
    [
      'a module is no module',
      () =>
        bundle({
          graph: one('custom', {
            module: sha256('export default 1'),
            inputs: ['x'],
            outputs: [{ name: 'y', type: 'float64' }],
            timeoutMs: 1000,
          }),
          modules: ['export default 1'],
        }),
      /node it: the module has no default export/,
    ],
  ])('%s', async (_, make, message) => {
    await using pool = await createModelPool()
    await expect(pool.load('it', make())).rejects.toThrow(message)
  })
})

const GOOD = { graph: graph([{ ...IN, id: 'it' }], out) }

describe('a bundle is refused when', () => {
  const whole = bundle({ ...GOOD, questions: [{ record: { x: 1 } }], expected: [{ output: { x: 1 } }] })
  const custom = one('custom', { module: sha256(MODULE), inputs: ['x'], outputs: [{ name: 'y', type: 'float64' }] })

  it.each<[string, () => Uint8Array, RegExp]>([
    ['it is no zip', () => Buffer.from('hello'), /BUNDLE bundle: is no zip file, or is cut/],
    ['it is empty', () => new Uint8Array(0), /is no zip file/],
    ['it is cut', () => whole.subarray(0, whole.length - 30), /is no zip file, or is cut/],
    ['it has no graph', () => zip({ 'a.txt': 'x' }), /has no entry graph\.json/],
    ['the graph is no JSON', () => zip({ 'graph.json': '{' }), /BUNDLE graph\.json: is no JSON/],
    ['the graph is no UTF-8', () => zip({ 'graph.json': Buffer.from([0xff, 0xfe]) }), /graph\.json: is no UTF-8/],
    [
      'the graph nests too deep',
      () => zip({ 'graph.json': `${'['.repeat(200)}${']'.repeat(200)}` }),
      /nests more than 100 deep/,
    ],
    [
      'a module is missing',
      () => bundle({ graph: custom }),
      /entry modules\/[0-9a-f]{64}\.js is missing, which node it names/,
    ],
    [
      'a module was changed',
      () => zip({ 'graph.json': JSON.stringify(custom), [`modules/${sha256(MODULE)}.js`]: 'x' }),
      /it was changed after node it named it/,
    ],
    [
      'a module is too long',
      () => {
        const long = `${MODULE} // ${'x'.repeat(262_144)}`
        return bundle({
          graph: one('custom', { module: sha256(long), inputs: ['x'], outputs: [{ name: 'y', type: 'float64' }] }),
          modules: [long],
        })
      },
      /the limit of a module is 262144/,
    ],
    [
      'a declared size is wrong',
      () => bundle({ graph: { ...custom, modules: { [sha256(MODULE)]: { bytes: 3 } } }, modules: [MODULE] }),
      /has 22 bytes, graph\.json says 3/,
    ],
    ['a name leads out', () => zip({ '../evil': 'x' }), /has a name that leads out of the file/],
    ['a name is absolute', () => zip({ '/etc/passwd': 'x' }), /leads out of the file/],
    ['a name has a drive', () => zip({ 'C:\\x': 'x' }), /leads out of the file/],
    ['an entry is encrypted', () => zip({ 'graph.json': '{}' }, { lie: { flags: 1 } }), /is encrypted/],
    ['an entry is packed otherwise', () => zip({ 'graph.json': '{}' }, { lie: { method: 12 } }), /packed by method 12/],
    ['an entry is damaged', () => zip({ 'graph.json': '{}' }, { lie: { crc: 1 } }), /is damaged/],
    [
      'an entry says to be small',
      () => zip({ 'graph.json': Buffer.alloc(10_000_000) }, { lie: { size: 10 } }),
      /can't be inflated to its 10 bytes/,
    ],
    [
      'an entry is too large',
      () => zip({ 'graph.json': '{}' }, { lie: { size: 2 ** 31 } }),
      /has 2147483648 bytes, the limit is/,
    ],
    [
      'it has too many entries',
      () => zip(Object.fromEntries(Array.from({ length: 700 }, (_, i) => [`a${i}`, '']))),
      /has 700 entries, the limit is 600/,
    ],
    [
      'tests and answers differ in number',
      () => bundle({ ...GOOD, questions: [{}], expected: [] }),
      /tests\/input\.jsonl: has 1 lines, tests\/expected\.jsonl has 0/,
    ],
    [
      'an answer is none',
      () => bundle({ ...GOOD, questions: [{}], expected: [{ result: 1 }] }),
      /tests\/expected\.jsonl: line 1: /,
    ],
    [
      'a question is no JSON',
      () =>
        bundle({
          ...GOOD,
          more: { 'tests/input.jsonl': '{"a":1}\n{', 'tests/expected.jsonl': '{"output":null}\n{"output":null}' },
        }),
      /tests\/input\.jsonl: line 2 is no JSON/,
    ],
    [
      'the provenance has no date',
      () => bundle({ ...GOOD, more: { 'provenance.json': '{}' } }),
      /BUNDLE provenance\.json: created: /,
    ],
  ])('%s', (_, make, message) => {
    expect(() => readBundle(make())).toThrow(message)
  })

  it('it inflates to more than the limit', () => {
    const bomb = zip({ a: Buffer.alloc(2_000_000), b: Buffer.alloc(2_000_000) })
    expect(bomb.length).toBeLessThan(10_000)
    expect(() => readBundle(bomb, { ...BUNDLE_LIMITS, maxTotalBytes: 3_000_000 })).toThrow(
      /more than 3000000 bytes together/,
    )
    expect(() => readBundle(bomb, { ...BUNDLE_LIMITS, maxBytes: 100 })).toThrow(/the limit is 100/)
  })

  it('any of its bytes are changed, or it is read as it was', () => {
    const before = readBundle(whole)
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
        fc.option(fc.nat(whole.length)),
        (edits, cut) => {
          const bytes = Uint8Array.from(cut === null ? whole : whole.subarray(0, cut))
          for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value
          try {
            // What still reads has the same contents: every entry has a checksum. Only names may differ.
            expect(readBundle(bytes).graph).toEqual(before.graph)
          } catch (error) {
            expect(error).toBeInstanceOf(RtmlError)
          }
        },
      ),
      { numRuns: 3_000 },
    )
  })

  it('any part of its graph is changed, or it still compiles', () => {
    const base = JSON.parse(JSON.stringify(compute(fn('add', col('x'), lit(1)))))
    const paths = pathsOf(base)
    const value = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom('in', 'it', 'x', 'z', 'compute', 'join', 0, -1, 1e308, '', null),
    )
    fc.assert(
      fc.property(fc.constantFrom(...paths), value, (path, made) => {
        const json = structuredClone(base)
        let at = json
        for (const key of path.slice(0, -1)) at = at[key]
        at[path.at(-1)!] = made
        try {
          compile(json)
        } catch (error) {
          expect(error).toBeInstanceOf(RtmlError)
        }
      }),
      { numRuns: 3_000 },
    )
  })
})

function pathsOf(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, it]) => [[...path, key], ...pathsOf(it, [...path, key])])
}
