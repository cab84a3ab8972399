/** Samples of a person who was erased wait for no outcome any more; those of others, and settled ones, do as before. */
import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import { erasePerson } from '../../processors/privacy/erase.ts'
import { replayStages } from '../../processors/topology.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { folder, openData, PATIENCE, range, settled, start } from './harness.ts'
import { BOUGHT, closing, examplesIn, labelShop, rawOf, type ShopEvent } from './labels.ts'

const view = (customer: string, nth: number, at: number): ShopEvent => ({
  id: `${customer}-${nth}`,
  at,
  customer,
  type: 'view',
})

it(
  'drops the pending labels of an erased person',
  async () => {
    await using place = await folder(labelShop(`{ ${BOUGHT} }`))
    await using engine = await openData(place.data)
    await using running = await start(place.file, engine)
    // Their windows are over before the erasure.
    await engine.log.append(rawOf(range(0, 4).flatMap((n) => [view('c1', n, n), view('c2', n, n)])))
    // Rows of one record are settled together.
    await settled(running)
    await engine.log.append(rawOf(closing(10_000)))
    await settled(running)
    const early = ['c1-0', 'c1-1', 'c1-2', 'c1-3', 'c2-0', 'c2-1', 'c2-2', 'c2-3']
    const idsOf = async () =>
      (await examplesIn(engine)).map(({ eventId }) => eventId).filter((id) => id.startsWith('c'))
    await eventually('the first examples are there', PATIENCE, async () => (await idsOf()).length >= early.length)
    // And these are not.
    await engine.log.append(rawOf(range(4, 8).flatMap((n) => [view('c1', n, 10_000 + n), view('c2', n, 10_000 + n)])))
    await settled(running)
    const report = await erasePerson({
      plan: running.plan,
      engine,
      stages: replayStages(running.plan, { engine, clock: systemClock, env: () => undefined }),
      clock: systemClock,
      env: () => undefined,
      id: randomUUID(),
      identities: ['CustomerID:c1'],
      by: 'test',
      waitMs: 20_000,
      scan: false,
      signal: new AbortController().signal,
    })
    expect(report).toMatchObject({ status: 'done', signature: null })
    await engine.log.append(rawOf([{ ...view('c1', 9, 10_020), type: 'buy' }]))
    await settled(running)
    await engine.log.append(rawOf(closing(90_000, 'y')))
    await settled(running)
    await eventually('the other examples are there', PATIENCE, async () => (await idsOf()).includes('c2-7'))
    expect((await idsOf()).sort()).toEqual([...early, 'c2-4', 'c2-5', 'c2-6', 'c2-7'])
  },
  PATIENCE.testMs,
)
