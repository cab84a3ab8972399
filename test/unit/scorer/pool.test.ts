import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createModelPool, PoolBusy, WorkerCrashed, type WorkerPool } from '../../../processors/scorer/index.ts'
import type { Tensor } from '../../../processors/scorer/types.ts'
import { cast, FLOAT16, INT4, identityModel, node, onnx, sequenceValue, value } from './proto-writer.ts'
import { benchModel, testdata } from './support.ts'

const floats = (...values: number[]): Record<string, Tensor> => ({
  x: { type: 'float32', dims: [values.length, 1], data: Float32Array.from(values) },
})
const numbers = (result: Record<string, Tensor>): unknown[] => [...(result.y?.data ?? [])]
const failingWorker = new URL('./failing-worker.ts', import.meta.url)

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('the condition was not met within 20 s')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('a model pool', () => {
  let pool: WorkerPool
  beforeAll(async () => {
    pool = await createModelPool({ workers: 2, maxModelBytes: 1_000_000 })
  })
  afterAll(() => pool[Symbol.asyncDispose]())

  it('loads a model into every worker once and runs it', async () => {
    const first = await pool.load('identity', identityModel())
    const again = await pool.load('identity', identityModel())
    expect(again).toBe(first)
    expect(first.signature).toEqual({
      inputs: [{ name: 'x', type: 'float32', dims: [-1, 1] }],
      outputs: [{ name: 'y', type: 'float32', dims: [-1, 1] }],
    })
    const runs = await Promise.all([1, 2, 3, 4, 5, 6].map((it) => pool.run('identity', floats(it, -it))))
    expect(runs.map((it) => numbers(it))).toEqual([1, 2, 3, 4, 5, 6].map((it) => [it, -it]))
  })

  it('takes an input array over, and copies a view of a larger one', async () => {
    await pool.load('identity', identityModel())
    const whole = new Float32Array([1, 2])
    await pool.run('identity', { x: { type: 'float32', dims: [2, 1], data: whole } })
    expect(whole.length).toBe(0)
    const buffer = new Float32Array([7, 8, 9, 10])
    const result = await pool.run('identity', { x: { type: 'float32', dims: [2, 1], data: buffer.subarray(1, 3) } })
    expect(numbers(result)).toEqual([8, 9])
    expect([...buffer]).toEqual([7, 8, 9, 10])
  })

  it('forgets an unloaded model', async () => {
    await pool.load('gone', identityModel())
    await pool.unload('gone')
    await expect(pool.run('gone', floats(1))).rejects.toThrow('MODEL_LOAD gone is not loaded')
    await expect(pool.unload('never loaded')).resolves.toBeUndefined()
  })

  it('carries float16 as 16-bit words', async () => {
    await pool.load('half', identityModel({ element: FLOAT16, dims: ['n'] }))
    const words = new Uint16Array([0x3c00, 0xc000, 0x7bff])
    const result = await pool.run('half', { x: { type: 'float16', dims: [3], data: words } })
    expect(result.y).toEqual({ type: 'float16', dims: [3], data: new Uint16Array([0x3c00, 0xc000, 0x7bff]) })
  })

  it('refuses what is no ONNX file and names the remedy', async () => {
    await expect(pool.load('text', Buffer.from('not a model at all'))).rejects.toThrow(
      /^MODEL_LOAD text: not an ONNX file: .*copied whole/,
    )
    await expect(pool.load('empty', new Uint8Array(0))).rejects.toThrow('MODEL_LOAD empty: not an ONNX file')
    const cut = benchModel().subarray(0, 200_000)
    await expect(pool.load('cut', cut)).rejects.toThrow(/^MODEL_LOAD cut: not an ONNX file: .*only \d+ are left/)
  })

  it('loads a good file under a key that failed before', async () => {
    await expect(pool.load('retry', new Uint8Array([1, 2]))).rejects.toThrow('MODEL_LOAD')
    await expect(pool.load('retry', identityModel())).resolves.toMatchObject({ key: 'retry' })
  })

  it('refuses a file above the limit', async () => {
    const big = identityModel({ padding: new Uint8Array(1_000_001) })
    await expect(pool.load('big', big)).rejects.toThrow(/MODEL_LOAD big has \d+ bytes, the limit is 1000000/)
  })

  it('never asks the binding for a 4-bit output, which would end the process', async () => {
    const outputs = [value('y', INT4, ['n', 1])]
    const toInt4 = identityModel({ nodes: [cast('x', 'y', INT4)], outputs, opset: 21, irVersion: 10 })
    const loaded = await pool.load('int4', toInt4)
    expect(loaded.opaque).toMatchObject([{ name: 'y', kind: 'packed tensor' }])
    await expect(pool.run('int4', floats(1), ['y'])).rejects.toThrow("output y is unknown, or can't be read")
  })

  it('runs a model that also has a sequence output, by fetching the tensors only', async () => {
    const bytes = onnx({
      nodes: [node('Identity', ['x'], ['y']), node('SplitToSequence', ['x'], ['parts'])],
      inputs: [value('x', 1, ['n', 1])],
      outputs: [value('y', 1, ['n', 1]), sequenceValue('parts', 1)],
    })
    const loaded = await pool.load('sequence', bytes)
    expect(loaded.opaque).toMatchObject([{ name: 'parts', kind: 'sequence' }])
    const result = await pool.run('sequence', floats(3))
    expect(Object.keys(result)).toEqual(['y'])
  })

  it('rejects a run with the runtime’s own words', async () => {
    await pool.load('identity', identityModel())
    const wrong = { x: { type: 'float32', dims: [1, 3], data: new Float32Array(3) } }
    await expect(pool.run('identity', wrong)).rejects.toThrow(/invalid dimensions/i)
    await expect(pool.run('identity', {})).rejects.toThrow("input 'x' is missing")
  })

  it('finds the newest IR and opset that the runtime takes, and says both numbers when a file is newer', async () => {
    const highest = async (make: (version: number) => Uint8Array, from: number) => {
      for (let version = from; version < from + 40; version++) {
        const key = `probe-${version}`
        const error = await pool.load(key, make(version)).then(
          () => undefined,
          (it: Error) => it,
        )
        await pool.unload(key)
        if (error) return { version: version - 1, message: error.message }
      }
      throw new Error('no limit found')
    }
    const ir = await highest((irVersion) => identityModel({ irVersion }), 3)
    expect(ir.version).toBeGreaterThanOrEqual(11)
    expect(ir.message).toContain(`IR version ${ir.version + 1}, the runtime supports up to ${ir.version}.`)
    expect(ir.message).toContain(`set model.ir_version = ${ir.version}`)
    const opset = await highest((it) => identityModel({ opset: it }), 7)
    expect(opset.version).toBeGreaterThanOrEqual(24)
    expect(opset.message).toContain(
      `uses opset ${opset.version + 1} of ai.onnx, the runtime supports up to ${opset.version}.`,
    )
    expect(opset.message).toContain(`target_opset=${opset.version} or lower`)
  })
})

describe('a busy pool', () => {
  it('refuses more runs than its queue holds, and drops aborted ones from it', async () => {
    await using pool = await createModelPool({ workers: 1, maxQueuedRuns: 2 })
    await pool.load('identity', identityModel())
    const abort = new AbortController()
    // The first two go to the worker, the next two wait.
    const running = [pool.run('identity', floats(1)), pool.run('identity', floats(2))]
    const waiting = [pool.run('identity', floats(3), undefined, abort.signal), pool.run('identity', floats(4))]
    await expect(pool.run('identity', floats(5))).rejects.toThrow(PoolBusy)
    expect(pool.stats()).toMatchObject({ queuedRuns: 2, runningRuns: 2 })
    abort.abort(new Error('too late'))
    await expect(waiting[0]).rejects.toThrow('too late')
    expect(pool.stats()).toMatchObject({ queuedRuns: 1 })
    await Promise.all([...running, waiting[1], pool.run('identity', floats(6))])
    expect(pool.stats()).toMatchObject({ queuedRuns: 0, runningRuns: 0 })
  })

  it('rejects at once when a started run is aborted, and goes on with the next', async () => {
    await using pool = await createModelPool()
    await pool.load('identity', identityModel())
    const abort = new AbortController()
    const late = pool.run('identity', floats(1), undefined, abort.signal)
    abort.abort(new Error('too late'))
    await expect(late).rejects.toThrow('too late')
    await expect(pool.run('identity', floats(2))).resolves.toBeDefined()
    await expect(pool.run('identity', floats(2), undefined, abort.signal)).rejects.toThrow('too late')
  })

  it('rejects what waits when it is closed', async () => {
    const pool = await createModelPool()
    await pool.load('identity', identityModel())
    const runs = Promise.allSettled([1, 2, 3, 4].map((it) => pool.run('identity', floats(it))))
    await pool[Symbol.asyncDispose]()
    expect((await runs).map((it) => it.status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected'])
    await expect(pool.run('identity', floats(1))).rejects.toThrow('the model pool is closed')
    await pool[Symbol.asyncDispose]()
  })
})

describe('a worker that dies', () => {
  it('is replaced with all its models, and its runs are rejected', async () => {
    await using pool = await createModelPool({ workerFile: failingWorker })
    await pool.load('identity', identityModel())
    await pool.load('die', identityModel())
    const lost = [pool.run('die', floats(1)), pool.run('identity', floats(2))]
    const kept = pool.run('identity', floats(3))
    for (const it of await Promise.allSettled(lost)) {
      expect(it).toMatchObject({ status: 'rejected', reason: expect.any(WorkerCrashed) })
    }
    await expect(lost[0]).rejects.toThrow('the model worker died while it ran this (this worker was told to die)')
    expect(numbers(await kept)).toEqual([3])
    expect(pool.stats()).toMatchObject({ workers: 1, restarts: 1 })
  })

  it('is given up after five deaths in a row, with a clear error', async () => {
    const logged: string[] = []
    await using pool = await createModelPool({ workerFile: failingWorker, log: (msg) => logged.push(msg) })
    await pool.load('die', identityModel())
    for (let i = 0; i < 6; i++) {
      await until(() => pool.stats().workers === 1)
      await expect(pool.run('die', floats(1))).rejects.toThrow(WorkerCrashed)
    }
    await expect(pool.run('die', floats(1))).rejects.toThrow('every model worker died 5 times in a row')
    await expect(pool.load('other', identityModel())).rejects.toThrow('every model worker died')
    expect(logged.filter((it) => it === 'model worker died')).toHaveLength(6)
  })

  it('dies at a load: that load is refused and the others stay', async () => {
    await using pool = await createModelPool({ workerFile: failingWorker, workers: 2 })
    await pool.load('identity', identityModel())
    await expect(pool.load('die-at-load', identityModel())).rejects.toThrow(
      'MODEL_LOAD die-at-load: the model worker died',
    )
    await until(() => pool.stats().workers === 2)
    await expect(pool.run('identity', floats(1))).resolves.toBeDefined()
    expect(pool.stats().models).toBe(1)
  })

  it('dies at its import: loads are refused with the cause, again and again, and the pool can be closed at any time', async () => {
    const workerFile = new URL('./unstartable-worker.ts', import.meta.url)
    await using pool = await createModelPool({ workerFile, workers: 2 })
    await expect(pool.load('first', identityModel())).rejects.toThrow(
      'MODEL_LOAD first: the model worker died while it ran this (no binding for this machine)',
    )
    await until(() => pool.stats().restarts === 12)
    await expect(pool.load('later', identityModel())).rejects.toThrow(
      /MODEL_LOAD later: every model worker died 5 times in a row, last of: no binding for this machine/,
    )
    // Closed while its worker is still starting, and will never answer.
    const early = await createModelPool({ workerFile })
    await early[Symbol.asyncDispose]()
  })
})

it('serves the scikit-learn test models from two workers at the same time', async () => {
  await using pool = await createModelPool({ workers: 2 })
  const names = ['forest_zipmap_int', 'logreg_zipmap_text', 'boosting_regressor']
  const loaded = await Promise.all(names.map((it) => pool.load(it, testdata(`${it}.onnx`))))
  expect(loaded.map((it) => it.classes)).toEqual([[0, 1], ['browse', 'leave', 'purchase'], undefined])
})
