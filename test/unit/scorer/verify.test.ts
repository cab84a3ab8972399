import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createModelPool, type Verification, verifyModels, type WorkerPool } from '../../../processors/scorer/index.ts'
import { FLOAT16, identityModel, node, onnx, sequenceValue, value } from './proto-writer.ts'
import { testdata } from './support.ts'

let pool: WorkerPool
beforeAll(async () => {
  pool = await createModelPool()
})
afterAll(() => pool[Symbol.asyncDispose]())

async function verifyAll(dir: string): Promise<Verification[]> {
  const all: Verification[] = []
  for await (const it of verifyModels(dir, pool)) all.push(it)
  return all
}

it('gives the published output of every conformance model', async () => {
  const all = await verifyAll(fileURLToPath(new URL('../../../models/conformance', import.meta.url)))
  expect(all.filter((it) => !it.ok)).toEqual([])
  expect(all).toHaveLength(48)
  expect(all.map((it) => it.model)).toContain('sequence_model5')
  expect(pool.stats().models).toBe(0)
})

describe('verifying a folder', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rtml-verify-'))
  })
  afterEach(() => rm(dir, { recursive: true }))

  const put = async (name: string, model: Uint8Array, io: unknown) => {
    await mkdir(join(dir, name), { recursive: true })
    await writeFile(join(dir, name, 'model.onnx'), model)
    await writeFile(join(dir, name, 'io.json'), typeof io === 'string' ? io : JSON.stringify(io))
  }
  const tensor = (name: string, type: string, data: unknown[], dims = [data.length]) => ({ name, type, dims, data })
  const io = (type: string, given: unknown[], expected: unknown[]) => ({
    inputs: [tensor('x', type, given)],
    outputs: [tensor('y', type, expected)],
  })
  const only = async () => {
    const all = await verifyAll(dir)
    expect(all).toHaveLength(1)
    return all[0] as Verification
  }

  it('names each value that differs, and how many of them at most', async () => {
    await put('deep/er/m', identityModel({ dims: ['n'] }), io('float32', [1, 2, 3], [1, 2.5, 3.002]))
    expect(await only()).toEqual({
      model: 'deep/er/m',
      ok: false,
      mismatches: [{ output: 'y', index: 1, expected: 2.5, got: 2 }],
    })
    await put(
      'deep/er/m',
      identityModel({ dims: ['n'] }),
      io('float32', new Array(100).fill(1), new Array(100).fill(2)),
    )
    expect((await only()).mismatches).toHaveLength(20)
  })

  it.each<[string, number, string, unknown[]]>([
    ['int64 as text and number', 7, 'int64', ['9007199254740993', -5, '0']],
    ['uint64', 13, 'uint64', ['18446744073709551615']],
    ['int32', 6, 'int32', [-2147483648, 7]],
    ['int8', 3, 'int8', [-128, 127]],
    ['uint8', 2, 'uint8', [0, 255]],
    ['int16', 5, 'int16', [-32768]],
    ['uint16', 4, 'uint16', [65535]],
    ['uint32', 12, 'uint32', [4294967295]],
    ['bool', 9, 'bool', [true, false, 1, 0]],
    ['float64', 11, 'float64', [1.000000000001, null]],
    ['float16', FLOAT16, 'float16', [0.1, 65504, -2]],
    ['string', 8, 'string', ['schön', '', 'x']],
    ['float32 with NaN and infinities', 1, 'float32', [null, 'NaN', 'Infinity', '-inf', 1.5]],
  ])('reads and compares %s', async (_, element, type, data) => {
    await put('m', identityModel({ element, dims: ['n'], opset: 17 }), io(type, data, data))
    expect(await only()).toEqual({ model: 'm', ok: true, mismatches: [] })
  })

  it('tells int64 values beyond 2^53 apart', async () => {
    await put('m', identityModel({ element: 7, dims: ['n'] }), io('int64', ['9007199254740993'], ['9007199254740992']))
    expect(await only()).toMatchObject({
      ok: false,
      mismatches: [{ output: 'y', index: 0, expected: '9007199254740992', got: '9007199254740993' }],
    })
  })

  it('compares a ZipMap’s list of maps with the probabilities', async () => {
    const fixture = JSON.parse(Buffer.from(testdata('logreg_zipmap_text.json')).toString())
    const rows = fixture.expected.output_probability as number[][]
    const maps = rows.map((row) => Object.fromEntries(row.map((it, i) => [fixture.classes[i], it])))
    const outputs = [
      { name: 'output_probability', type: 'sequence(map(string,tensor(float)))', dims: [maps.length], data: maps },
    ]
    const inputs = [tensor('X', 'float32', fixture.inputs.X.flat(), [rows.length, 8])]
    await put('m', testdata('logreg_zipmap_text.onnx'), { inputs, outputs })
    expect(await only()).toMatchObject({ ok: true })
  })

  it('leaves a missing optional input out', async () => {
    const clip = onnx({
      nodes: [node('Clip', ['x', '', 'max'], ['y'])],
      inputs: [value('x', 1, ['n']), value('max', 1, [])],
      outputs: [value('y', 1, ['n'])],
    })
    const inputs = [
      tensor('x', 'float32', [1, 5]),
      null,
      { name: '', type: 'float32', dims: [], data: null },
      tensor('max', 'float32', [2], []),
    ]
    await put('m', clip, { inputs, outputs: [tensor('y', 'float32', [1, 2])] })
    expect(await only()).toMatchObject({ ok: true })
  })

  const splits = onnx({
    nodes: [node('SplitToSequence', ['x'], ['y'])],
    inputs: [value('x', 1, ['n'])],
    outputs: [sequenceValue('y', 1)],
  })
  it.each<[string, Uint8Array, unknown, RegExp]>([
    [
      'a sequence output',
      splits,
      io('float32', [1], [1]),
      /^unsupported: output y is a sequence, .*ConcatFromSequence/,
    ],
    ['no JSON', identityModel(), '{', /^io.json is not JSON/],
    ['no inputs', identityModel(), {}, /^io.json: inputs is not a list/],
    [
      'dims that do not fit',
      identityModel(),
      { inputs: [tensor('x', 'float32', [1, 2], [3])], outputs: [] },
      /x has 2 values for shape \[3\]/,
    ],
    [
      'an unknown type',
      identityModel(),
      io('complex64', [1], [1]),
      /complex64; the runtime's binding reads no such type/,
    ],
    [
      'an unknown output',
      identityModel({ dims: ['n'] }),
      { inputs: [tensor('x', 'float32', [1])], outputs: [tensor('z', 'float32', [1])] },
      /no output z; it has y/,
    ],
    [
      'another shape',
      identityModel(),
      { inputs: [tensor('x', 'float32', [1], [1, 1])], outputs: [tensor('y', 'float32', [1])] },
      /shape \[1, 1\], expected \[1\]/,
    ],
    [
      'another type',
      identityModel({ dims: ['n'] }),
      { inputs: [tensor('x', 'float32', [1])], outputs: [tensor('y', 'float64', [1])] },
      /y is float32, expected float64/,
    ],
    ['a broken model', Buffer.from('nonsense'), io('float32', [1], [1]), /^MODEL_LOAD not an ONNX file/],
    [
      'a word for a number',
      identityModel({ dims: ['n'] }),
      io('float32', ['many'], [1]),
      /x has "many", which is no number/,
    ],
  ])('says what is wrong with %s', async (_, model, file, message) => {
    await put('m', model, file)
    const found = await only()
    expect(found).toMatchObject({ model: 'm', ok: false, mismatches: [] })
    expect(found.error).toMatch(message)
  })

  it('goes on after a bad model, in the order of names, and skips folders without both files', async () => {
    await put('b', Buffer.from('nonsense'), io('float32', [1], [1]))
    await put('c', identityModel({ dims: ['n'] }), io('float32', [1], [1]))
    await put('a', identityModel({ dims: ['n'] }), io('float32', [1], [1]))
    await mkdir(join(dir, 'empty'))
    expect((await verifyAll(dir)).map((it) => [it.model, it.ok])).toEqual([
      ['a', true],
      ['b', false],
      ['c', true],
    ])
    expect((await verifyAll(join(dir, 'a'))).map((it) => it.model)).toEqual(['.'])
  })
})
