import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ColumnList, ModuleSpec } from '../../../processors/graph/sandbox/protocol.ts'
import { Sandbox } from '../../../processors/graph/sandbox/sandbox.ts'

const sandbox = new Sandbox()
afterAll(() => sandbox[Symbol.asyncDispose]())
// A thread ends with its last module: this one keeps it for all tests.
beforeAll(() => sandbox.load('idle', { source: 'export default () => 1', outputs: NUMBER, ...LIMITS }))

const LIMITS = { timeoutMs: 300, memoryMb: 16 }
const NUMBER = [{ name: 'y', type: 'float64' }] as const
const given: ColumnList = {
  names: ['x', 't', 'b'],
  types: ['float64', 'string', 'bool'],
  data: [Float64Array.of(1, Number.NaN, 3), ['a', null, 'c'], Float64Array.of(1, 0, 1)],
}
let next = 0

/** Loads a module, calls it once and forgets it. */
async function call(source: string, more: Partial<ModuleSpec> = {}): Promise<ColumnList> {
  const key = `${next++}`
  await sandbox.load(key, { source, outputs: NUMBER, ...LIMITS, ...more })
  try {
    return await sandbox.call(key, given, 3)
  } finally {
    await sandbox.unload(key)
  }
}

/** A module that answers with a text for each row. */
const say = (expression: string) =>
  call(`export default (c, n) => ({ y: Array.from({ length: n }, () => String(${expression})) })`, {
    outputs: [{ name: 'y', type: 'string' }],
  })

describe('a custom module', () => {
  it('gets columns of numbers, texts and bools, and gives columns back', async () => {
    const source = `export default ({ x, t, b }, rows) => ({
      y: x.map((v, i) => v + b[i]),
      z: t.map((v) => v === null ? null : v.toUpperCase()),
      k: Array.from(x, (v) => Number.isNaN(v) ? null : v > 2),
    })`
    const outputs = [
      { name: 'y', type: 'float64' },
      { name: 'z', type: 'string' },
      { name: 'k', type: 'bool' },
    ] as const
    expect(await call(source, { outputs })).toEqual({
      names: ['y', 'z', 'k'],
      types: ['float64', 'string', 'bool'],
      data: [Float64Array.of(2, Number.NaN, 4), ['A', null, 'C'], Float64Array.of(0, Number.NaN, 1)],
    })
  })

  it.each([
    'process',
    'require',
    'fetch',
    'setTimeout',
    'performance',
    'Date',
    'WeakRef',
    'FinalizationRegistry',
    'console',
    'WebAssembly',
    'Atomics',
    'std',
    'os',
    'Math.random',
    'globalThis.process',
    'Intl',
    'navigator',
    'this',
    'c.constructor',
    '(() => {}).constructor("return typeof process")() === "undefined" ? undefined : 1',
    '(async () => {}).constructor("return typeof require")().then ? undefined : 1',
  ])('has no %s', async (name) => {
    expect((await say(`typeof (${name})`)).data[0]).toEqual(['undefined', 'undefined', 'undefined'])
  })

  it.each([
    ['imports', 'import fs from "node:fs"\nexport default () => ({ y: [1, 2, 3] })', /the module threw .*node:fs/],
    ['imports when it is called', 'export default async () => { await import("fs") }', /the answer has no array y/],
    ['is no JavaScript', 'export default (', /the module threw SyntaxError/],
    ['exports nothing', 'const y = 1', /no default export that is a function/],
    ['throws', 'export default () => { throw new TypeError("no price") }', /the module threw TypeError: no price/],
    ['throws something odd', 'export default () => { throw null }', /the module threw null/],
    ['loops for ever', 'export default () => { for (;;); }', /took longer than timeoutMs/],
    ['loops for ever where it is loaded', 'for (;;);\nexport default () => 1', /took longer than timeoutMs/],
    ['matches for ever', 'export default () => /(a+)+b/.test("a".repeat(40))', /took longer than timeoutMs/],
    [
      'wants all memory',
      'export default () => { const a = []; for (;;) a.push(new Float64Array(1e5)) }',
      /more memory than memoryMb|took longer|did not stop/,
    ],
    [
      'wants all memory in a text',
      'export default () => "x".repeat(2 ** 29)',
      /more memory|invalid|took longer|did not stop/i,
    ],
    ['calls itself for ever', 'export default function f() { return f() }', /the module (threw|nests)/],
    ['answers with nothing', 'export default () => {}', /answered with a undefined/],
    ['forgets an output', 'export default () => ({ z: [1, 2, 3] })', /the answer has no array y/],
    ['forgets a row', 'export default () => ({ y: [1, 2] })', /output y has 2 values for 3 rows/],
    [
      'gives a text for a number',
      'export default () => ({ y: [1, "2", 3] })',
      /output y, row 1: a string, wanted a number/,
    ],
    [
      'lies about its length',
      'export default () => ({ y: { length: 3, 0: 1, 1: 1, 2: 1 } })',
      /the answer has no array y/,
    ],
  ])('is refused when it %s', async (_, source, message) => {
    await expect(call(source)).rejects.toThrow(message)
  })

  it('is ended when a built-in function never comes back', async () => {
    const source = 'export default () => ({ y: [Array.prototype.indexOf.call({ length: 2 ** 53 }, 1), 0, 0] })'
    const before = sandbox.restarts
    await expect(call(source)).rejects.toThrow(/did not stop within 1300 ms and was ended/)
    expect(sandbox.restarts).toBe(before + 1)
  })

  it('serves the others after one was ended', async () => {
    await sandbox.load('good', { source: 'export default ({ x }) => ({ y: x })', outputs: NUMBER, ...LIMITS })
    await expect(call('export default () => Array.prototype.indexOf.call({ length: 2 ** 53 }, 1)')).rejects.toThrow(
      /ended/,
    )
    expect((await sandbox.call('good', given, 3)).data).toEqual([Float64Array.of(1, Number.NaN, 3)])
    await sandbox.unload('good')
  })

  it('only fools itself when it changes what everything is built on', async () => {
    const source = `
      for (const it of [Object.prototype, Array.prototype, Function.prototype]) {
        Object.defineProperty(it, 'rtml', { get() { throw 1 }, set() { throw 2 } })
      }
      Array.isArray = () => true
      JSON.stringify = () => '"owned"'
      JSON.parse = () => { throw 3 }
      Float64Array.prototype.map = () => { throw 4 }
      Object.getPrototypeOf(Float64Array.prototype).fill = null
      Array.prototype[Symbol.iterator] = null
      globalThis.Float64Array = null
      export default (c, n) => ({ __proto__: null, y: [c.x[0], 5, 6], z: [c.t[0], 'b', null] })`
    const outputs = [...NUMBER, { name: 'z', type: 'string' }] as const
    expect((await call(source, { outputs })).data).toEqual([Float64Array.of(1, 5, 6), ['a', 'b', null]])
  })

  it('remembers nothing from one batch to the next', async () => {
    const source = `let calls = 0
      export default (c, n) => { globalThis.seen = (globalThis.seen ?? 0) + 1; calls++; return { y: new Array(n).fill(calls + seen) } }`
    await sandbox.load('counts', { source, outputs: NUMBER, ...LIMITS })
    for (let i = 0; i < 3; i++)
      expect((await sandbox.call('counts', given, 3)).data).toEqual([Float64Array.of(2, 2, 2)])
    await sandbox.unload('counts')
  })
})
