/** A person is forgotten while the stream runs: what is gone, what begins anew, and what no repair brings back. */
import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import { offset } from '../../processors/app/units.ts'
import type { NewRecord } from '../../processors/engine/ports.ts'
import { type EraseOptions, erasePerson } from '../../processors/privacy/erase.ts'
import { verifyErasure } from '../../processors/privacy/erased.ts'
import { linkedIdentities } from '../../processors/privacy/linked.ts'
import { checkSignature } from '../../processors/privacy/report.ts'
import type { ErasureReport } from '../../processors/privacy/report-schema.ts'
import { compareShard, rebuildShard } from '../../processors/runtime/repair/rebuild.ts'
import type { Plan, RunningApplication } from '../../processors/topology.ts'
import {
  applicationOf,
  drained,
  eventOf,
  type Fixture,
  fixture,
  partitionFor,
  planOf,
  rawEvents,
  shardOf,
  stageOf,
  stagesOf,
  start,
  statesOf,
  T0,
} from '../repair/harness.ts'

const SECRET = 'a secret of the test that is long enough'
const env = (name: string) => (name === 'RTML_REPORT_KEY' ? SECRET : undefined)
const KEY = 'ECID:v7'
/** An entity that is about one person and one thing, beside the one about the thing alone. */
const DEFINITION = applicationOf(
  {
    entities: {
      item: { key: 'productListItems[0].SKU' },
      taste: { key: ['profile', 'productListItems[0].SKU'] },
    },
  },
  { seen_before: { kind: 'count', entity: 'taste', window: '24h' } },
)

let place: Fixture
let plan: Plan
let app: RunningApplication | undefined
beforeEach(async () => {
  place = await fixture()
  plan = await planOf(DEFINITION, place.engine)
  app = undefined
})
afterEach(async () => {
  await app?.[Symbol.asyncDispose]()
  await place[Symbol.asyncDispose]()
})

const signal = new AbortController().signal
const common = () => ({
  plan,
  engine: place.engine,
  stages: stagesOf(plan, place.engine),
  clock: systemClock,
  env,
  signal,
})

const erase = (over: Partial<EraseOptions> = {}): Promise<ErasureReport> =>
  erasePerson({
    ...common(),
    id: randomUUID(),
    identities: [KEY],
    by: 'test',
    why: 'asked',
    waitMs: 20_000,
    scan: true,
    ...over,
  })

const verify = (report: ErasureReport) => verifyErasure({ ...common(), report })

const profileStates = async () => {
  const states = await statesOf(plan, place.engine, stageOf(plan, place.engine, 'profile'), 2)
  return new Map([...states].map(([key, hex]) => [key.slice(key.indexOf('|') + 1), hex]))
}

const ofPerson = (number: number): NewRecord => ({
  topic: plan.topics.raw('web'),
  key: Buffer.from('v7'),
  value: Buffer.from(
    JSON.stringify({ ...eventOf(number), id: `again-${number}`, visitor: 'v7', time: T0 + number * 5_000 }),
  ),
})

async function feed(records: readonly NewRecord[]): Promise<void> {
  await place.engine.log.append(records)
  await drained(app!)
}

describe('erasing a person', { timeout: 60_000 }, () => {
  it('removes what is kept of the person, and of nobody else', async () => {
    app = await start(plan, place.engine)
    await feed(rawEvents(plan.topics.raw('web'), 600))
    const before = await profileStates()
    expect(before.has(KEY)).toBe(true)
    const report = await erase()
    await drained(app)
    expect(report.status).toBe('done')
    expect(checkSignature(report, env)).toBe('valid')
    expect(checkSignature({ ...report, by: 'somebody else' }, env)).toBe('wrong')
    const after = await profileStates()
    before.delete(KEY)
    expect(after).toEqual(before)
    const tastes = await statesOf(plan, place.engine, stageOf(plan, place.engine, 'entity.taste'), 2)
    expect(tastes.size).toBeGreaterThan(0)
    expect([...tastes.keys()].filter((key) => key.includes(KEY))).toEqual([])
    expect(report.removed.filter(({ what }) => what === 'state of entity.taste').length).toBeGreaterThan(0)
    // The dead letters of the person stay in the log, and are named for those who read them.
    expect(report.remaining.map(({ where }) => where)).toEqual(
      expect.arrayContaining([plan.topics.raw('web'), plan.topics.events, plan.topics.scores]),
    )
    const verified = await verify(report)
    expect(verified.left).toEqual([])
    expect(verified).toMatchObject({ signature: 'valid', startedAnew: [] })
  })

  it('lets later events begin a new profile, which the proof tells from an old one', async () => {
    app = await start(plan, place.engine)
    await feed(rawEvents(plan.topics.raw('web'), 600))
    const [old] = [(await profileStates()).get(KEY)]
    const report = await erase()
    await feed([ofPerson(700), ofPerson(701)])
    const verified = await verify(report)
    expect(verified).toMatchObject({ left: [], startedAnew: [KEY] })
    // The proof fails when the old state comes back by whatever way.
    const shard = shardOf(plan, stageOf(plan, place.engine, 'profile'), partitionFor(KEY, 2))
    await app[Symbol.asyncDispose]()
    app = undefined
    const { epoch, position } = await place.engine.store.own(shard)
    await place.engine.store.apply(shard, epoch, {
      from: position!,
      to: position!,
      states: new Map([[KEY, Buffer.from(old!, 'hex')]]),
      outputs: [],
      rebuild: true,
    })
    expect((await verify(report)).left).toEqual([
      { where: `profile, ${KEY}`, what: 'a state that is older than the erasure' },
    ])
  })

  it('is obeyed by a worker that comes later, and survives its crash', async () => {
    app = await start(plan, place.engine)
    await feed(rawEvents(plan.topics.raw('web'), 600))
    await app[Symbol.asyncDispose]()
    const report = await erase({ waitMs: 1 })
    expect(report.status).toBe('pending')
    expect((await profileStates()).has(KEY)).toBe(true)
    app = await start(plan, place.engine)
    await drained(app)
    await app[Symbol.asyncDispose]()
    expect((await profileStates()).has(KEY)).toBe(false)
    app = await start(plan, place.engine)
    await feed(rawEvents(plan.topics.raw('web'), 50, 600))
    expect((await verify(report)).left).toEqual([])
  })

  it('is not undone by a rebuild from the log', async () => {
    app = await start(plan, place.engine)
    await feed(rawEvents(plan.topics.raw('web'), 600))
    const report = await erase()
    await feed([...rawEvents(plan.topics.raw('web'), 100, 600), ofPerson(800)])
    const keyed = stageOf(plan, place.engine, 'profile')
    const options = {
      log: place.engine.log,
      store: place.engine.store,
      scratch: place.scratch.store,
      featureSet: plan.featureSet,
      keyed,
      shard: shardOf(plan, keyed, partitionFor(KEY, 2)),
      snapshotTopic: undefined,
      clock: systemClock,
      signal,
    }
    expect(await compareShard(options)).toMatchObject({ isCompared: true, differing: 0 })
    await app[Symbol.asyncDispose]()
    app = undefined
    const before = await profileStates()
    expect(await rebuildShard(options)).toMatchObject({ isReplaced: true, differing: 0 })
    expect(await profileStates()).toEqual(before)
    expect(await verify(report)).toMatchObject({ left: [], startedAnew: [KEY] })
  })

  it('takes the person out of segments, and publishes it', async () => {
    plan = await planOf(
      { ...(DEFINITION as object), segments: { viewers: { when: 'exists(eventType != "")' } } },
      place.engine,
    )
    app = await start(plan, place.engine)
    await feed([ofPerson(1), ofPerson(2), ...rawEvents(plan.topics.raw('web'), 60, 10)])
    const membership = async () => {
      const newest = new Map<string, boolean>()
      for (const bounds of await place.engine.log.bounds(plan.topics.segments))
        for await (const run of place.engine.log.read(bounds, offset(0), { until: bounds.end }))
          for (const { key, value } of run.records) newest.set(key!.toString(), value !== null)
      return newest
    }
    const of = `${KEY}|viewers`
    expect((await membership()).get(of)).toBe(true)
    const report = await erase()
    await drained(app)
    expect((await membership()).get(of)).toBe(false)
    expect((await verify(report)).left).toEqual([])
    await feed([ofPerson(90)])
    expect((await membership()).get(of)).toBe(true)
    expect(await verify(report)).toMatchObject({ left: [], startedAnew: [KEY] })
  })

  it('covers the identities that events carried together, over several steps', async () => {
    const linked = structuredClone(DEFINITION) as {
      sources: { web: { mapping: { fields: object } } }
      identity: object
    }
    Object.assign(linked.sources.web.mapping.fields, { 'identityMap.CRMID': 'account' })
    linked.identity = { priority: ['ECID'], link: true }
    plan = await planOf(linked, place.engine)
    app = await start(plan, place.engine)
    const event = (number: number, visitor: string, account?: string): NewRecord => ({
      ...ofPerson(number),
      key: Buffer.from(visitor),
      value: Buffer.from(JSON.stringify({ ...eventOf(number), id: `l${number}`, visitor, account })),
    })
    // A phone and a laptop of one account, and somebody else.
    await feed([
      event(1, 'phone'),
      event(2, 'phone', 'a-4711'),
      event(3, 'laptop', 'a-4711'),
      event(4, 'other', 'a-4712'),
    ])
    const stages = stagesOf(plan, place.engine)
    const found = await linkedIdentities(plan, place.engine, stages, ['CRMID:a-4711'])
    expect([...found].sort()).toEqual(['CRMID:a-4711', 'ECID:laptop', 'ECID:phone'])
    expect([...(await linkedIdentities(plan, place.engine, stages, ['ECID:phone']))].sort()).toEqual([...found].sort())
    const report = await erase({ identities: found })
    expect(report.status).toBe('done')
    expect([...(await profileStates()).keys()]).toEqual(['ECID:other'])
    expect((await verify(report)).left).toEqual([])
  })

  it('takes records out of a log that can, and leaves those of others', async () => {
    app = await start(plan, place.engine)
    await feed(rawEvents(plan.topics.raw('web'), 600))
    const count = async (topic: string) => {
      let records = 0
      for (const bounds of await place.engine.log.bounds(topic))
        for await (const run of place.engine.log.read(bounds, offset(0), { until: bounds.end }))
          records += run.records.length
      return records
    }
    const raw = plan.topics.raw('web')
    const before = await count(raw)
    const report = await erase({ purge: true })
    const taken = report.removed.find(({ what, where }) => what.startsWith('records taken') && where === raw)
    expect(taken!.records).toBeGreaterThan(0)
    expect(await count(raw)).toBe(before - taken!.records!)
    expect(report.remaining.find(({ where }) => where === raw)).toBeUndefined()
    const verified = await verify(report)
    expect(verified.left).toEqual([])
    expect(verified.remaining.filter(({ where }) => where === raw)).toEqual([])
    await feed(rawEvents(raw, 50, 600))
    expect((await profileStates()).size).toBeGreaterThan(0)
  })
})
