import { expect, it } from 'vitest'
import { type EpochMs, epoch, epochMs, type Ms, ms, offset } from '../../../processors/app/units.ts'
import type { FeatureStore, Log } from '../../../processors/engine/ports.ts'
import type { ShardContext } from '../../../processors/runtime/context.ts'
import { ShardWorker } from '../../../processors/runtime/shard-worker.ts'
import type { Stage } from '../../../processors/runtime/stage.ts'

const SHARD = { group: 'app.profile', topic: 'events', partition: 0 }

it('leaves nothing behind when it is stopped during a take-over', async () => {
  const asked = Promise.withResolvers<void>()
  const answered = Promise.withResolvers<void>()
  const waits = new Set<Promise<void>>()
  const publishers = { opened: 0, closed: 0 }
  const log = {
    publisher: async () => {
      publishers.opened++
      return { publish: async () => {}, close: async () => void publishers.closed++ }
    },
    committed: async () => offset(0),
    bounds: async () => {
      asked.resolve()
      await answered.promise
      return [{ ...SHARD, start: offset(0), end: offset(0) }]
    },
  } as unknown as Log
  const store = {
    own: async () => ({ epoch: epoch(1), position: offset(0) }),
    outbox: async () => [],
    apply: async () => ({ kind: 'applied', position: offset(0), published: false }),
  } as unknown as FeatureStore
  const clock = {
    now: (): EpochMs => epochMs(0),
    turn: () => Promise.resolve(),
    sleep: (_: Ms, signal?: AbortSignal) => {
      const wait = new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true }))
      waits.add(wait)
      void wait.then(() => waits.delete(wait))
      return wait
    },
  }
  const quiet = () => {}
  const context: ShardContext = {
    log,
    store,
    clock,
    random: () => 0,
    hrtime: () => 0,
    isAtomic: false,
    metrics: { count: quiet, gauge: quiet, observe: quiet },
    logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    options: {
      delivery: 'exactly-once',
      maxBatchEvents: 1,
      pipelineDepth: 1,
      publishEveryMs: ms(1),
      maxOutboxBytes: 1,
      maxCachedStates: 1,
      snapshot: undefined,
      storeCheckEveryMs: ms(1_000),
      fencedPauseMs: ms(1),
    },
  }
  const worker = new ShardWorker({
    context,
    stage: { name: 'profile', group: SHARD.group, topic: SHARD.topic, stateExpireMs: ms(1) } as unknown as Stage,
    shard: SHARD,
    subscription: async () => {
      throw new Error('nothing is delivered to a worker that was stopped')
    },
    warm: undefined,
    onFatal: (error) => {
      throw error
    },
  })
  await asked.promise
  const stopped = worker.stop()
  answered.resolve()
  await stopped
  expect(worker.status.state).toBe('stopped')
  expect(publishers).toEqual({ opened: 1, closed: 1 })
  expect(waits.size).toBe(0)
})
