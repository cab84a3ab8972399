/** A profile is found by any identity that events carried together with its own. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Links } from '../../processors/edge/links.ts'
import { everything } from '../e2e/harness.ts'
import { eventually, type Fixture, fixture } from './fixture.ts'

let shop: Fixture
beforeAll(async () => {
  shop = await fixture({
    application: (text) => text.replace('priority: [Email, ECID]', 'priority: [Email, ECID], link: true'),
  })
})
afterAll(() => shop[Symbol.asyncDispose]())

const get = async (url: string) => {
  const { statusCode, body } = await shop.server.inject(url)
  return { status: statusCode, body: JSON.parse(body) }
}
const visitor = () => randomUUID().replaceAll('-', '')

/** Sends one view and waits until the stream has scored it. @returns id of the event */
async function view(identities: Record<string, string>, profile: string): Promise<string> {
  const id = randomUUID()
  const identityMap = Object.fromEntries(Object.entries(identities).map(([name, it]) => [name, [{ id: it }]]))
  const xdm = { _id: id, eventType: 'commerce.productViews', identityMap }
  const url = '/ee/v2/interact?dataStreamId=web'
  await shop.server.inject({ method: 'POST', url, payload: { event: { xdm } } })
  await eventually('the score', async () => {
    const { status, body } = await get(`/v1/profiles/${profile}`)
    return status === 200 && body.lastScores?.eventId === id && body.pendingEvents === 0 ? true : undefined
  })
  return id
}

const viewsOf = (body: { features: { feature: string; value: number }[] }) =>
  body.features.find(({ feature }) => feature === 'views')?.value
const found = (url: string) =>
  eventually(url, async () => {
    const { status, body } = await get(url)
    return status === 200 ? body : undefined
  })
const linksFrom = async (identity: string) =>
  (await everything(shop.engine, shop.edge.plan.topics.links)).filter(({ key }) => key?.toString() === identity)

describe('a linked identity', () => {
  it('finds the profile, in reads and predictions, by one record however many events carry it', async () => {
    const [email, ecid] = [`${randomUUID()}@shop.example`, visitor()]
    const ids = [
      await view({ Email: email, ECID: ecid }, `Email/${email}`),
      await view({ Email: email, ECID: ecid }, `Email/${email}`),
    ]
    const body = await found(`/v1/profiles/ECID/${ecid}`)
    expect(body).toMatchObject({
      identity: { namespace: 'ECID', id: ecid },
      profile: { namespace: 'Email', id: email },
      lastEvents: [{ eventId: ids[1], source: 'web' }, { eventId: ids[0] }],
    })
    expect(viewsOf(body)).toBe(2)
    const payload = { identity: { namespace: 'ECID', id: ecid } }
    const { predictions } = (await shop.server.inject({ method: 'POST', url: '/v1/predict/buy', payload })).json()
    expect(predictions[0]).toMatchObject({ identity: { namespace: 'Email', id: email }, state: { status: 'found' } })
    expect((await get(`/v1/profiles/ECID/${ecid}/why`)).body.eventId).toBe(ids[1])
    const records = await linksFrom(`ECID:${ecid}`)
    expect(records.map(({ value }) => JSON.parse(value!.toString()))).toEqual([{ profile: `Email:${email}` }])
  })

  it('with a profile of its own keeps it: two profiles are not merged', async () => {
    const [email, ecid] = [`${randomUUID()}@shop.example`, visitor()]
    await view({ ECID: ecid }, `ECID/${ecid}`)
    await view({ Email: email, ECID: ecid }, `Email/${email}`)
    await eventually('the link', () => shop.edge.links.get(`ECID:${ecid}`))
    const body = await found(`/v1/profiles/ECID/${ecid}`)
    expect([body.profile.namespace, viewsOf(body)]).toEqual(['ECID', 1])
  })

  it('is erased with the person, also asked by the linked identity', async () => {
    const [email, ecid] = [`${randomUUID()}@shop.example`, visitor()]
    await view({ Email: email, ECID: ecid }, `Email/${email}`)
    await found(`/v1/profiles/ECID/${ecid}`)
    const answer = await shop.server.inject({ method: 'DELETE', url: `/v1/profiles/ECID/${ecid}` })
    expect(answer.json().identities.sort()).toEqual([`ECID:${ecid}`, `Email:${email}`])
    await eventually('the tombstone', async () => (await linksFrom(`ECID:${ecid}`)).at(-1)?.value === null || undefined)
    await eventually('it is forgotten', () => shop.edge.links.get(`ECID:${ecid}`) === undefined || undefined)
    expect((await get(`/v1/profiles/ECID/${ecid}`)).status).toBe(404)
    expect((await get(`/v1/profiles/Email/${email}`)).status).toBe(404)
  })
})

describe('links in memory', () => {
  it('are bounded: the oldest go first', () => {
    const links = new Links(2)
    const put = (key: string) => links.put({ key: Buffer.from(key), value: Buffer.from('{"profile":"Email:a"}') })
    for (const key of ['ECID:1', 'ECID:2', 'ECID:1', 'ECID:3']) put(key)
    expect([links.get('ECID:1'), links.get('ECID:2'), links.get('ECID:3')]).toEqual(['Email:a', undefined, 'Email:a'])
    links.put({ key: Buffer.from('ECID:3'), value: Buffer.from('{"profile":7}') })
    expect(links.get('ECID:3')).toBeUndefined()
  })
})
