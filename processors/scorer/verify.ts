/** `rtml models verify`: runs models on inputs whose outputs are known and says where they differ. */
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { elementOf, type IoFile, IoFileError, type IoValue, parseIoFile, tensorOf } from './io-file.ts'
import type { LoadedModel, ModelPool, Tensor } from './types.ts'

export interface Mismatch {
  readonly output: string
  /** Position in the flat data. */
  readonly index: number
  readonly expected: string | number
  readonly got: string | number
}

export interface Verification {
  /** Folder of the model, relative to the one that was given; '.' for itself. */
  readonly model: string
  readonly ok: boolean
  /** At most `MAX_MISMATCHES` an output. */
  readonly mismatches: readonly Mismatch[]
  /** Why nothing, or not everything, could be compared. */
  readonly error?: string
}

/**
 * |got − expected| ≤ 1e-3 · |expected| + 1e-5 · (largest |expected| of the output) + 1e-7. The middle term: a float32 sum that
 * cancels to nearly zero carries the rounding of its terms, whose size is the tensor's, not the element's.
 */
const RELATIVE = 1e-3
const OF_SCALE = 1e-5
const ABSOLUTE = 1e-7
/** One unit in the last place of a half is 2^-11 of the value; results of two roundings may be two units apart. */
const RELATIVE_HALF = 2e-3
const MAX_MISMATCHES = 20
const MAX_DEPTH = 8
const MAX_FOLDERS = 100_000

/** Every `model.onnx` that has an `io.json` beside it, below `dir`, in the order of their names. Never throws for a bad model. */
export async function* verifyModels(dir: string, pool: ModelPool): AsyncGenerator<Verification> {
  for await (const folder of modelFolders(dir)) {
    yield { model: relative(dir, folder) || '.', ...(await verifyFolder(folder, pool)) }
  }
}

async function* modelFolders(dir: string): AsyncGenerator<string> {
  const stack = [{ path: dir, depth: 0 }]
  let seen = 0
  for (let next = stack.pop(); next && seen < MAX_FOLDERS; next = stack.pop(), seen++) {
    const entries = await readdir(next.path, { withFileTypes: true })
    const names = new Set(entries.map((it) => it.name))
    if (names.has('model.onnx') && names.has('io.json')) yield next.path
    if (next.depth >= MAX_DEPTH) continue
    const folders = entries.filter((it) => it.isDirectory() && it.name !== 'node_modules' && !it.name.startsWith('.'))
    // Last in, first out: push in reverse to come out in order.
    for (const it of folders.sort((a, b) => (a.name < b.name ? 1 : -1))) {
      stack.push({ path: join(next.path, it.name), depth: next.depth + 1 })
    }
  }
}

async function verifyFolder(folder: string, pool: ModelPool): Promise<Omit<Verification, 'model'>> {
  const key = `verify:${folder}`
  try {
    const io = parseIoFile(await readFile(join(folder, 'io.json'), 'utf8'))
    const loaded = await pool.load(key, await readFile(join(folder, 'model.onnx')), { warmRows: 0 })
    try {
      return await verifyModel(key, loaded, io, pool)
    } finally {
      await pool.unload(key)
    }
  } catch (error) {
    return { ok: false, mismatches: [], error: (error as Error).message.replace(`${key}: `, '') }
  }
}

async function verifyModel(
  key: string,
  loaded: LoadedModel,
  io: IoFile,
  pool: ModelPool,
): Promise<Omit<Verification, 'model'>> {
  const expected = new Map(io.outputs.flatMap((it) => expectedTensors(it, loaded)).map((it) => [it.name, it]))
  for (const name of expected.keys()) {
    const opaque = loaded.opaque?.find((it) => it.name === name)
    if (opaque)
      throw new IoFileError(`unsupported: output ${name} is a ${opaque.kind}, which gives no numbers. ${opaque.remedy}`)
    if (!loaded.signature.outputs.some((it) => it.name === name)) {
      const names = loaded.signature.outputs.map((it) => it.name).join(', ')
      throw new IoFileError(`io.json: the model has no output ${name}; it has ${names}`)
    }
  }
  const results = await pool.run(key, feedsOf(loaded, io), [...expected.keys()])
  const mismatches: Mismatch[] = []
  const errors: string[] = []
  for (const [name, value] of expected) {
    const got = results[name]
    if (!got) errors.push(`output ${name} is missing`)
    else if (got.dims.join() !== value.dims.join()) {
      errors.push(`output ${name} has shape [${got.dims.join(', ')}], expected [${value.dims.join(', ')}]`)
    } else if (got.type !== value.type) errors.push(`output ${name} is ${got.type}, expected ${value.type}`)
    else mismatches.push(...compare(name, tensorOf(value), got))
  }
  const ok = mismatches.length === 0 && errors.length === 0
  return { ok, mismatches, ...(errors.length > 0 ? { error: errors.join('; ') } : {}) }
}

function feedsOf(loaded: LoadedModel, io: IoFile): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {}
  const given = new Map(io.inputs.map((it) => [it.name, it]))
  for (const input of loaded.signature.inputs) {
    const value = given.get(input.name)
    if (!input.dims)
      throw new IoFileError(
        `unsupported: input ${input.name} is a sequence, a map or an optional; only tensors are fed`,
      )
    if (!value) throw new IoFileError(`io.json gives no input ${input.name}`)
    feeds[input.name] = tensorOf(value)
  }
  return feeds
}

/**
 * What the file expects, by the names that the loaded model has: a ZipMap's list of maps becomes the probabilities in the
 * order of the classes, a list of tensors becomes `name[0]`, `name[1]`….
 */
function expectedTensors(value: IoValue, loaded: LoadedModel): IoValue[] {
  const { data, name } = value
  const [first] = data
  if (typeof first !== 'object' || first === null) return [value]
  if ('data' in first) {
    if (loaded.opaque?.some((it) => it.name === name)) return [value]
    return (data as IoValue[]).map((it, part) => ({ ...it, name: `${name}[${part}]` }))
  }
  const { classes } = loaded
  if (!classes)
    throw new IoFileError(`unsupported: output ${name} is a list of maps whose classes the model doesn't say`)
  const rows = (data as Record<string, unknown>[]).flatMap((map) => classes.map((it) => map[String(it)]))
  return [{ name, type: 'float32', dims: [data.length, classes.length], data: rows }]
}

function compare(output: string, expected: Tensor, got: Tensor): Mismatch[] {
  const mismatches: Mismatch[] = []
  const relative = expected.type === 'float16' ? RELATIVE_HALF : RELATIVE
  const absolute = ABSOLUTE + OF_SCALE * scaleOf(expected)
  for (let index = 0; index < expected.data.length && mismatches.length < MAX_MISMATCHES; index++) {
    const want = elementOf(expected, index)
    const have = elementOf(got, index)
    if (!isClose(want, have, relative, absolute))
      mismatches.push({ output, index, expected: printable(want), got: printable(have) })
  }
  return mismatches
}

/** 0 for whole numbers and texts: they must be equal. */
function scaleOf(expected: Tensor): number {
  if (!expected.type.startsWith('float')) return 0
  let scale = 0
  for (let i = 0; i < expected.data.length; i++) {
    const size = Math.abs(Number(elementOf(expected, i)))
    if (size > scale && size < Number.POSITIVE_INFINITY) scale = size
  }
  return scale
}

function isClose(want: unknown, have: unknown, relative: number, absolute: number): boolean {
  if (Object.is(want, have) || want === have) return true
  if (typeof want !== 'number' || typeof have !== 'number' || !Number.isFinite(want)) return false
  return Math.abs(have - want) <= absolute + relative * Math.abs(want)
}

/** JSON-safe: NaN, infinities and int64 as text. */
function printable(value: string | number | bigint | undefined): string | number {
  return typeof value === 'number' && Number.isFinite(value) ? value : String(value)
}
