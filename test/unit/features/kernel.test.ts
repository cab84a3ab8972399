import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { XdmEvent } from '../../../processors/app/event.ts'
import type { Application, FeatureDefinition } from '../../../processors/app/schema.ts'
import { epochMs, ms } from '../../../processors/app/units.ts'
import { createExpressions } from '../../../processors/expressions/index.ts'
import {
  createFeatureSet,
  type FeatureSet,
  type KeyState,
  type Lookups,
  type Vector,
  type VectorInputs,
} from '../../../processors/features/index.ts'
import { anyApplication, anyLog, application, event } from './arbitraries.ts'
import { referenceVectors } from './reference.ts'

const expressions = createExpressions({ replayable: true })
const PRICES: Record<string, object> = { a: { price: 3 }, b: { price: 'none' }, '7': { price: 0.5 } }
const lookups: Lookups = {
  get: (_table, key) => (Object.hasOwn(PRICES, key) ? (PRICES[key] as Record<string, unknown>) : undefined),
}
/** A failing property prints its seed: `FC_SEED=<seed> npx vitest run test/unit/features/kernel.test.ts` repeats it; FC_RUNS digs deeper. */
const parameters = {
  numRuns: Number(process.env.FC_RUNS ?? 300),
  ...(process.env.FC_SEED === undefined ? {} : { seed: Number(process.env.FC_SEED) }),
}

/** The kernel as a runtime would drive it, with all states in memory. */
class Driver {
  readonly set: FeatureSet
  readonly states = new Map<string, KeyState>()
  constructor(app: Application) {
    this.set = createFeatureSet(app, expressions)
  }
  state(entity: string, key: string): KeyState {
    const name = `${entity} ${key}`
    const state = this.states.get(name) ?? this.set.entities.get(entity)!.empty()
    this.states.set(name, state)
    return state
  }
  update(event: XdmEvent): string {
    let updated = ''
    for (const [entity, kernel] of this.set.entities) {
      for (const key of kernel.keys(event)) {
        const result = kernel.update(this.state(entity, key), event)
        if (entity === 'profile') updated = result
      }
    }
    return updated
  }
  inputs(event: XdmEvent, delayMs = 0): VectorInputs {
    const states = new Map<string, KeyState>()
    for (const [entity, kernel] of this.set.entities) {
      const key = kernel.keys(event)[0]
      if (key !== undefined) states.set(entity, this.state(entity, key))
    }
    const time = states.get('profile')!.time
    return { event, states, lookups, at: epochMs(Math.max(event.ts, time) + delayMs) }
  }
  vector(event: XdmEvent, delayMs = 0): Vector {
    const vector = this.set.newVector()
    this.set.vector(this.inputs(event, delayMs), vector)
    return vector
  }
  /** Every state through its bytes and back. */
  repack(): void {
    for (const [name, state] of this.states) {
      const kernel = this.set.entities.get(name.split(' ')[0]!)!
      const packed = kernel.encode(state)
      const decoded = kernel.decode(packed)
      expect(decoded).toEqual(state)
      expect(kernel.encode(decoded)).toEqual(packed)
      this.states.set(name, decoded)
    }
  }
}

/** Decayed values are compared to a millionth; everything else must be the same float32. */
function expectSame(app: Application, set: FeatureSet, actual: Vector, wanted: Vector): void {
  expect(actual.strings).toEqual(wanted.strings)
  for (const column of set.columns) {
    if (column.type === 'string') continue
    const value = actual.floats[column.index]!
    const reference = wanted.floats[column.index]!
    const decays = app.features[column.feature]!.kind.startsWith('decayed')
    const tolerance = decays ? 1e-6 * Math.abs(reference) + Number.MIN_VALUE : 0
    const isSame = Object.is(value + 0, reference + 0) || Math.abs(value - reference) <= tolerance
    if (!isSame) expect.fail(`${column.name} is ${value}, the reference says ${reference}`)
  }
}

const HOUR = 3_600_000
const anyDelay = fc.constantFrom(0, 0, 1, 5_000, 60_000, 3_600_000, 2 * 3_600_000, 91 * 86_400_000)

describe('the kernel and the slow reference', () => {
  it('agree on every vector and age of a random log, at the event and later', () => {
    fc.assert(
      fc.property(anyApplication, anyLog(40), anyDelay, (app, log, delayMs) => {
        const driver = new Driver(app)
        const wanted = referenceVectors(app, log, { expressions, lookups, delayMs })
        log.forEach((event, i) => {
          expect(driver.update(event)).toBe(wanted[i]!.updated)
          expectSame(app, driver.set, driver.vector(event, delayMs), wanted[i]!.vector)
          expect(driver.set.ages(driver.inputs(event, delayMs))).toEqual(wanted[i]!.ages)
        })
      }),
      parameters,
    )
  })

  it('agree when states are packed and unpacked between events', () => {
    fc.assert(
      fc.property(anyApplication, anyLog(25), (app, log) => {
        const driver = new Driver(app)
        const wanted = referenceVectors(app, log, { expressions, lookups })
        log.forEach((event, i) => {
          expect(driver.update(event)).toBe(wanted[i]!.updated)
          driver.repack()
          expectSame(app, driver.set, driver.vector(event), wanted[i]!.vector)
        })
      }),
      parameters,
    )
  })
})

describe('arrival order', () => {
  it('inside the lateness bound changes neither the final vector nor the packed panes', () => {
    const app = anyApplication.map((it) => ({
      ...it,
      // The logs here are folded into an hour. Without ids, what is packed is the panes alone.
      events: {
        ...it.events,
        lateness: ms(HOUR),
        ttl: ms(90 * 86_400_000),
        dedup: { ...it.events.dedup, ids: 0 },
      },
      entities: {},
      features: Object.fromEntries(
        Object.entries(it.features)
          .filter(([, definition]) => !isApproximate(definition))
          .map(([name, definition]) => [
            name,
            'entity' in definition ? { ...definition, entity: 'profile' } : definition,
          ]),
      ),
    }))
    const log = anyLog(12).map((events) => {
      const unique = events.filter((event, i) => events.findIndex(({ id }) => id === event.id) === i)
      const start = unique[0]!.ts
      const folded = (ts: number) => epochMs(start + ((((ts - start) % HOUR) + HOUR) % HOUR))
      return unique.map((event) => ({ ...event, key: 'ECID:1', ts: folded(event.ts) }))
    })
    const logs = log.chain((events) =>
      fc.tuple(fc.constant(events), fc.shuffledSubarray(events, { minLength: events.length })),
    )
    fc.assert(
      fc.property(app, logs, (app, [one, other]) => {
        const last = event('last', Math.max(...one.map(({ ts }) => ts)), {})
        const [a, b] = [one, other].map((events) => {
          const driver = new Driver(app)
          for (const event of events) expect(driver.update(event)).toBe('applied')
          return driver
        })
        expectSame(app, a!.set, a!.vector(last), b!.vector(last))
        const decays = Object.values(app.features).some(({ kind }) => kind.startsWith('decayed'))
        const pack = (driver: Driver) => driver.set.entities.get('profile')!.encode(driver.state('profile', 'ECID:1'))
        if (!decays) expect(pack(a!)).toEqual(pack(b!))
      }),
      parameters,
    )
  })
})

/** Kinds that are documented to depend on arrival order once a pane is over its capacity. */
function isApproximate(definition: FeatureDefinition): boolean {
  return definition.kind === 'topK' && definition.capacity < 50
}

describe('bytes', () => {
  it('of any kind, and damaged ones, cost at most an error', () => {
    const damage = fc.oneof(
      fc.record({ how: fc.constant('cut' as const), at: fc.nat(4_000) }),
      fc.record({ how: fc.constant('flip' as const), at: fc.nat(4_000), to: fc.nat(255) }),
      fc.record({ how: fc.constant('insert' as const), at: fc.nat(4_000), to: fc.nat(255) }),
      fc.record({ how: fc.constant('noise' as const), bytes: fc.uint8Array({ maxLength: 300 }) }),
    )
    fc.assert(
      fc.property(
        anyApplication,
        anyLog(25),
        fc.array(damage, { minLength: 1, maxLength: 20 }),
        (app, log, damages) => {
          const driver = new Driver(app)
          for (const event of log) driver.update(event)
          const kernel = driver.set.entities.get('profile')!
          const packed = kernel.encode(driver.state('profile', log[0]!.key))
          for (const it of damages) expectErrorOrState(driver, log[0]!, damaged(packed, it))
        },
      ),
      parameters,
    )
  })

  it('of no state, of an unknown layout, and with a rest are refused with a reason', () => {
    const { set } = new Driver(application({ features: { n: { kind: 'count' } } }))
    const kernel = set.entities.get('profile')!
    expect(() => kernel.decode(Buffer.alloc(3))).toThrow('3 bytes are no state')
    expect(() => kernel.decode(Buffer.alloc(9))).toThrow(
      `has layout 0, which is unknown here; known: ${kernel.layout.id}`,
    )
    const packed = kernel.encode(kernel.empty())
    expect(packed).toHaveLength(5)
    expect(kernel.decode(packed).time).toBe(Number.NEGATIVE_INFINITY)
    expect(() => kernel.decode(Buffer.concat([packed, Buffer.alloc(2)]))).toThrow('2 bytes too many')
    expect(() => kernel.decode(packed.subarray(0, 4))).toThrow('it ends too early')
  })
})

type Damage =
  | { how: 'cut'; at: number }
  | { how: 'flip' | 'insert'; at: number; to: number }
  | { how: 'noise'; bytes: Uint8Array }

/** Keeps the layout id, so that what follows it is read. */
function damaged(packed: Buffer, damage: Damage): Buffer {
  if (damage.how === 'noise') return Buffer.concat([packed.subarray(0, 4), damage.bytes])
  const at = 4 + (damage.at % Math.max(1, packed.length - 4))
  if (damage.how === 'cut') return packed.subarray(0, at)
  if (damage.how === 'insert')
    return Buffer.concat([packed.subarray(0, at), Buffer.from([damage.to]), packed.subarray(at)])
  const copy = Buffer.from(packed)
  copy[at] = damage.to
  return copy
}

/** Damage may leave something readable; then it must also work: be updated, read, and packed. */
function expectErrorOrState(driver: Driver, event: XdmEvent, bytes: Buffer): void {
  const kernel = driver.set.entities.get('profile')!
  let state: KeyState
  try {
    state = kernel.decode(bytes)
  } catch (error) {
    expect((error as Error).message).toMatch(/^the packed state is corrupt: /)
    return
  }
  kernel.update(state, { ...event, id: 'next', ts: epochMs(state.time + 1) })
  const at = epochMs(Math.max(event.ts, state.time))
  driver.set.vector({ event, states: new Map([['profile', state]]), lookups, at }, driver.set.newVector())
  expect(kernel.encode(kernel.decode(kernel.encode(state)))).toEqual(kernel.encode(state))
}
