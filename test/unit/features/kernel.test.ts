import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { XdmEvent } from '../../../processors/app/event.ts'
import type { Application } from '../../../processors/app/schema.ts'
import { epochMs } from '../../../processors/app/units.ts'
import {
  createFeatureSet,
  type FeatureSet,
  type KeyState,
  type Lookups,
  type Vector,
} from '../../../processors/features/index.ts'
import { anyApplication, anyLog } from './arbitraries.ts'
import { fake } from './fake-expressions.ts'
import { referenceVectors } from './reference.ts'

const expressions = fake
const PRICES: Record<string, object> = { a: { price: 3 }, b: { price: 'none' }, '7': { price: 0.5 } }
const lookups: Lookups = {
  get: (_table, key) => (Object.hasOwn(PRICES, key) ? (PRICES[key] as Record<string, unknown>) : undefined),
}
const RUNS = Number(process.env.FC_RUNS ?? 300)

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
  inputs(event: XdmEvent) {
    const states = new Map<string, KeyState>()
    for (const [entity, kernel] of this.set.entities) {
      const key = kernel.keys(event)[0]
      if (key !== undefined) states.set(entity, this.state(entity, key))
    }
    return { event, states, lookups, at: epochMs(Math.max(event.ts, states.get('profile')!.time)) }
  }
  vector(event: XdmEvent): Vector {
    const vector = this.set.newVector()
    this.set.vector(this.inputs(event), vector)
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

describe('the kernel and the slow reference', () => {
  it('agree on every vector of a random log', () => {
    fc.assert(
      fc.property(anyApplication, anyLog(40), (app, log) => {
        const driver = new Driver(app)
        const wanted = referenceVectors(app, log, { expressions, lookups })
        log.forEach((event, i) => {
          expect(driver.update(event)).toBe(wanted[i]!.updated)
          expectSame(app, driver.set, driver.vector(event), wanted[i]!.vector)
        })
      }),
      { numRuns: RUNS },
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
      { numRuns: RUNS },
    )
  })
})
