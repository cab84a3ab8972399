import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { XdmEvent } from '../../../processors/app/event.ts'
import { type Clock, epochMs, type Ms } from '../../../processors/app/units.ts'
import type { Expression } from '../../../processors/expressions/types.ts'
import type { Column, FeatureSet, Vector } from '../../../processors/features/types.ts'
import type { ScorerModel } from '../../../processors/scorer/plan.ts'
import type { LoadedModel, ModelPool, ScoringRow, Tensor, TensorInfo } from '../../../processors/scorer/types.ts'

export const testdata = (name: string): Uint8Array => readFileSync(new URL(`./testdata/${name}`, import.meta.url))
export const benchModel = (): Uint8Array =>
  readFileSync(new URL('../../../models/bench/trees100x6.onnx', import.meta.url))

export interface Fixture {
  readonly inputs: Readonly<Record<string, readonly (number | string | readonly number[])[]>>
  readonly expected: Readonly<Record<string, readonly (readonly number[])[]>>
  readonly classes: readonly (number | string)[] | null
}
export const fixture = (name: string): Fixture => JSON.parse(Buffer.from(testdata(`${name}.json`)).toString('utf8'))

/** `views` is a number, `device:text` a text, `types:3` a feature of three columns `types[0]`…. Defaults: numbers 0, texts ''. */
export function featureSet(specs: readonly string[], defaults: Readonly<Record<string, number>> = {}): FeatureSet {
  const columns: Column[] = []
  let floatCount = 0
  let stringCount = 0
  for (const spec of specs) {
    const [feature = '', kind] = spec.split(':')
    if (kind === 'text') columns.push({ name: feature, feature, type: 'string', index: stringCount++ })
    else {
      const count = Number(kind ?? 1)
      for (let i = 0; i < count; i++) {
        const name = count === 1 ? feature : `${feature}[${i}]`
        columns.push({ name, feature, type: 'float', index: floatCount++ })
      }
    }
  }
  const newVector = (): Vector => ({
    floats: new Float32Array(floatCount),
    strings: new Array<string>(stringCount).fill(''),
  })
  return {
    version: 'abcdef123456',
    columns,
    floatCount,
    stringCount,
    entities: new Map(),
    resolve(name) {
      const exact = columns.filter((it) => it.name === name)
      const found = exact.length > 0 ? exact : columns.filter((it) => it.feature === name)
      return found.length > 0 ? found : undefined
    },
    newVector,
    vector(_inputs, into) {
      for (const { name, type, index } of columns) {
        if (type === 'float') into.floats[index] = defaults[name] ?? 0
        else into.strings[index] = ''
      }
    },
    ages: () => [],
  }
}

function event(id: string, key = 'ECID:1', xdm: Record<string, unknown> = {}): XdmEvent {
  const timestamp = '2026-01-01T00:00:00.000Z'
  return { id, key, ts: epochMs(Date.parse(timestamp)), xdm: { _id: id, timestamp, ...xdm } }
}

export const row = (
  id: string,
  floats: readonly number[],
  more: Partial<ScoringRow> & { key?: string; strings?: string[]; xdm?: Record<string, unknown> } = {},
): ScoringRow => ({
  event: event(id, more.key, more.xdm),
  vector: { floats: Float32Array.from(floats), strings: more.strings ?? [] },
  ...(more.explain === undefined ? {} : { explain: more.explain }),
})

/** An expression that is a plain function of the event and the variables. */
export const expression = (
  evaluate: (root: Record<string, unknown>, variables: Record<string, unknown>) => unknown,
): Expression => ({
  source: 'test',
  paths: [],
  evaluate: (root, variables) => evaluate(root as Record<string, unknown>, variables ?? {}),
  test: (root, variables) => evaluate(root as Record<string, unknown>, variables ?? {}) === true,
})

export function model(over: Partial<ScorerModel> & { name: string; bytes: Uint8Array }): ScorerModel {
  return {
    version: '1',
    service: over.name,
    role: 'champion',
    share: 0,
    deploy: 'both',
    inputs: ['x'],
    outputs: { score: undefined },
    deadlineMs: 10_000,
    fallback: { kind: 'none' },
    explain: { share: 0, top: 5 },
    maxBatchRows: 512,
    sha256: createHash('sha256').update(over.bytes).digest('hex'),
    ...over,
  }
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #now = 0
  #sleepers: { at: number; wake: () => void }[] = []
  now() {
    return epochMs(this.#now)
  }
  sleep(duration: Ms, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      signal?.addEventListener('abort', () => resolve(), { once: true })
      this.#sleepers.push({ at: this.#now + duration, wake: resolve })
    })
  }
  turn(): Promise<void> {
    return Promise.resolve()
  }
  advance(duration: number): void {
    this.#now += duration
    const due = this.#sleepers.filter((it) => it.at <= this.#now)
    this.#sleepers = this.#sleepers.filter((it) => it.at > this.#now)
    for (const it of due) it.wake()
  }
}

/** A pool whose models are functions of a row; `gate` holds runs back until a test lets them go. */
export class FunctionPool implements ModelPool {
  readonly loaded = new Map<string, Uint8Array>()
  readonly ran: string[] = []
  readonly unloaded: string[] = []
  readonly batches: number[] = []
  readonly #inputs: readonly TensorInfo[]
  gate: Promise<void> = Promise.resolve()
  answer: (key: string, rows: Float32Array[]) => number[] = (_key, rows) => rows.map((it) => it[0] as number)

  constructor(inputs: readonly TensorInfo[] = [{ name: 'x', type: 'float32', dims: [-1, 1] }]) {
    this.#inputs = inputs
  }
  async load(key: string, bytes: Uint8Array): Promise<LoadedModel> {
    if (bytes[0] === 0xff) throw new Error('a broken model')
    this.loaded.set(key, bytes)
    const outputs = [{ name: 'y', type: 'float32', dims: [-1, 1] }]
    return { key, signature: { inputs: this.#inputs, outputs }, classes: undefined }
  }
  async unload(key: string): Promise<void> {
    this.loaded.delete(key)
    this.unloaded.push(key)
  }
  async run(key: string, inputs: Readonly<Record<string, Tensor>>, _fetches?: readonly string[], signal?: AbortSignal) {
    this.ran.push(key)
    const { dims, data } = Object.values(inputs)[0] as Tensor
    const width = data.length / (dims[0] as number)
    this.batches.push(dims[0] as number)
    await Promise.race([this.gate, aborted(signal)])
    signal?.throwIfAborted()
    if (!this.loaded.has(key)) throw new Error(`${key} was unloaded under a call`)
    const rows = Array.from({ length: dims[0] as number }, (_, i) =>
      (data as Float32Array).slice(i * width, (i + 1) * width),
    )
    return { y: { type: 'float32', dims: [rows.length, 1], data: Float32Array.from(this.answer(key, rows)) } }
  }
  async [Symbol.asyncDispose]() {}
}

function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true }))
}
