/** A graph that reads a segment: the stream and the edge give it the same membership. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { scoresIn } from '../e2e/harness.ts'
import { bundle, graph } from '../unit/graph/support.ts'
import { eventually, type Fixture, fixture } from './fixture.ts'

const SEGMENTS = `
segments:
  fans: { when: features.views >= 2 }
`
const reader = bundle({
  graph: {
    ...graph(
      [
        { id: 'who', op: 'profile', params: { columns: [{ name: 'fan', type: 'float64', segment: 'fans' }] } },
        {
          id: 'score',
          op: 'compute',
          params: { as: 'score', expr: { fn: 'add', args: [{ col: 'fan' }, { lit: 7 }] } },
        },
      ],
      { node: 'score', columns: ['score'] },
    ),
    name: 'fan_reader',
  },
  questions: [{ profile: { segments: { fans: 'realized' } } }, { profile: { segments: {} } }],
  expected: [{ output: { score: 8 } }, { output: { score: 7 } }],
})

let shop: Fixture
beforeAll(async () => {
  shop = await fixture({ application: (text) => text + SEGMENTS })
})
afterAll(() => shop[Symbol.asyncDispose]())

it('is told of the membership that the event brings, on the stream, at the edge and when it is asked', async () => {
  const manifest = encodeURIComponent('{"deadline":"5s"}')
  const pushed = await shop.server.inject({
    method: 'POST',
    url: `/v1/bundles?manifest=${manifest}`,
    headers: { 'content-type': 'application/zip' },
    payload: Buffer.from(reader),
  })
  expect(pushed.statusCode, pushed.body).toBe(200)
  const identity = { namespace: 'ECID', id: '1'.repeat(38) }
  const answers: number[] = []
  for (const id of ['first', 'second', 'third']) {
    const identityMap = { ECID: [{ id: identity.id }] }
    const answer = await shop.server.inject({
      method: 'POST',
      url: '/ee/v2/interact?dataStreamId=web',
      payload: {
        event: { xdm: { _id: id, eventType: 'commerce.productViews', identityMap } },
        query: { rtml: { scores: true } },
      },
    })
    const { handle } = answer.json() as { handle: { type: string; payload: { model: string; score: number }[] }[] }
    const scores = handle.find(({ type }) => type === 'rtml:scores')!.payload
    answers.push(scores.find(({ model }) => model === 'fan_reader')!.score)
  }
  expect(answers).toEqual([7, 8, 8])
  const onStream = await eventually('the scores', async () => {
    const scored = await scoresIn(shop.engine)
    return scored.length === 3 ? scored : undefined
  })
  const byEvent = onStream.map(({ eventId, scores }) => [
    eventId,
    scores.find((it) => it.model === 'fan_reader')?.score,
  ])
  expect(byEvent).toEqual([
    ['first', 7],
    ['second', 8],
    ['third', 8],
  ])
  const ask = async (payload: object) =>
    (await shop.server.inject({ method: 'POST', url: '/v1/predict/fan_reader', payload })).json().predictions[0].score
  expect(await ask({ identity })).toBe(8)
  expect(await ask({ identity, profile: { segments: { fans: false } } })).toBe(7)
})
