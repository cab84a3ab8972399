import { RtmlError } from '../../app/errors.ts'
import type { ModelPool } from '../../scorer/types.ts'

/** A pool that starts its threads with the first model: an application may get its first one while it runs. */
export function lazyPool(create: () => Promise<ModelPool>): ModelPool {
  let pool: Promise<ModelPool> | undefined
  return {
    async load(key, bytes, options) {
      pool ??= create()
      return (await pool).load(key, bytes, options)
    },
    async unload(key) {
      await (await pool)?.unload(key)
    },
    async run(key, inputs, fetches, signal) {
      if (!pool) throw new RtmlError('MODEL_LOAD', `model ${key} is not loaded`)
      return (await pool).run(key, inputs, fetches, signal)
    },
    async [Symbol.asyncDispose]() {
      await (await pool)?.[Symbol.asyncDispose]()
    },
  }
}
