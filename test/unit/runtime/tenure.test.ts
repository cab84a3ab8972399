import { expect, it } from 'vitest'
import { type EpochMs, epoch, epochMs, type Ms, ms, offset } from '../../../processors/app/units.ts'
import type { FeatureStore, Log, RecordRun } from '../../../processors/engine/ports.ts'
import type { ShardContext } from '../../../processors/runtime/context.ts'
import type { Stage } from '../../../processors/runtime/stage.ts'
import { StateCache } from '../../../processors/runtime/state-cache.ts'
import { NO_ISOLATION, Tenure } from '../../../processors/runtime/tenure.ts'

const SHARD = { group: 'app.profile', topic: 'events', partition: 0 }
const run = (from: number, to: number): RecordRun => ({ ...SHARD, from: offset(from), to: offset(to), records: [] })

/** A tenure from position 100 on, of a store that says yes to everything. */
function newTenure() {
  const quiet = () => {}
  const store = {
    apply: async (_: unknown, __: unknown, { to }: { to: number }) => ({
      kind: 'applied',
      position: to,
      published: false,
    }),
    trim: async () => {},
  } as unknown as FeatureStore
  const context: ShardContext = {
    log: {} as Log,
    store,
    clock: {
      now: (): EpochMs => epochMs(0),
      turn: () => Promise.resolve(),
      sleep: (_: Ms, signal?: AbortSignal) =>
        new Promise<void>((resolve) =>
          signal?.aborted ? resolve() : signal?.addEventListener('abort', () => resolve(), { once: true }),
        ),
    },
    random: () => 0,
    hrtime: () => 0,
    isAtomic: false,
    metrics: { count: quiet, gauge: quiet, observe: quiet },
    logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    options: {
      delivery: 'exactly-once',
      maxBatchEvents: 10,
      pipelineDepth: 4,
      publishEveryMs: ms(0),
      maxOutboxBytes: 1_000,
      maxCachedStates: 10,
      snapshot: undefined,
      storeCheckEveryMs: ms(1_000),
      fencedPauseMs: ms(1),
    },
  }
  return new Tenure({
    context,
    stage: { name: 'profile', group: SHARD.group, topic: SHARD.topic, stateExpireMs: ms(1) } as unknown as Stage,
    shard: SHARD,
    epoch: epoch(1),
    publisher: { publish: async () => {}, close: async () => {} },
    position: offset(100),
    pending: [],
    isolateUntil: NO_ISOLATION,
    cache: new StateCache(10),
    snapshots: undefined,
  })
}

it('leaves runs alone that are left over from an earlier tenure', async () => {
  const tenure = newTenure()
  await tenure.accept(run(140, 160))
  tenure.deliveryBegan()
  await tenure.accept(run(100, 120))
  await tenure.drain()
  expect(tenure.position).toBe(120)
  await tenure.close()
})

it('ends when delivery leaves something out', async () => {
  const tenure = newTenure()
  tenure.deliveryBegan()
  await tenure.accept(run(140, 160))
  expect(await tenure.ended).toEqual({ kind: 'recover', reason: 'delivery jumped from 100 to 140' })
  expect(tenure.position).toBe(100)
  await tenure.close()
})
