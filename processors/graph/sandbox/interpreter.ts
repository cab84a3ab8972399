/**
 * Custom modules in QuickJS, an interpreter compiled to WebAssembly: a module sees its columns and the language, nothing
 * of this process. Why not node:vm or a bare worker: docs/decisions/011-custom-operators.md.
 */
import variant from '@jitl/quickjs-wasmfile-release-sync'
import {
  newQuickJSWASMModuleFromVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSRuntime,
  type QuickJSSyncVariant,
  type QuickJSWASMModule,
} from 'quickjs-emscripten-core'
import type { ColumnList, ModuleSpec } from './protocol.ts'

/** The module broke a bound, threw, or answered in another form. */
export class ModuleProblem extends Error {}

/** Loading a module isn't a call: what `timeoutMs` allows for one may be too little for the first compilation on a busy machine. */
const LOAD_MS = 500
const STACK_BYTES = 256 * 1_024
/** Text that a call may answer with: as many characters would be a mistake anyway. */
const MAX_TEXT_CHARS = 4_194_304

/**
 * Runs before the module in its context. Takes the clock and chance away (`Date` is never there), and keeps what it needs of
 * the language, so that a module that changes prototypes only fools itself.
 */
const PRELUDE = `(() => {
  'use strict'
  delete Math.random
  delete globalThis.WeakRef
  delete globalThis.FinalizationRegistry
  const { parse, stringify } = JSON
  const { isArray } = Array
  const F64 = Float64Array, U8 = Uint8Array
  const lengthOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(F64.prototype), 'length').get
  const bufferOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(F64.prototype), 'buffer').get
  const { apply, getPrototypeOf, create } = { apply: Reflect.apply, getPrototypeOf: Object.getPrototypeOf, create: Object.create }
  const TypedArrayPrototype = getPrototypeOf(F64.prototype)
  const isTyped = (it) => { try { return typeof apply(lengthOf, it, []) === 'number' } catch { return false } }
  const fail = (text) => { throw { rtml: text } }
  const numbers = (name, list, rows) => {
    const out = new F64(rows)
    for (let i = 0; i < rows; i++) {
      const value = list[i]
      if (typeof value === 'number') out[i] = value
      else if (typeof value === 'boolean') out[i] = value ? 1 : 0
      else if (value === null || value === undefined) out[i] = NaN
      else fail('output ' + name + ', row ' + i + ': a ' + typeof value + ', wanted a number')
    }
    return apply(bufferOf, out, [])
  }
  const texts = (name, list, rows) => {
    const out = []
    for (let i = 0; i < rows; i++) {
      const value = list[i]
      if (value !== null && value !== undefined && typeof value !== 'string')
        fail('output ' + name + ', row ' + i + ': a ' + typeof value + ', wanted a text')
      out[i] = value === undefined ? null : value
    }
    return stringify(out)
  }
  return (run, names, types, data, outputs, outputTypes, rows) => {
    const columns = create(null)
    for (let i = 0; i < names.length; i++) {
      if (types[i] === 'string') columns[names[i]] = parse(data[i])
      else if (types[i] === 'bool') columns[names[i]] = new U8(new F64(data[i]))
      else columns[names[i]] = new F64(data[i])
    }
    const answer = run(columns, rows)
    if (typeof answer !== 'object' || answer === null) fail('the module answered with ' + (answer === null ? 'null' : 'a ' + typeof answer) + ', wanted an object of columns')
    const made = []
    for (let i = 0; i < outputs.length; i++) {
      const name = outputs[i], list = answer[name]
      if (!isArray(list) && !isTyped(list)) fail('the answer has no array ' + name)
      const length = isArray(list) ? list.length : apply(lengthOf, list, [])
      if (length !== rows) fail('output ' + name + ' has ' + length + ' values for ' + rows + ' rows')
      made[i] = outputTypes[i] === 'string' ? texts(name, list, rows) : numbers(name, list, rows)
    }
    return made
  }
})()`

export class Interpreter {
  readonly #wasm: QuickJSWASMModule

  private constructor(wasm: QuickJSWASMModule) {
    this.#wasm = wasm
  }

  static async open(): Promise<Interpreter> {
    return new Interpreter(await newQuickJSWASMModuleFromVariant(variant as unknown as QuickJSSyncVariant))
  }

  /** Evaluates a module once and throws it away: syntax, imports, the default export. @throws ModuleProblem */
  check(spec: ModuleSpec): void {
    this.#within({ ...spec, timeoutMs: Math.max(spec.timeoutMs, LOAD_MS) }, (context) => {
      exportOf(context, spec).dispose()
    })
  }

  /**
   * One call in a context of its own, so that nothing that a module keeps can reach another batch: 0.4 ms.
   * @throws ModuleProblem
   */
  call(spec: ModuleSpec, columns: ColumnList, rows: number): ColumnList {
    return this.#within(spec, (context) => {
      const prelude = context.unwrapResult(context.evalCode(PRELUDE, 'rtml.js'))
      const run = exportOf(context, spec)
      const list = (values: readonly QuickJSHandle[]): QuickJSHandle => {
        const array = context.newArray()
        for (const [index, value] of values.entries()) {
          context.setProp(array, index, value)
          value.dispose()
        }
        return array
      }
      const data = columns.data.map((it) =>
        it instanceof Float64Array
          ? context.newArrayBuffer(it.buffer.slice(it.byteOffset, it.byteOffset + it.byteLength) as ArrayBuffer)
          : context.newString(JSON.stringify(it)),
      )
      const args = [
        run,
        list(columns.names.map((it) => context.newString(it))),
        list(columns.types.map((it) => context.newString(it))),
        list(data),
        list(spec.outputs.map(({ name }) => context.newString(name))),
        list(spec.outputs.map(({ type }) => context.newString(type))),
        context.newNumber(rows),
      ]
      const result = context.callFunction(prelude, context.undefined, ...args)
      for (const it of [prelude, ...args]) it.dispose()
      if (result.error) throw problemOf(context, result.error)
      const made = result.value
      const answer = spec.outputs.map(({ name, type }, index) => {
        const value = context.getProp(made, index)
        try {
          return type === 'string' ? textsOf(context, value, name, rows) : numbersOf(context, value, name, rows)
        } finally {
          value.dispose()
        }
      })
      made.dispose()
      return { names: spec.outputs.map(({ name }) => name), types: spec.outputs.map(({ type }) => type), data: answer }
    })
  }

  #within<T>({ memoryMb, timeoutMs }: ModuleSpec, work: (context: QuickJSContext) => T): T {
    const runtime: QuickJSRuntime = this.#wasm.newRuntime()
    let context: QuickJSContext | undefined
    try {
      runtime.setMemoryLimit(memoryMb * 1_048_576)
      runtime.setMaxStackSize(STACK_BYTES)
      const endsAt = performance.now() + timeoutMs
      runtime.setInterruptHandler(() => performance.now() > endsAt)
      context = runtime.newContext({ intrinsics: { ...INTRINSICS } })
      return work(context)
    } finally {
      context?.dispose()
      runtime.dispose()
    }
  }
}

/** All of the language but the clock. */
const INTRINSICS = {
  BaseObjects: true,
  Date: false,
  Eval: true,
  StringNormalize: true,
  RegExp: true,
  RegExpCompiler: true,
  JSON: true,
  Proxy: true,
  MapSet: true,
  TypedArrays: true,
  Promise: true,
  BigInt: true,
} as const

function exportOf(context: QuickJSContext, { source }: ModuleSpec): QuickJSHandle {
  const result = context.evalCode(source, 'module.js', { type: 'module', strict: true })
  if (result.error) throw problemOf(context, result.error)
  const module = result.value
  const made = context.getProp(module, 'default')
  module.dispose()
  if (context.typeof(made) === 'function') return made
  made.dispose()
  throw new ModuleProblem(
    'the module has no default export that is a function: export default (columns, rows) => ({ … })',
  )
}

function problemOf(context: QuickJSContext, error: QuickJSHandle): ModuleProblem {
  const dumped: unknown = context.dump(error)
  error.dispose()
  if (typeof dumped === 'object' && dumped !== null) {
    const { rtml, name, message } = dumped as { rtml?: unknown; name?: unknown; message?: unknown }
    if (typeof rtml === 'string') return new ModuleProblem(rtml.slice(0, 500))
    if (message === 'interrupted') return new ModuleProblem('the module took longer than timeoutMs')
    if (message === 'out of memory') return new ModuleProblem('the module wanted more memory than memoryMb')
    return new ModuleProblem(`the module threw ${String(name).slice(0, 50)}: ${String(message).slice(0, 500)}`)
  }
  return new ModuleProblem(`the module threw ${String(dumped).slice(0, 500)}`)
}

function numbersOf(context: QuickJSContext, value: QuickJSHandle, name: string, rows: number): Float64Array {
  const bytes = context.getArrayBuffer(value)
  try {
    if (bytes.value.byteLength !== rows * 8) throw new ModuleProblem(`output ${name} hasn't ${rows} numbers`)
    // Copied: the view is of the interpreter's own memory.
    return new Float64Array(bytes.value.slice().buffer)
  } finally {
    bytes.dispose()
  }
}

function textsOf(context: QuickJSContext, value: QuickJSHandle, name: string, rows: number): (string | null)[] {
  const json = context.typeof(value) === 'string' ? context.getString(value) : ''
  if (json.length > MAX_TEXT_CHARS) throw new ModuleProblem(`output ${name} has more than ${MAX_TEXT_CHARS} characters`)
  const list: unknown = json === '' ? undefined : JSON.parse(json)
  if (!Array.isArray(list) || list.length !== rows || !list.every((it) => it === null || typeof it === 'string'))
    throw new ModuleProblem(`output ${name} hasn't ${rows} texts`)
  return list
}
