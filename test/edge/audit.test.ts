import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RtmlError } from '../../processors/app/errors.ts'
import { newApiKey } from '../../processors/edge/auth/api-keys.ts'
import { securityFrom } from '../../processors/edge/auth/security.ts'
import type { Engine, NewRecord } from '../../processors/engine/ports.ts'
import { eventually, type Fixture, fixture } from './fixture.ts'

let shop: Fixture
beforeAll(async () => {
  shop = await fixture()
})
afterAll(() => shop[Symbol.asyncDispose]())

const collect = (event: object) =>
  shop.server.inject({
    method: 'POST',
    url: '/collect/plain',
    payload: event,
    headers: { 'content-type': 'application/json' },
  })
const post = (url: string, payload: object, headers: Record<string, string> = {}, server = shop.server) =>
  server.inject({ method: 'POST', url, payload, headers })
const auditOf = async (query = '') => (await shop.server.inject(`/v1/audit${query}`)).json().entries

interface Letter {
  readonly place: string
  readonly code: string
  readonly value: string
}
const letters = async (): Promise<Letter[]> => (await shop.server.inject('/v1/dead-letters?values=true')).json().letters
const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64')

describe('dead letters over HTTP', () => {
  it('are repaired, replayed and mapped, and the audit log says who, what, why and how it went', async () => {
    const event = { id: 'e1', time: 'yesterday', type: 'view', visitor: 'v1' }
    await collect(event)
    const [letter] = await eventually('a dead letter', async () => {
      const found = await letters()
      return found.length > 0 ? found : undefined
    })
    const one = (await shop.server.inject(`/v1/dead-letters/${encodeURIComponent(letter!.place)}`)).json()
    expect(JSON.parse(Buffer.from(one.value, 'base64').toString())).toEqual(event)
    expect(one.code).toBe(letter!.code)

    const repaired = { ...event, time: new Date().toISOString() }
    const answer = await post('/v1/dead-letters/replay', {
      letters: [{ place: letter!.place, value: base64(repaired) }],
      reason: 'a producer sent words for a time',
    })
    expect(answer.json()).toEqual({ replayed: 1, topics: ['raw.plain'] })
    await eventually('the profile of the repaired event', async () => {
      const profile = await shop.server.inject('/v1/profiles/ECID/v1')
      return profile.statusCode === 200 ? true : undefined
    })
    expect(await auditOf('?action=dead-letters.replay')).toEqual([
      {
        place: expect.stringMatching(/^audit\[0\]@\d+$/),
        at: expect.any(String),
        actor: 'local',
        action: 'dead-letters.replay',
        subject: letter!.place,
        reason: 'a producer sent words for a time',
        result: 'done',
        via: 'http',
        requestId: answer.headers['x-request-id'],
        detail: { records: 1, repaired: 1 },
      },
    ])
  })

  it('refuse places that are none, append nothing then, and write the refusal down', async () => {
    const before = (await shop.engine.log.bounds('raw.plain')).map(({ end }) => end)
    const [known] = await letters()
    const answer = await post('/v1/dead-letters/replay', {
      letters: [{ place: known!.place }, { place: 'profile.scores[0]@0' }],
    })
    expect(answer.statusCode).toBe(404)
    expect((await shop.engine.log.bounds('raw.plain')).map(({ end }) => end)).toEqual(before)
    const [entry] = await auditOf()
    expect(entry).toMatchObject({ action: 'dead-letters.replay', result: 'refused', subject: '2 dead letters' })
    expect(entry.detail.error).toContain('profile.scores[0]@0')
  })

  it.each(['xdm.events[0]@0', 'audit[0]@0', 'dlq.raw[99]@0', 'dlq.raw[0]@999999', '../etc/passwd', 'dlq.raw[0]@-1'])(
    'show nothing at %s',
    async (place) => {
      expect((await shop.server.inject(`/v1/dead-letters/${encodeURIComponent(place)}`)).statusCode).toBe(404)
    },
  )
})

describe('the audit log', () => {
  it('names the key that did it, and finds entries by actor, action, subject and time', async () => {
    const ops = newApiKey('ops', ['dead-letters:write', 'audit:read'])
    const guarded = await shop.serve(securityFrom({ RTML_API_KEYS: ops.line }, '0.0.0.0'))
    const headers = { authorization: `Bearer ${ops.key}` }
    await post('/v1/dead-letters/replay', { letters: [{ place: 'dlq.raw[1]@777' }] }, headers, guarded)
    const found = await auditOf('?actor=key:ops')
    expect(found).toMatchObject([{ actor: 'key:ops', result: 'refused', subject: 'dlq.raw[1]@777' }])
    expect(await auditOf('?subject=@777')).toEqual(found)
    expect(await auditOf(`?from=${found[0].at}&actor=key:ops`)).toEqual(found)
    expect(await auditOf(`?until=${found[0].at}&actor=key:ops`)).toEqual([])
    expect(await auditOf('?action=service.promote')).toEqual([])
    expect(JSON.stringify(found)).not.toContain(ops.key)
  })

  it('says when there may be older entries', async () => {
    const answer = (await shop.server.inject('/v1/audit?limit=1')).json()
    expect(answer.entries).toHaveLength(1)
    expect(answer.complete).toBe(false)
    expect((await shop.server.inject('/v1/audit?limit=100')).json().complete).toBe(true)
  })

  it.each(['?action=nothing', '?from=now', '?limit=0', '?limit=101', '?unknown=1'])('refuses %s', async (query) => {
    expect((await shop.server.inject(`/v1/audit${query}`)).statusCode).toBe(400)
  })

  it('does not take the change for done when the entry can not be written', async () => {
    await using other = await fixture({ engine: withoutAudit })
    await other.server.inject({
      method: 'POST',
      url: '/collect/plain',
      payload: { id: 'x', time: 'never', visitor: 'v' },
    })
    const [letter] = await eventually('a dead letter', async () => {
      const { letters: found } = (await other.server.inject('/v1/dead-letters')).json() as { letters: Letter[] }
      return found.length > 0 ? found : undefined
    })
    const answer = await other.server.inject({
      method: 'POST',
      url: '/v1/dead-letters/replay',
      payload: { letters: [{ place: letter!.place }] },
    })
    expect(answer.statusCode).toBe(503)
    expect(answer.body).not.toContain('cut it')
  })
})

/** An engine whose log takes everything but audit entries. */
function withoutAudit(engine: Engine): Engine {
  const append = async (records: readonly NewRecord[]) => {
    if (records.some(({ topic }) => topic === 'audit')) throw new RtmlError('LOG_DOWN', 'the test has cut it')
    return engine.log.append(records)
  }
  const log = new Proxy(engine.log, {
    get(target, name) {
      if (name === 'append') return append
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  const { name, store, registry } = engine
  return { name, store, registry, log, down: () => engine.down(), [Symbol.asyncDispose]: () => Promise.resolve() }
}
