import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Application } from '../../../processors/app/schema.ts'
import { epochMs } from '../../../processors/app/units.ts'
import { createExpressions } from '../../../processors/expressions/index.ts'
import {
  createFeatureSet,
  type EntityKernel,
  type FeatureSet,
  type LayoutDescriptor,
} from '../../../processors/features/index.ts'
import { anyApplication, anyLog, application, event } from './arbitraries.ts'

const expressions = createExpressions({ replayable: true })
const HOUR = 3_600_000
const create = (app: Application) => createFeatureSet(app, expressions)
const profile = (set: FeatureSet): EntityKernel => set.entities.get('profile')!
/** As it comes back from a store. */
const stored = (layout: LayoutDescriptor) => JSON.parse(JSON.stringify(layout)) as LayoutDescriptor

const log = Array.from({ length: 30 }, (_, i) =>
  event(`e${i}`, i * 60_000, { n: i, type: i % 3 === 0 ? 'a' : 'b', sku: `s${i % 4}` }),
)
const kept = { kind: 'sum', value: 'n', window: '1h' }
const removed = { kind: 'distinct', value: 'sku', window: '24h' }
const added = { kind: 'count', where: 'type == "a"', window: '1h' }

function read(set: FeatureSet, packed: Buffer) {
  const state = profile(set).decode(packed)
  const last = log.at(-1)!
  const inputs = { event: last, states: new Map([['profile', state]]), lookups: { get: () => undefined }, at: last.ts }
  const vector = set.newVector()
  set.vector(inputs, vector)
  const values = set.columns.map(({ name, index }) => [name, vector.floats[index]])
  const ages = set.ages(inputs).map(({ feature, ageMs }) => [feature, ageMs])
  return { state, values: Object.fromEntries(values), ages: Object.fromEntries(ages) }
}

function packedBy(set: FeatureSet): Buffer {
  const state = profile(set).empty()
  for (const it of log) profile(set).update(state, it)
  return profile(set).encode(state)
}

describe('a blob of an older layout', () => {
  const older = create(application({ features: { kept, removed } }))
  const newer = create(application({ features: { added, renamed: kept } }))
  profile(newer).addLayout(stored(profile(older).layout))

  it('keeps what is still defined, drops what is not, and starts what is new empty', () => {
    const { values, ages } = read(newer, packedBy(older))
    expect(values).toEqual({ renamed: 435, added: 0 })
    expect(ages).toEqual({ renamed: 0, added: undefined })
  })

  it('is written again in the bytes of the new layout', () => {
    const { state } = read(newer, packedBy(older))
    const only = create(application({ features: { kept } }))
    profile(newer).addLayout(stored(profile(only).layout))
    const again = profile(newer).encode(state)
    expect(again.readUInt32LE(0)).toBe(profile(newer).layout.id)
    expect(again).toEqual(profile(newer).encode(profile(newer).decode(packedBy(only))))
    expect(profile(newer).encode(profile(newer).decode(again))).toEqual(again)
  })

  it('still knows its ids and its time', () => {
    const { state } = read(newer, packedBy(older))
    expect(state.time).toBe(log.at(-1)!.ts)
    expect(profile(newer).update(state, log.at(-1)!)).toBe('duplicate')
    expect(profile(newer).update(state, event('late', state.time - HOUR - 1))).toBe('late')
  })

  it('is refused when its layout was not added', () => {
    expect(() => profile(create(application({ features: { added } }))).decode(packedBy(older))).toThrow(
      /has layout \d+, which is unknown here/,
    )
  })

  it('shares a track: what both have is right at once, what is new in it is empty', () => {
    const mean = { kind: 'mean', value: 'n', window: '1h' }
    const max = { kind: 'max', value: 'n', window: '1h' }
    const set = create(application({ features: { kept, mean, max } }))
    profile(set).addLayout(stored(profile(older).layout))
    const { values, ages } = read(set, packedBy(older))
    expect(values).toEqual({ kept: 435, mean: 14.5, max: Number.NaN })
    expect(ages).toEqual({ kept: 0, mean: 0, max: undefined })
  })

  it('has its ring cut to fewer ids, and dated anew to another dedup window', () => {
    const set = create(application({ features: { kept }, events: { dedup: { ids: 2, window: '10m' } } }))
    profile(set).addLayout(stored(profile(older).layout))
    const { state } = read(set, packedBy(older))
    expect(profile(set).update(state, log[29]!)).toBe('duplicate')
    expect(profile(set).update(state, log[28]!)).toBe('duplicate')
    expect(profile(set).update(state, log[27]!)).toBe('applied')
  })
})

describe('the layout', () => {
  const layoutOf = (features: object, events: object = {}) =>
    profile(create(application({ features, events }))).layout.id

  it('depends on what is kept, and on nothing else', () => {
    const id = layoutOf({ a: kept, b: removed })
    expect(layoutOf({ b: removed, z: kept })).toBe(id)
    expect(layoutOf({ a: { ...kept, default: 7, description: 'net' }, b: removed })).toBe(id)
    expect(layoutOf({ a: kept, b: removed, c: { kind: 'event', value: 'n' } })).toBe(id)
    expect(layoutOf({ a: kept, b: removed }, { lateness: '2h', ttl: '9d', dedup: { ids: 4 } })).toBe(id)
    expect(layoutOf({ a: { ...kept, window: '2h' }, b: removed })).not.toBe(id)
    expect(layoutOf({ a: { ...kept, where: 'n > 1' }, b: removed })).not.toBe(id)
    expect(layoutOf({ a: { ...kept, unit: 0.01 }, b: removed })).not.toBe(id)
    expect(layoutOf({ a: kept })).not.toBe(id)
  })

  it.each([{ ringStep: 5 }, { id: 5 }, { tracks: undefined }])('is not added when it is damaged: %j', (damage) => {
    const layout = { ...stored(profile(create(application({ features: { kept } }))).layout), ...damage }
    const kernel = profile(create(application({ features: { removed } })))
    expect(() => kernel.addLayout(layout)).toThrow('its id is not that of its content')
  })

  it('is not added to another entity', () => {
    const features = { n: { ...kept, entity: 'item' } }
    const set = create(application({ features, entities: { item: { key: 'sku' } } }))
    expect(() => profile(set).addLayout(set.entities.get('item')!.layout)).toThrow('it is of entity item, not profile')
  })
})

describe('migration between random definitions', () => {
  it('keeps every common feature as it was, and its bytes are canonical', () => {
    fc.assert(
      fc.property(anyApplication, anyApplication, anyLog(20), (before, after, log) => {
        const older = create({ ...before, entities: after.entities })
        const common = Object.fromEntries(Object.entries(before.features).map(([name, it]) => [`old_${name}`, it]))
        const newer = create({ ...before, entities: after.entities, features: { ...after.features, ...common } })
        const kernel = profile(newer)
        kernel.addLayout(stored(profile(older).layout))
        const states = [profile(older).empty(), profile(older).empty()]
        for (const it of log) profile(older).update(states[it.key === 'ECID:1' ? 0 : 1]!, it)
        const at = epochMs(Math.max(...log.map(({ ts }) => ts)))
        for (const state of states) {
          const migrated = kernel.decode(profile(older).encode(state))
          const bytes = kernel.encode(migrated)
          expect(kernel.encode(kernel.decode(bytes))).toEqual(bytes)
          const lookups = { get: () => undefined }
          const inputs = { event: log[0]!, lookups, at }
          const [a, b] = [older.newVector(), newer.newVector()]
          older.vector({ ...inputs, states: new Map([['profile', state]]) }, a)
          newer.vector({ ...inputs, states: new Map([['profile', migrated]]) }, b)
          for (const column of older.columns) {
            const [same] = newer.resolve(`old_${column.name}`)!.filter((it) => it.name === `old_${column.name}`)
            if (column.type === 'float') expect(b.floats[same!.index]).toBe(a.floats[column.index])
            else expect(b.strings[same!.index]).toBe(a.strings[column.index])
          }
        }
      }),
      { numRuns: 200 },
    )
  })
})
