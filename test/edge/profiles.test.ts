import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, type Fixture, fixture } from './fixture.ts'

let shop: Fixture
beforeAll(async () => {
  shop = await fixture()
})
afterAll(() => shop[Symbol.asyncDispose]())

const get = async (url: string) => {
  const answer = await shop.server.inject(url)
  return { status: answer.statusCode, body: answer.json(), headers: answer.headers }
}
const traceparent = `00-${'c'.repeat(32)}-${'d'.repeat(16)}-01`

/** Sends views of one visitor and waits until the stream has scored the last one. */
async function visit(ecid: string, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const xdm = { _id: id, eventType: 'commerce.productViews', identityMap: { ECID: [{ id: ecid, primary: true }] } }
    await shop.server.inject({
      method: 'POST',
      url: '/ee/v2/interact?dataStreamId=web',
      payload: { event: { xdm } },
      headers: { traceparent },
    })
  }
  await eventually('the last score', async () => {
    const { body } = await get(`/v1/profiles/ECID/${ecid}`)
    return body.lastScores?.eventId === ids.at(-1) && body.pendingEvents === 0 ? true : undefined
  })
}
const visitor = () => randomUUID().replaceAll('-', '')

describe('GET /v1/profiles/{namespace}/{id}', () => {
  it('gives features with ages, the scores of the last event and the position of the state', async () => {
    const ecid = visitor()
    const ids = [randomUUID(), randomUUID()]
    await visit(ecid, ids)
    const { status, body } = await get(`/v1/profiles/ECID/${ecid}`)
    expect(status).toBe(200)
    expect(body).toMatchObject({
      identity: { namespace: 'ECID', id: ecid },
      featureSetVersion: shop.edge.plan.featureSet.version,
      lastScores: {
        eventId: ids[1],
        scores: [
          { model: 'propensity', score: (2 + 2 + 0 + 1) / 4 },
          { model: 'watcher', role: 'shadow' },
        ],
      },
    })
    expect(body.position).toBeGreaterThan(0)
    expect(body.stateBytes).toBeGreaterThan(20)
    const views = body.features.find((f: { feature: string }) => f.feature === 'views')
    expect(views).toMatchObject({ value: 2, column: 'views' })
    expect(views.ageMs).toBeLessThan(60_000)
  })

  it('tells nothing of somebody who is not known', async () => {
    const { status, headers } = await get('/v1/profiles/ECID/nobody')
    expect(status).toBe(404)
    expect(headers['content-type']).toContain('application/problem+json')
  })

  it('takes ids with every character that an address can carry', async () => {
    const id = `a/b c%?#ü@${randomUUID()}`
    await visitAs('CRMID', id)
    const { status, body } = await get(`/v1/profiles/CRMID/${encodeURIComponent(id)}`)
    expect(status).toBe(200)
    expect(body.identity.id).toBe(id)
  })

  it('finds an identity in whatever spelling, as events of it do', async () => {
    const name = randomUUID()
    await visitAs('Email', `${name}@Example.COM`)
    const { status } = await get(`/v1/profiles/email/${encodeURIComponent(` ${name}@example.com`)}`)
    expect(status).toBe(200)
    expect((await get('/v1/profiles/Email/nobody')).status).toBe(404)
  })

  async function visitAs(namespace: string, id: string): Promise<void> {
    const xdm = { eventType: 'x', identityMap: { [namespace]: [{ id, primary: true }] } }
    await shop.server.inject({ method: 'POST', url: '/ee/v2/interact?dataStreamId=web', payload: { event: { xdm } } })
  }
})

describe('GET /v1/profiles/{namespace}/{id}/why', () => {
  it('attributes the score to what the model saw, and traces the event back to its record', async () => {
    const ecid = visitor()
    const ids = [randomUUID(), randomUUID()]
    await visit(ecid, ids)
    const { body } = await get(`/v1/profiles/ECID/${ecid}/why`)
    expect(body).toMatchObject({ eventId: ids[1], trace: { traceparent } })
    expect(body.trace.score).toMatch(/^profile\.scores\[\d\]@\d+$/)
    expect(body.trace.sample).toMatch(/^samples\[\d\]@\d+$/)
    expect(body.trace.input).toMatch(/^xdm\.events\[\d\]@\d+$/)
    expect(body.scores[0]).toMatchObject({ model: 'propensity', score: 1.25 })
    // Two views, two events; the page is at its default. Each contributes value / 4.
    expect(body.scores[0].explanation).toEqual([
      { feature: 'events', contribution: 0.5, value: 2 },
      { feature: 'views', contribution: 0.5, value: 2 },
    ])
    const first = (await get(`/v1/profiles/ECID/${ecid}/why?eventId=${ids[0]}`)).body
    expect(first.scores[0].explanation).toMatchObject([{ value: 1 }, { value: 1 }])
  })

  it('says when there is no such score', async () => {
    expect((await get('/v1/profiles/ECID/nobody/why')).status).toBe(404)
  })
})

describe('GET /v1/profiles/{namespace}/{id}/export', () => {
  it('gives all that is kept of one person and of nobody else', async () => {
    const [mine, other] = [visitor(), visitor()]
    const ids = [randomUUID(), randomUUID(), randomUUID()]
    await visit(mine, ids)
    await visit(other, [randomUUID()])
    const answer = await shop.server.inject(`/v1/profiles/ECID/${mine}/export`)
    expect(answer.headers['content-type']).toBe('application/x-ndjson')
    const lines = answer.body
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.map(({ kind }) => kind)).toEqual([
      'about',
      'profile',
      ...ids.map(() => 'score'),
      ...ids.map(() => 'event'),
    ])
    expect(lines.filter(({ kind }) => kind === 'event').map(({ xdm }) => xdm._id)).toEqual(ids)
    expect(answer.body).not.toContain(other)
  })
})

describe('operations', () => {
  it('lists the service gallery with every model behind a service', async () => {
    const { body } = await get('/v1/services')
    expect(body.services).toMatchObject([
      {
        id: 'buy',
        url: '/v1/predict/buy',
        models: [
          {
            model: 'propensity',
            version: '7',
            role: 'champion',
            fallback: 'prior',
            features: ['views', 'events', 'spent', 'page'],
            outputs: ['score'],
          },
          { model: 'watcher', role: 'shadow', fallback: 'none' },
        ],
      },
    ])
    expect(body.services[0].models[0].sha256).toMatch(/^[0-9a-f]{64}$/)
    expect((await get('/v1/services/buy')).body).toMatchObject(body.services[0])
    expect((await get('/v1/services/nope')).status).toBe(404)
  })

  it('shows stages with their lag and topics with their sizes', async () => {
    await visit(visitor(), [randomUUID()])
    const { body } = await get('/v1/topology')
    const profile = body.stages.find((it: { name: string }) => it.name === 'profile')
    expect(profile).toMatchObject({ topic: 'xdm.events', state: 'running' })
    expect(profile.shards).toHaveLength(2)
    expect(body.topics.find((it: { name: string }) => it.name === 'xdm.events').records).toBeGreaterThan(0)
    expect(body.down).toEqual([])
  })

  it('lists dead letters, newest first, with their bytes on request', async () => {
    const collect = (payload: string) =>
      shop.server.inject({
        method: 'POST',
        url: '/collect/plain',
        payload,
        headers: { 'content-type': 'application/json' },
      })
    await collect('{"id":"first"}')
    await collect('not json')
    const letters = await eventually('two letters', async () => {
      const { body } = await get('/v1/dead-letters?values=true')
      return body.letters.length === 2 ? body.letters : undefined
    })
    expect(letters.map((it: { code: string }) => it.code).sort()).toEqual(['DECODE', 'IDENTITY'])
    const broken = letters.find((it: { code: string }) => it.code === 'DECODE')
    expect(Buffer.from(broken.value, 'base64').toString()).toBe('not json')
    expect(broken.from).toMatch(/^raw\.plain\[\d\]@\d+$/)
    const only = (await get('/v1/dead-letters?code=IDENTITY&limit=1')).body
    expect(only.letters).toMatchObject([{ code: 'IDENTITY' }])
    expect(only.letters[0]).not.toHaveProperty('value')
    expect((await get('/v1/dead-letters?limit=0')).status).toBe(400)
  })

  it('serves page, metrics and live figures', async () => {
    const page = await shop.server.inject('/')
    expect(page.headers['content-security-policy']).toContain("default-src 'none'")
    const metrics = (await shop.server.inject('/metrics')).body
    expect(metrics).toContain('rtml_events_total')
    expect(metrics).toMatch(/rtml_http_requests_total\{route="\/v1\/profiles\/:namespace\/:id",status="200"\} [1-9]/)
    expect(metrics).toMatch(/rtml_intake_bytes 0/)
    expect((await get('/v1/overview')).body.app).toBe('shop')
  })
})
