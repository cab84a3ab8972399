import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { epochMs } from '../../processors/app/units.ts'
import { Edge } from '../../processors/edge/edge.ts'
import { eventually, type Fixture, fixture } from './fixture.ts'

let shop: Fixture
beforeAll(async () => {
  shop = await fixture()
})
afterAll(() => shop[Symbol.asyncDispose]())

const get = async (url: string) => {
  const answer = await shop.server.inject(url)
  return { status: answer.statusCode, body: answer.statusCode === 204 ? undefined : answer.body }
}
const visitor = () => randomUUID().replaceAll('-', '')
const eventOf = (ecid: string, id: string) => ({
  xdm: { _id: id, eventType: 'commerce.productViews', identityMap: { ECID: [{ id: ecid, primary: true }] } },
})

async function send(ecid: string, id = randomUUID()): Promise<void> {
  await shop.server.inject({
    method: 'POST',
    url: '/ee/v2/interact?dataStreamId=web',
    payload: { event: eventOf(ecid, id) },
  })
  await eventually('the score', async () => {
    const { status, body } = await get(`/v1/profiles/ECID/${ecid}`)
    if (status !== 200) return undefined
    const { lastScores, pendingEvents } = JSON.parse(body!)
    return lastScores?.eventId === id && pendingEvents === 0 ? true : undefined
  })
}

const views = async (ecid: string): Promise<number | undefined> => {
  const { status, body } = await get(`/v1/profiles/ECID/${ecid}`)
  if (status !== 200) return undefined
  return JSON.parse(body!).features.find(({ feature }: { feature: string }) => feature === 'views').value
}

describe('DELETE /v1/profiles/{namespace}/{id}', () => {
  it('forgets the person at once: features, scores, why, export; and begins anew with the next event', async () => {
    const ecid = visitor()
    await send(ecid)
    await send(ecid)
    expect(await views(ecid)).toBe(2)
    const answer = await shop.server.inject({ method: 'DELETE', url: `/v1/profiles/ECID/${ecid}?reason=asked` })
    expect(answer.statusCode).toBe(200)
    const report = answer.json()
    expect(report).toMatchObject({ report: 'rtml-erasure', status: 'done', why: 'asked', identities: [`ECID:${ecid}`] })
    expect(report.removed[0]).toMatchObject({ found: true, position: expect.stringContaining('@') })
    expect(await views(ecid)).toBeUndefined()
    expect((await get(`/v1/profiles/ECID/${ecid}/why`)).status).toBe(404)
    const exported = (await get(`/v1/profiles/ECID/${ecid}/export`)).body!.trim().split('\n')
    expect(exported.map((line) => JSON.parse(line).kind)).toEqual(['about', 'profile'])
    await send(ecid)
    expect(await views(ecid)).toBe(1)
    const again = (await get(`/v1/profiles/ECID/${ecid}/export`)).body!.trim().split('\n')
    expect(again.map((line) => JSON.parse(line).kind)).toEqual(['about', 'profile', 'score', 'event'])
  })

  it('writes down who asked, without the identity', async () => {
    const ecid = visitor()
    await send(ecid)
    await shop.server.inject({ method: 'DELETE', url: `/v1/profiles/ECID/${ecid}?reason=because` })
    const { entries } = JSON.parse((await get('/v1/audit?action=profile.erase')).body!)
    expect(entries[0]).toMatchObject({ actor: 'local', action: 'profile.erase', reason: 'because', result: 'done' })
    expect(JSON.stringify(entries)).not.toContain(ecid)
  })

  it('reaches the caches of other processes through the log', async () => {
    const ecid = visitor()
    await send(ecid)
    const { engine, worker } = shop
    const running = await worker.started
    await using other = await Edge.open({ running: { ...running, engine }, env: {} })
    // Accepted there, and lost on its way to the log: only this cache has it.
    const xdm = { _id: 'x', timestamp: new Date().toISOString() }
    const now = epochMs(Date.now())
    other.overlay.add({ id: 'x', ts: now, key: `ECID:${ecid}`, xdm }, now)
    other.overlay.add({ id: 'y', ts: now, key: 'ECID:somebody', xdm }, now)
    await eventually('it follows', async () =>
      (await other.reader.read(`ECID:${ecid}`)).pending === 1 ? true : undefined,
    )
    await shop.server.inject({ method: 'DELETE', url: `/v1/profiles/ECID/${ecid}` })
    await eventually('it forgets', () => ([...other.overlay.keys()].includes(`ECID:${ecid}`) ? undefined : true))
    expect([...other.overlay.keys()]).toEqual(['ECID:somebody'])
  })

  it('hides the dead letters of the person', async () => {
    const ecid = visitor()
    await send(ecid)
    const payload = { id: 'p1', type: 'x', visitor: ecid, time: 'no time' }
    await shop.server.inject({ method: 'POST', url: '/collect/plain', payload })
    const letters = async () =>
      (
        JSON.parse((await get('/v1/dead-letters?values=true')).body!).letters as { place: string; value: string }[]
      ).filter(({ value }) => Buffer.from(value, 'base64').includes(ecid))
    const [letter] = await eventually('the letter', async () => {
      const found = await letters()
      return found.length > 0 ? found : undefined
    })
    await shop.server.inject({ method: 'DELETE', url: `/v1/profiles/ECID/${ecid}` })
    expect(await letters()).toEqual([])
    const place = encodeURIComponent(letter!.place)
    expect((await get(`/v1/dead-letters/${place}`)).status).toBe(404)
    const replay = { letters: [{ place: letter!.place }], reason: 'x' }
    expect(
      (await shop.server.inject({ method: 'POST', url: '/v1/dead-letters/replay', payload: replay })).statusCode,
    ).toBe(404)
  })
})
