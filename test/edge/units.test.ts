import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RtmlError } from '../../processors/app/errors.ts'
import { applicationSchema } from '../../processors/app/schema.ts'
import { systemClock } from '../../processors/app/system-clock.ts'
import { epochMs } from '../../processors/app/units.ts'
import { coalesce, Overloaded } from '../../processors/edge/coalesce.ts'
import { cookieName, ecidOfCookie, ecidOfFpid, identityCookie, isEcid, newEcid } from '../../processors/edge/ecid.ts'
import { Intake, IntakeFull, IntakeLate } from '../../processors/edge/intake.ts'
import { Overlay } from '../../processors/edge/overlay.ts'
import { recordHeaders } from '../../processors/edge/record-headers.ts'
import { isSignedBy } from '../../processors/edge/webhook.ts'
import type { NewRecord } from '../../processors/engine/ports.ts'
import { createExpressions } from '../../processors/expressions/index.ts'
import { createFeatureSet } from '../../processors/features/index.ts'

describe('coalesce', () => {
  it('makes one batch of what is asked in one turn, and gives each its own answer', async () => {
    const batches: number[][] = []
    const square = coalesce(
      async (items: readonly number[]) => {
        batches.push([...items])
        return items.map((it) => it * it)
      },
      { maxItems: 3, maxAtOnce: 1, maxWaiting: 10 },
    )
    expect(await Promise.all([1, 2, 3, 4, 5].map(square))).toEqual([1, 4, 9, 16, 25])
    expect(batches).toEqual([
      [1, 2, 3],
      [4, 5],
    ])
  })

  it('keeps to its bounds and passes failures on to those who asked', async () => {
    const gate = Promise.withResolvers<void>()
    let most = 0
    let now = 0
    const ask = coalesce(
      async (items: readonly number[]) => {
        most = Math.max(most, ++now)
        await gate.promise
        now--
        if (items.includes(3)) throw new Error('three')
        return items
      },
      { maxItems: 1, maxAtOnce: 2, maxWaiting: 4 },
    )
    const asked = [0, 1, 2, 3].map(ask)
    await expect(ask(4)).rejects.toThrow(Overloaded)
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
    gate.resolve()
    const settled = await Promise.allSettled(asked)
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected'])
    expect(most).toBe(2)
  })
})

describe('overlay', () => {
  const app = applicationSchema.parse({
    rtml: 1,
    name: 'a',
    sources: { s: { mapping: 'xdm' } },
    features: { events: { kind: 'count' } },
  })
  const features = createFeatureSet(app, createExpressions({ replayable: true }))
  const kernel = features.entities.get('profile')!
  const event = (id: string, ts = 1_000) => ({
    id,
    ts: epochMs(ts),
    key: 'ECID:1',
    xdm: { _id: id, timestamp: new Date(ts).toISOString() },
  })
  const now = epochMs(5_000)

  it('adds what the store does not show, once, and forgets what it shows', () => {
    const overlay = new Overlay({ maxProfiles: 10, maxEventsPerProfile: 16, maxAgeMs: 1_000 })
    for (const id of ['a', 'b', 'a']) overlay.add(event(id), now)
    expect(overlay.apply('ECID:1', kernel.empty(), kernel, now)).toBe(2)
    const stored = kernel.empty()
    kernel.update(stored, event('a'))
    expect(overlay.apply('ECID:1', stored, kernel, now)).toBe(1)
    kernel.update(stored, event('b'))
    expect(overlay.apply('ECID:1', kernel.decode(kernel.encode(stored)), kernel, now)).toBe(0)
    expect(overlay.profiles).toBe(0)
  })

  it('gives the state that the stream will have, whatever part of the events the store shows', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 16 }), fc.nat(16), (numbers, shown) => {
        const overlay = new Overlay({ maxProfiles: 10, maxEventsPerProfile: 16, maxAgeMs: 1_000 })
        const events = numbers.map((number) => event(String(number), 1_000 + number))
        const [whole, part] = [kernel.empty(), kernel.empty()]
        events.forEach((it, index) => {
          overlay.add(it, now)
          kernel.update(whole, it)
          if (index < shown) kernel.update(part, it)
        })
        overlay.apply('ECID:1', part, kernel, now)
        expect(kernel.encode(part)).toEqual(kernel.encode(whole))
      }),
    )
  })

  it('is bounded in profiles, events and age', () => {
    const overlay = new Overlay({ maxProfiles: 2, maxEventsPerProfile: 2, maxAgeMs: 1_000 })
    for (const id of ['a', 'b', 'c']) overlay.add(event(id), now)
    expect(overlay.apply('ECID:1', kernel.empty(), kernel, now)).toBe(2)
    for (const key of ['ECID:2', 'ECID:3']) overlay.add({ ...event('x'), key }, now)
    expect(overlay.profiles).toBe(2)
    expect(overlay.apply('ECID:1', kernel.empty(), kernel, now)).toBe(0)
    expect(overlay.apply('ECID:2', kernel.empty(), kernel, epochMs(now + 1_001))).toBe(0)
  })

  it('keeps nothing where a key remembers no ids', () => {
    const overlay = new Overlay({ maxProfiles: 2, maxEventsPerProfile: 0, maxAgeMs: 1_000 })
    overlay.add(event('a'), now)
    expect(overlay.profiles).toBe(0)
  })
})

describe('intake', () => {
  const limits = { maxBytes: 100, maxRecords: 3, maxAppendBytes: 1_000, maxWaitMs: 200 }
  const record = (value: string): NewRecord => ({ topic: 't', key: null, value: Buffer.from(value) })

  it('makes one append of concurrent offers, in order', async () => {
    const appends: string[][] = []
    const log = {
      append: async (records: readonly NewRecord[]) => void appends.push(records.map((it) => String(it.value))),
    }
    await using intake = new Intake(log, systemClock, limits)
    await Promise.all(['a', 'b', 'c', 'd'].map((value) => intake.offer([record(value)]).durable))
    expect(appends).toEqual([['a', 'b', 'c'], ['d']])
    expect(intake.waitingBytes).toBe(0)
  })

  it('does not let one refused record take its neighbours with it', async () => {
    const log = {
      append: async (records: readonly NewRecord[]) => {
        if (records.some(({ value }) => String(value) === 'bad')) throw new Error('too large')
      },
    }
    await using intake = new Intake(log, systemClock, limits)
    const settled = await Promise.allSettled(['a', 'bad', 'c'].map((value) => intake.offer([record(value)]).durable))
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })

  it('resolves only after the log has acknowledged; gives up after its time; refuses above its bound', async () => {
    let isAway = true
    const log = {
      append: async () => {
        if (isAway) throw new RtmlError('LOG_DOWN', 'away')
      },
    }
    await using intake = new Intake(log, systemClock, limits)
    const late = intake.offer([record('x'.repeat(90))])
    expect(() => intake.offer([record('y'.repeat(20))])).toThrow(IntakeFull)
    await expect(late.durable).rejects.toThrow(IntakeLate)
    expect(intake.isStalled).toBe(true)
    const taken = intake.offer([record('z')])
    isAway = false
    await taken.durable
    expect(intake.isStalled).toBe(false)
    const back = intake.offer([record('back')])
    back.cancel()
    await expect(back.durable).rejects.toThrow(IntakeLate)
  })

  it('sends what waits before it closes, and takes nothing more', async () => {
    const appended: string[] = []
    const log = {
      append: async (records: readonly NewRecord[]) => void appended.push(...records.map((it) => String(it.value))),
    }
    const intake = new Intake(log, systemClock, limits)
    const { durable } = intake.offer([record('last')])
    await intake[Symbol.asyncDispose]()
    await durable
    expect(appended).toEqual(['last'])
    expect(() => intake.offer([record('more')])).toThrow(IntakeFull)
  })
})

describe('device identities', () => {
  it('have 38 digits, and no two are the same', () => {
    const ids = new Set(Array.from({ length: 1_000 }, newEcid))
    expect(ids.size).toBe(1_000)
    for (const id of ids) expect(isEcid(id)).toBe(true)
  })

  it('come back from the cookie, in its URL form too', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 38n - 1n }), fc.nat(), (number, now) => {
        const ecid = number.toString().padStart(38, '0')
        const cookie = identityCookie(ecid, now)
        expect(ecidOfCookie(cookie)).toBe(ecid)
        expect(ecidOfCookie(encodeURIComponent(cookie))).toBe(ecid)
        expect(ecidOfCookie(cookie.replaceAll('+', '-').replaceAll('/', '_'))).toBe(ecid)
      }),
    )
  })

  it('are read from a cookie that the Experience Edge has made', () => {
    const cookie = 'CiY0MDAwMDgyMjMzNTEzNzU1OTcwMjQ0NDcyNjU1MTAyMDEwNDQ3MVIRCNnE4Y6QMRABGAEqBElSTDHwAdnE4Y6QMQ=='
    expect(ecidOfCookie(cookie)).toBe('40000822335137559702444726551020104471')
  })

  it('are nothing in any other text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 600 }), (text) => {
        expect(ecidOfCookie(text)).toBeUndefined()
      }),
    )
  })

  it('of a first-party id depend on it and on the organisation', () => {
    expect(ecidOfFpid('a', 'x')).toBe(ecidOfFpid('a', 'x'))
    expect(new Set([ecidOfFpid('a', 'x'), ecidOfFpid('b', 'x'), ecidOfFpid('a', 'y')]).size).toBe(3)
    expect(cookieName('53A@AdobeOrg', 'identity')).toBe('kndctr_53A_AdobeOrg_identity')
  })
})

describe('signatures and headers', () => {
  it('accepts only the HMAC of these very bytes', () => {
    // printf '{"id":1}' | openssl dgst -sha256 -hmac hush -binary | base64
    const good = 'VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY='
    const body = Buffer.from('{"id":1}')
    expect(isSignedBy('hush', body, good)).toBe(true)
    expect(isSignedBy('hush', Buffer.from('{"id":2}'), good)).toBe(false)
    expect(isSignedBy('hushed', body, good)).toBe(false)
    for (const wrong of [undefined, '', 'x', ['a'], 'a'.repeat(10_000)])
      expect(isSignedBy('hush', body, wrong)).toBe(false)
  })

  it('keeps no header that could hold a credential', () => {
    const kept = recordHeaders({
      authorization: 'Bearer x',
      cookie: 'a=b',
      'x-api-key': 'k',
      'x-shopify-hmac-sha256': 's',
      'x-shopify-topic': 'orders/create',
      'x-forwarded-for': '1.2.3.4',
    })
    expect(Object.keys(kept)).toEqual(['x-shopify-topic'])
  })
})
