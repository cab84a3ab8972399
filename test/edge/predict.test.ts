import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { partitionOf } from '../../processors/engine/murmur2.ts'
import { decodeScores, type ProfileScores } from '../../processors/outputs/index.ts'
import { eventually, type Fixture, fixture } from './fixture.ts'

let it_: Fixture
beforeAll(async () => {
  it_ = await fixture()
})
afterAll(() => it_[Symbol.asyncDispose]())

const post = (url: string, payload: object, headers: Record<string, string> = {}) =>
  it_.server.inject({ method: 'POST', url, payload, headers })
const predict = (payload: object, query = '') => post(`/v1/predict/buy${query}`, payload)
const view = (ecid: string, id: string = randomUUID(), ts = Date.now()) => ({
  _id: id,
  timestamp: new Date(ts).toISOString(),
  eventType: 'commerce.productViews',
  identityMap: { ECID: [{ id: ecid, primary: true }] },
  web: { webPageDetails: { name: 'cart' } },
})
const visitor = () =>
  String(BigInt(`0x${randomUUID().replaceAll('-', '')}`))
    .padStart(38, '1')
    .slice(0, 38)

/** The stream's own score of an event. */
async function streamed(key: string, eventId: string): Promise<ProfileScores> {
  const { log } = it_.engine
  return eventually(`the score of ${eventId}`, async () => {
    const all = await log.bounds('profile.scores')
    const bounds = all[partitionOf(Buffer.from(key), all.length)]!
    for await (const { records } of log.read(bounds, bounds.start, { until: bounds.end })) {
      for (const { value } of records) {
        const scores = value && decodeScores(value)
        if (scores && scores.eventId === eventId) return scores
      }
    }
    return undefined
  })
}

const send = (events: object[]) =>
  post('/collect/web', { events: events.map((xdm) => ({ xdm })) }, { 'content-type': 'application/json' })

describe('POST /v1/predict/<service>', () => {
  it("gives the stream's own score for the same state and event", async () => {
    const ecid = visitor()
    for (let i = 0; i < 3; i++) {
      const event = view(ecid)
      const asked = (await predict({ xdm: event })).json()
      expect((await send([event])).statusCode).toBe(202)
      const scores = await streamed(`ECID:${ecid}`, event._id)
      expect(asked.predictions[0].score).toBe(scores.scores.find((s) => s.model === 'propensity')!.score)
      expect(asked.featureSetVersion).toBe(scores.featureSetVersion)
      expect(asked.predictions[0]).toMatchObject({
        model: 'propensity',
        version: '7',
        role: 'champion',
        fallback: 'none',
      })
      // (views + events + spent 0 + page "cart" 2) / 4
      expect(asked.predictions[0].score).toBe((i + 1 + i + 1 + 0 + 2) / 4)
    }
  })

  it('reads the stored profile, says how old it is, and names what it saw', async () => {
    const ecid = visitor()
    const event = view(ecid)
    await send([event])
    await streamed(`ECID:${ecid}`, event._id)
    const { predictions } = (
      await predict({ identity: { namespace: 'ECID', id: ecid } }, '?features=true&models=all')
    ).json()
    expect(predictions[0].state).toMatchObject({
      status: 'found',
      storedEventAt: event.timestamp,
      pendingEvents: 0,
      event: null,
    })
    expect(predictions[0].features).toContainEqual(expect.objectContaining({ feature: 'views', value: 1 }))
    const { ageMs } = predictions[0].features.find((f: { feature: string }) => f.feature === 'views')
    expect(ageMs).toBeGreaterThanOrEqual(0)
    expect(ageMs).toBeLessThan(60_000)
    expect(predictions[0].models.map((m: { role: string }) => m.role)).toEqual(['champion', 'shadow'])
  })

  it('takes features from the request, alone and over those of a profile', async () => {
    const alone = (await predict({ features: { views: 8, events: 4, page: 'checkout' } })).json().predictions[0]
    expect(alone).toMatchObject({ score: (8 + 4 + 0 + 3) / 4, identity: null, state: { status: 'none' } })
    const ecid = visitor()
    await send([view(ecid)])
    const over = await predict({ identity: { namespace: 'ECID', id: ecid }, features: { spent: 100 } })
    expect(over.json().predictions[0].score).toBe((1 + 1 + 100 + 2) / 4)
  })

  it('takes records and frames, and orders the rows of a frame by number', async () => {
    const records = (await predict({ records: [{ views: 4 }, { features: { views: 8 } }] })).json()
    expect(records.predictions.map((p: { score: number }) => p.score)).toEqual([(4 + 1) / 4, (8 + 1) / 4])
    const rows = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [String(11 - i), (11 - i) * 4]))
    const framed = (await predict({ views: rows })).json().predictions
    expect(framed.map((p: { row: string }) => p.row)).toEqual(Array.from({ length: 12 }, (_, i) => String(i)))
    expect(framed[11].score).toBe((44 + 1) / 4)
  })

  it('explains: leave-one-out contributions, the strongest first', async () => {
    const [prediction] = (await predict({ features: { views: 40, spent: 8 } }, '?explain=true')).json().predictions
    expect(prediction.explanation).toEqual([
      { feature: 'views', contribution: 10 },
      { feature: 'spent', contribution: 2 },
    ])
  })

  it('gives the score of a named model, also of a shadow', async () => {
    const [prediction] = (await predict({ features: { views: 4 } }, '?model=watcher')).json().predictions
    expect(prediction).toMatchObject({ model: 'watcher', version: '8', role: 'shadow' })
  })

  it('leaves nothing behind', async () => {
    const ecid = visitor()
    await predict({ xdm: view(ecid) })
    const after = (await predict({ identity: { namespace: 'ECID', id: ecid } })).json().predictions[0]
    expect(after.state.status).toBe('new')
  })

  it.each([
    ['an unknown service', '/v1/predict/nope', { features: {} }, 404, 'services'],
    ['an unknown model', '/v1/predict/buy?model=nope', { features: {} }, 404, 'no model'],
    ['an unknown feature', '/v1/predict/buy', { features: { view: 1 } }, 422, 'Did you mean \\"views\\"'],
    ['a text for a number', '/v1/predict/buy', { features: { views: 'x' } }, 422, 'expected a number'],
    ['too many values', '/v1/predict/buy', { features: { views: [1, 2] } }, 422, 'it has 1 value'],
    ['an empty body', '/v1/predict/buy', {}, 400, 'empty'],
    ['an unknown option', '/v1/predict/buy?explain=yes', { features: {} }, 400, 'explain'],
    ['an invalid event', '/v1/predict/buy', { xdm: { eventType: 'x' } }, 422, 'IDENTITY'],
    ['a bad time', '/v1/predict/buy', { at: 'yesterday' }, 400, 'at'],
  ])('refuses %s and says what to do', async (_, url, body, status, text) => {
    const answer = await post(url, body)
    expect(answer.statusCode).toBe(status)
    expect(answer.headers['content-type']).toContain('application/problem+json')
    expect(answer.body).toContain(text)
    expect(answer.json().report.requestId).toBe(answer.headers['x-request-id'])
  })
})
