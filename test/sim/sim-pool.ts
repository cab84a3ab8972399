import type { LoadedModel, ModelPool, Tensor } from '../../processors/scorer/types.ts'
import type { Dice } from './random.ts'
import type { Scheduler, SimProcess } from './scheduler.ts'

/** How the models of a process behave; faults change it. */
export interface PoolMood {
  failing: number
  slow: number
  slowMs: number
}

/** The simulated model: any function would do that tells models and rows apart and gives a float32. */
export function scoreOf(model: string, row: ArrayLike<number>, from: number, to: number): number {
  let sum = model.length
  for (let i = 0; i < model.length; i++) sum = (sum * 31 + model.charCodeAt(i)) % 1_009
  for (let i = from; i < to; i++) {
    const value = row[i]!
    sum += (Number.isNaN(value) ? -1 : value) * (i - from + 1)
  }
  return Math.fround(sum / 1_024)
}

/** Models of one process: runs take their time, and may fail or be slow. */
export function simPool(
  scheduler: Scheduler,
  process: SimProcess,
  dice: Dice,
  mood: PoolMood,
  width: number,
): ModelPool {
  const loaded = new Set<string>()
  const reply = <T>(delayMs: number, make: () => T, signal?: AbortSignal): Promise<T> =>
    new Promise((resolve, reject) => {
      const onAbort = () => reject(signal?.reason)
      signal?.addEventListener('abort', onAbort, { once: true })
      scheduler.after(delayMs, () =>
        process.hear(() => {
          signal?.removeEventListener('abort', onAbort)
          try {
            resolve(make())
          } catch (error) {
            reject(error)
          }
        }),
      )
    })
  return {
    load: (key) =>
      reply(dice.between(1, 80), (): LoadedModel => {
        loaded.add(key)
        return {
          key,
          signature: {
            inputs: [{ name: 'x', type: 'float32', dims: [-1, width] }],
            outputs: [{ name: 'y', type: 'float32', dims: [-1, 1] }],
          },
          classes: undefined,
        }
      }),
    unload: (key) => reply(1, () => void loaded.delete(key)),
    run(key, inputs, _fetches, signal) {
      const fails = dice.chance(mood.failing)
      const delayMs = dice.chance(mood.slow) ? dice.between(1, mood.slowMs) : dice.between(0.2, 5)
      return reply(
        delayMs,
        () => {
          if (!loaded.has(key)) throw new Error(`model ${key} was unloaded while it was in use`)
          if (fails) throw new Error('the model failed')
          return { y: run(key.slice(0, key.indexOf('#')), inputs.x!, width) }
        },
        signal,
      )
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

function run(model: string, { dims, data }: Tensor, width: number): Tensor {
  const rows = dims[0]!
  const scores = new Float32Array(rows)
  for (let row = 0; row < rows; row++)
    scores[row] = scoreOf(model, data as Float32Array, row * width, (row + 1) * width)
  return { type: 'float32', dims: [rows, 1], data: scores }
}
