import { Redis } from 'ioredis'
import { part } from './children.ts'
import { openForLooking, topicOf } from './engine.ts'
import { JOB } from './job.ts'

export interface StateSize {
  readonly profiles: number
  /** Mean of the packed states alone. */
  readonly packedBytes: number
  /** With key and what the store adds. */
  readonly storedBytes: number
  /** Redis: memory in use, all keys. */
  readonly usedBytes: number | undefined
}

/** LMDB: key prefix 4, time of expiry 8, node header 8, pointer 2; values are padded to 2. */
const LMDB_ENTRY_BYTES = 22
const MEMORY_SAMPLES = 1_000

await part<StateSize>(async (options) => {
  await using engine = await openForLooking(options)
  const redis = options.env.REDIS_URL === undefined ? undefined : new Redis(options.env.REDIS_URL)
  const topic = topicOf(options, JOB.topic)
  const group = topicOf(options, 'bench.profile')
  let profiles = 0
  let packed = 0
  let keys = 0
  const samples: number[] = []
  for (let partition = 0; partition < JOB.partitions; partition++) {
    for await (const map of engine.store.scan({ group, topic, partition })) {
      for (const [key, state] of map) {
        profiles++
        packed += state.length
        keys += Buffer.byteLength(key)
      }
      if (!redis || samples.length >= MEMORY_SAMPLES) continue
      for (const key of [...map.keys()].slice(0, 50)) {
        const bytes = await redis.call('MEMORY', 'USAGE', `{${group}:${topic}:${partition}}:s:${key}`, 'SAMPLES', '0')
        if (typeof bytes === 'number') samples.push(bytes)
      }
    }
  }
  const used = redis && Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
  redis?.disconnect()
  const mean = (sum: number, count: number) => (count === 0 ? 0 : sum / count)
  return {
    profiles,
    packedBytes: mean(packed, profiles),
    storedBytes: redis
      ? mean(
          samples.reduce((sum, it) => sum + it, 0),
          samples.length,
        )
      : mean(packed + keys, profiles) + LMDB_ENTRY_BYTES,
    usedBytes: used,
  }
})
