import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ecidOfCookie, isEcid } from '../../processors/edge/ecid.ts'
import type { DecisionRequest } from '../../processors/edge/types.ts'
import { partitionOf } from '../../processors/engine/murmur2.ts'
import { decodeScores, type ProfileScores } from '../../processors/outputs/index.ts'
import { DATASTREAM, eventually, type Fixture, fixture } from './fixture.ts'

const COOKIE = 'kndctr_53A16ACB5CC1D3760A495C99_AdobeOrg_identity'
const asked: DecisionRequest[] = []

let shop: Fixture
beforeAll(async () => {
  shop = await fixture({
    region: 'irl1',
    decisions: {
      decide(request) {
        asked.push(request)
        const propensity = request.scores.find(({ role }) => role === 'champion')!.value
        if (propensity < 1) return { propositions: [] }
        const propositions = [
          {
            id: `offer-${propensity}`,
            scope: request.scopes[0] ?? '__view__',
            scopeDetails: { decisionProvider: 'RTML', activity: { id: 'discount' } },
            items: [
              {
                id: '1',
                schema: 'https://ns.adobe.com/personalization/json-content-item',
                data: { content: { off: 10 } },
              },
            ],
          },
        ]
        return { propositions }
      },
    },
  })
})
afterAll(() => shop[Symbol.asyncDispose]())

interface Handle {
  type: string
  payload: { id: string; key: string; value: string; [field: string]: unknown }[]
  eventIndex?: number
}
const handlesOf = (body: { handle: Handle[] }, type: string): Handle[] => body.handle.filter((it) => it.type === type)
const payloadOf = (body: { handle: Handle[] }, type: string) => handlesOf(body, type).flatMap((it) => it.payload)

/** The request that the Web SDK's sendEvent makes: text/plain, so that browsers need no preflight. */
function webRequest(event: object, options: { entries?: object[]; url?: string; configId?: string } = {}) {
  const { entries = [], url = '/ee/v1/interact', configId = DATASTREAM } = options
  return shop.server.inject({
    method: 'POST',
    url: `${url}?configId=${configId}&requestId=${randomUUID()}`,
    headers: { 'content-type': 'text/plain; charset=UTF-8', origin: 'https://shop.example' },
    payload: JSON.stringify({
      meta: { state: { domain: 'shop.example', cookiesEnabled: true, entries } },
      query: { identity: { fetch: ['ECID'] } },
      events: [
        {
          query: {
            personalization: {
              schemas: [
                'https://ns.adobe.com/personalization/dom-action',
                'https://ns.adobe.com/personalization/html-content-item',
                'https://ns.adobe.com/personalization/json-content-item',
                'https://ns.adobe.com/personalization/redirect-item',
              ],
              decisionScopes: ['__view__'],
              surfaces: ['web://shop.example/'],
            },
          },
          xdm: {
            eventType: 'commerce.productViews',
            web: { webPageDetails: { URL: 'https://shop.example/', name: 'cart' }, webReferrer: { URL: '' } },
            device: { screenHeight: 1024, screenWidth: 1280, screenOrientation: 'landscape' },
            environment: { type: 'browser', browserDetails: { viewportWidth: 800, viewportHeight: 600 } },
            placeContext: { localTime: new Date().toISOString(), localTimezoneOffset: 0 },
            timestamp: new Date().toISOString(),
            implementationDetails: {
              name: 'https://ns.adobe.com/experience/alloy',
              version: '2.33.1',
              environment: 'browser',
            },
            ...event,
          },
        },
      ],
    }),
  })
}

async function scoresOf(key: string, eventId?: string): Promise<ProfileScores[]> {
  const all = await shop.engine.log.bounds('profile.scores')
  const bounds = all[partitionOf(Buffer.from(key), all.length)]!
  const found: ProfileScores[] = []
  for await (const { records } of shop.engine.log.read(bounds, bounds.start, { until: bounds.end })) {
    for (const { value, key: own } of records) {
      if (!value || own?.toString() !== key) continue
      const scores = decodeScores(value)
      if (eventId === undefined || scores.eventId === eventId) found.push(scores)
    }
  }
  return found
}

describe('POST /ee/v1/interact, as the Web SDK sends it', () => {
  it('gives a new visitor an ECID that the SDK reads back from the cookie', async () => {
    const answer = await webRequest({})
    expect(answer.statusCode).toBe(200)
    expect(answer.headers['access-control-allow-origin']).toBe('https://shop.example')
    expect(answer.headers['access-control-allow-credentials']).toBe('true')
    const body = answer.json()
    const [identity] = payloadOf(body, 'identity:result')
    expect(identity).toEqual({ id: expect.stringMatching(/^\d{38}$/), namespace: { code: 'ECID' } })
    const [stored, cluster] = payloadOf(body, 'state:store')
    expect(stored).toEqual({ key: COOKIE, value: expect.any(String), maxAge: 34_128_000 })
    expect(ecidOfCookie(stored!.value)).toBe(identity!.id)
    expect(cluster).toMatchObject({ value: 'irl1', maxAge: 1_800 })
    expect(payloadOf(body, 'locationHint:result')).toEqual([{ scope: 'EdgeNetwork', hint: 'irl1', ttlSeconds: 1_800 }])
    expect(handlesOf(body, 'personalization:decisions')).toMatchObject([{ eventIndex: 0 }])
    expect(asked.at(-1)!.scopes).toEqual(['__view__', 'web://shop.example/'])
    expect(asked.at(-1)!.schemas).toHaveLength(4)
  })

  it('keeps the visitor whose cookie the SDK sends along, on the path of a location hint too', async () => {
    const first = (await webRequest({})).json()
    const [stored] = payloadOf(first, 'state:store')
    const second = await webRequest(
      {},
      { entries: [{ key: stored!.key, value: stored!.value }], url: '/ee/irl1/v1/interact' },
    )
    expect(payloadOf(second.json(), 'identity:result')).toEqual(payloadOf(first, 'identity:result'))
    const unknownHint = await webRequest({}, { url: '/ee/xyz9/v1/interact' })
    expect(unknownHint.statusCode).toBe(200)
  })

  it('decides with the event of this very request, and the next page sees it at once', async () => {
    const first = (await webRequest({})).json()
    const [stored] = payloadOf(first, 'state:store')
    // 1 view + 1 event + page "cart" (2), over four
    expect(payloadOf(first, 'personalization:decisions')).toMatchObject([{ id: 'offer-1' }])
    const entries = [{ key: stored!.key, value: stored!.value }]
    const next = (await webRequest({}, { entries })).json()
    expect(payloadOf(next, 'personalization:decisions')).toMatchObject([
      {
        id: 'offer-1.5',
        scope: '__view__',
        scopeDetails: { decisionProvider: 'RTML' },
        items: [{ data: { content: { off: 10 } } }],
      },
    ])
  })

  it('counts the event once on the durable path, also when the SDK repeats the request', async () => {
    const id = randomUUID()
    const first = (await webRequest({ _id: id })).json()
    const ecid = payloadOf(first, 'identity:result')[0]!.id
    const entries = [{ key: COOKIE, value: payloadOf(first, 'state:store')[0]!.value }]
    const again = (await webRequest({ _id: id }, { entries })).json()
    expect(payloadOf(again, 'personalization:decisions')).toEqual(payloadOf(first, 'personalization:decisions'))
    const last = (await webRequest({ _id: `${id}-2` }, { entries })).json()
    expect(payloadOf(last, 'personalization:decisions')).toMatchObject([{ id: 'offer-1.5' }])
    await eventually('the second event', async () =>
      (await scoresOf(`ECID:${ecid}`, `${id}-2`)).length > 0 ? true : undefined,
    )
    const all = await scoresOf(`ECID:${ecid}`)
    expect(all.map(({ eventId }) => eventId)).toEqual([id, `${id}-2`])
    // The same numbers at the edge and in the stream.
    expect(all.map(({ scores }) => scores[0]!.score)).toEqual([1, 1.5])
  })

  it('answers an identity request that has no events', async () => {
    const answer = await shop.server.inject({
      method: 'POST',
      url: `/ee/v1/interact?configId=${DATASTREAM}`,
      payload: { query: { identity: { fetch: ['ECID'] } } },
    })
    expect(payloadOf(answer.json(), 'identity:result')).toHaveLength(1)
    expect(handlesOf(answer.json(), 'personalization:decisions')).toEqual([])
  })

  it('keeps nothing of a visitor who has opted out, and answers without identity and decisions', async () => {
    const consent = { key: 'kndctr_53A16ACB5CC1D3760A495C99_AdobeOrg_consent', value: 'general%3Dout' }
    const before = await shop.engine.log.bounds('raw.web')
    const answer = await webRequest({}, { entries: [consent] })
    expect(answer.json().handle).toEqual([])
    expect(await shop.engine.log.bounds('raw.web')).toEqual(before)
    const refused = await webRequest({ consents: { collect: { val: 'n' } } })
    expect(refused.json().handle).toEqual([])
    expect(await shop.engine.log.bounds('raw.web')).toEqual(before)
  })

  it('derives the same ECID from a first-party device id', async () => {
    const identityMap = { FPID: [{ id: randomUUID() }] }
    const ids = [await webRequest({ identityMap }), await webRequest({ identityMap })].map(
      (answer) => payloadOf(answer.json(), 'identity:result')[0]!.id,
    )
    expect(ids[0]).toBe(ids[1])
    expect(isEcid(ids[0]!)).toBe(true)
  })
})

describe('POST /ee/v2/interact, the server API', () => {
  const server = (payload: object, query = `dataStreamId=${DATASTREAM}`) =>
    shop.server.inject({ method: 'POST', url: `/ee/v2/interact?${query}`, payload })

  it('takes one event with a primary identity marked by a text, and makes a request id', async () => {
    const ecid = '1'.repeat(38)
    const xdm = { eventType: 'commerce.productViews', identityMap: { ECID: [{ id: ecid, primary: 'true' }] } }
    const answer = await server({ event: { xdm } })
    expect(answer.statusCode).toBe(200)
    expect(answer.json().requestId).toBe(answer.headers['x-request-id'])
    expect(payloadOf(answer.json(), 'identity:result')[0]!.id).toBe(ecid)
  })

  it('uses the request id that it is given', async () => {
    const requestId = randomUUID()
    const answer = await server({ event: { xdm: {} } }, `dataStreamId=web&requestId=${requestId}`)
    expect(answer.json().requestId).toBe(requestId)
  })

  it('makes no device identity for somebody who has another identity, and keys by it', async () => {
    const email = `${randomUUID()}@example.com`
    const xdm = { eventType: 'commerce.productViews', identityMap: { Email: [{ id: email, primary: true }] } }
    const answer = await server({ event: { xdm } })
    expect(handlesOf(answer.json(), 'identity:result')).toEqual([])
    expect(asked.at(-1)!.event.key).toBe(`Email:${email}`)
  })

  it('gives scores to those who may predict and ask for them', async () => {
    const answer = await server({ event: { xdm: { eventType: 'x' } }, query: { rtml: { scores: true } } })
    expect(payloadOf(answer.json(), 'rtml:scores')[0]).toMatchObject({ model: 'propensity', version: '7', score: 0.5 })
  })

  it.each([
    ['no data stream', '', { event: { xdm: {} } }, 400, 'dataStreamId'],
    ['an unknown data stream', 'dataStreamId=nope', { event: { xdm: {} } }, 400, 'edge.datastreams'],
    ['a list of events', 'dataStreamId=web', { events: [{ xdm: {} }] }, 400, 'event'],
    ['an invalid time', 'dataStreamId=web', { event: { xdm: { timestamp: 'noon' } } }, 422, 'EXEG-0104-422'],
    [
      'an event of next year',
      'dataStreamId=web',
      { event: { xdm: { timestamp: '2099-01-01T00:00:00Z' } } },
      422,
      'FUTURE',
    ],
    [
      'identities of nobody',
      'dataStreamId=web',
      { event: { xdm: { identityMap: { ECID: [{ id: '' }] } } } },
      400,
      'EXEG-0306-400',
    ],
  ])('refuses %s', async (_, query, body, status, text) => {
    const answer = await server(body, query)
    expect(answer.statusCode).toBe(status)
    expect(answer.headers['content-type']).toContain('application/problem+json')
    expect(answer.body).toContain(text)
  })

  it('refuses more than 64 KB', async () => {
    const answer = await server({ event: { xdm: { note: 'x'.repeat(70_000) } } })
    expect(answer.statusCode).toBe(413)
  })
})

describe('POST /ee/v2/collect', () => {
  const collect = (payload: object, query = '') =>
    shop.server.inject({ method: 'POST', url: `/ee/v2/collect?dataStreamId=web${query}`, payload })
  const event = (id: string) => ({
    xdm: { _id: id, eventType: 'x', identityMap: { ECID: [{ id: id.replaceAll('-', ''), primary: true }] } },
  })

  it('answers 202 once the log has the events of several people', async () => {
    const ids = [randomUUID(), randomUUID()]
    const answer = await collect({ events: ids.map(event) })
    expect(answer.statusCode).toBe(202)
    expect(answer.json()).toEqual({ requestId: expect.any(String) })
    for (const id of ids) {
      const key = `ECID:${id.replaceAll('-', '')}`
      await eventually(id, async () => ((await scoresOf(key, id)).length === 1 ? true : undefined))
    }
  })

  it('answers 204 without a body when it shall be silent', async () => {
    const answer = await collect({ events: [event(randomUUID())] }, '&silent=true')
    expect(answer.statusCode).toBe(204)
    expect(answer.body).toBe('')
  })

  it('takes nothing of a request in which an event has no identity', async () => {
    const before = await shop.engine.log.bounds('raw.web')
    const answer = await collect({ events: [event(randomUUID()), { xdm: { eventType: 'x' } }] })
    expect(answer.statusCode).toBe(400)
    expect(answer.json().type).toBe('https://ns.adobe.com/aep/errors/EXEG-0306-400')
    expect(await shop.engine.log.bounds('raw.web')).toEqual(before)
  })
})

describe('without decisions', () => {
  it('answers with an empty payload', async () => {
    await using bare = await fixture()
    const answer = await bare.server.inject({
      method: 'POST',
      url: '/ee/v2/interact?dataStreamId=web',
      payload: { event: { xdm: { eventType: 'x' } } },
    })
    expect(handlesOf(answer.json(), 'personalization:decisions')).toEqual([
      { type: 'personalization:decisions', payload: [], eventIndex: 0 },
    ])
    expect(handlesOf(answer.json(), 'locationHint:result')).toEqual([])
  })
})
