import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RtmlError } from '../../processors/app/errors.ts'
import type { Engine } from '../../processors/engine/ports.ts'
import { type Fixture, fixture } from './fixture.ts'

/** How the store behaves now. */
let mood: 'well' | 'silent' | 'away' = 'well'
let loads = 0
let shop: Fixture
beforeAll(async () => {
  shop = await fixture({
    application: (text) => text.replace('deadline: 5s\nfeatures', 'deadline: 100ms\nfeatures'),
    engine: (engine: Engine): Engine => ({
      name: engine.name,
      log: engine.log,
      registry: engine.registry,
      down: () => engine.down(),
      [Symbol.asyncDispose]: async () => {},
      store: new Proxy(engine.store, {
        get(store, name) {
          const value: unknown = Reflect.get(store, name)
          if (typeof value !== 'function') return value
          if (name !== 'load') return value.bind(store)
          return (...args: Parameters<typeof store.load>) => {
            loads++
            if (mood === 'silent') return new Promise(() => {})
            if (mood === 'away') return Promise.reject(new RtmlError('STORE_DOWN', 'the test has cut it'))
            return store.load(...args)
          }
        },
      }),
    }),
  })
})
afterAll(() => shop[Symbol.asyncDispose]())

const identity = { namespace: 'ECID', id: '42' }
const predict = () => shop.server.inject({ method: 'POST', url: '/v1/predict/buy', payload: { identity } })
const interact = () =>
  shop.server.inject({
    method: 'POST',
    url: '/ee/v2/interact?dataStreamId=web',
    payload: {
      event: { xdm: { eventType: 'commerce.productViews', identityMap: { ECID: [{ id: '42', primary: true }] } } },
    },
  })

describe('reads of concurrent requests', () => {
  it('go to the store together', async () => {
    const before = loads
    const answers = await Promise.all(Array.from({ length: 60 }, predict))
    expect(answers.every(({ statusCode }) => statusCode === 200)).toBe(true)
    expect(loads - before).toBeLessThan(30)
  })
})

describe.each(['silent', 'away'] as const)('when the store is %s', (how) => {
  beforeAll(() => {
    mood = how
  })
  afterAll(() => {
    mood = 'well'
  })

  it('a prediction leaves in time, and says that the profile is missing', async () => {
    const startedAt = performance.now()
    const answer = await predict()
    // The deadline is 100 ms; the rest is for a busy machine.
    expect(performance.now() - startedAt).toBeLessThan(2_000)
    expect(answer.statusCode).toBe(200)
    expect(answer.json().predictions[0]).toMatchObject({
      state: { status: 'unavailable', storedEventAt: null },
      warnings: [expect.stringContaining('the profile could not be read in time')],
    })
  })

  it('interact decides on what it knows, with a warning', async () => {
    const answer = await interact()
    expect(answer.statusCode).toBe(200)
    expect(answer.json()).toMatchObject({
      handle: [{ type: 'identity:result' }, { type: 'personalization:decisions' }, { type: 'state:store' }],
      warnings: [{ type: 'https://ns.adobe.com/aep/errors/EXEG-0204-200', status: 200 }],
    })
  })

  it('a profile is not told to be unknown', async () => {
    const answer = await shop.server.inject('/v1/profiles/ECID/42')
    expect(answer.statusCode).toBe(503)
    expect(answer.headers['retry-after']).toBe('5')
  })
})
