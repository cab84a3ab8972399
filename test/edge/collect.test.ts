import { createHmac, randomUUID } from 'node:crypto'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RtmlError } from '../../processors/app/errors.ts'
import type { Engine, NewRecord } from '../../processors/engine/ports.ts'
import { eventually, type Fixture, fixture, SHOPIFY_SECRET } from './fixture.ts'

/** A log that can go away. */
function breakable() {
  const state = { isAway: false, appends: [] as NewRecord[][] }
  const wrap = (engine: Engine): Engine => ({
    ...engine,
    down: () => engine.down(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
    store: engine.store,
    registry: engine.registry,
    log: new Proxy(engine.log, {
      get(log, name) {
        if (name === 'append') {
          return async (records: NewRecord[]) => {
            if (state.isAway) throw new RtmlError('LOG_DOWN', 'the test has cut it')
            state.appends.push(records)
            return log.append(records)
          }
        }
        const value: unknown = Reflect.get(log, name)
        return typeof value === 'function' ? value.bind(log) : value
      },
    }),
  })
  return { state, wrap }
}

const { state, wrap } = breakable()
let shop: Fixture
beforeAll(async () => {
  shop = await fixture({
    engine: wrap,
    intake: { maxBytes: 20_000, maxRecords: 1_000, maxAppendBytes: 1_048_576, maxWaitMs: 500 },
  })
})
afterAll(() => shop[Symbol.asyncDispose]())

const visit = (id: string = randomUUID()) => ({ id, time: new Date().toISOString(), type: 'visit', visitor: `v-${id}` })
const collect = (payload: string | Buffer, headers: Record<string, string> = {}, source = 'plain') =>
  shop.server.inject({
    method: 'POST',
    url: `/collect/${source}`,
    payload,
    headers: { 'content-type': 'application/json', ...headers },
  })
const eventsOf = async (namespace: string, id: string): Promise<number | undefined> => {
  const answer = await shop.server.inject({ method: 'GET', url: `/v1/profiles/${namespace}/${id}` })
  return answer.json().features?.find((f: { feature: string }) => f.feature === 'events')?.value
}
const counted = (visitor: string, count: number) =>
  eventually(`${count} events of ${visitor}`, async () =>
    (await eventsOf('ECID', visitor)) === count ? true : undefined,
  )

describe('POST /collect/<source>', () => {
  it('acknowledges what the log has, byte for byte, keyed by the visitor', async () => {
    const event = visit()
    const text = `{"id":"${event.id}", "time":"${event.time}","type":"visit","visitor":"${event.visitor}","wide":12345678901234567890}`
    const answer = await collect(text)
    expect(answer.statusCode).toBe(202)
    expect(answer.json()).toMatchObject({ records: 1, events: 1, rejected: [] })
    const record = state.appends.flat().find(({ value }) => value?.includes(event.id))!
    expect(record.topic).toBe('raw.plain')
    expect(record.value!.toString()).toBe(text)
    expect(record.key!.toString()).toBe(`ECID:${event.visitor}`)
    await counted(event.visitor, 1)
  })

  it('shows an acknowledged event at once, however late the stream is', async () => {
    const event = visit()
    await collect(JSON.stringify(event))
    expect(await eventsOf('ECID', event.visitor)).toBe(1)
    await counted(event.visitor, 1)
  })

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ])('decodes %s', async (encoding, compress) => {
    const event = visit()
    const answer = await collect(compress(JSON.stringify(event)), { 'content-encoding': encoding })
    expect(answer.statusCode).toBe(202)
    await counted(event.visitor, 1)
  })

  it('makes a record of each line and of each element of a list', async () => {
    const lines = [visit(), visit(), visit()]
    const answer = await collect(lines.map((it) => JSON.stringify(it)).join('\n'), {
      'content-type': 'application/x-ndjson',
    })
    expect(answer.json()).toMatchObject({ records: 3, events: 3 })
    const tricky = [visit(), { ...visit(), note: 'brackets ] } " \\' }]
    const list = await collect(JSON.stringify(tricky))
    expect(list.json()).toMatchObject({ records: 2, events: 2, rejected: [] })
    for (const { visitor } of [...lines, ...tricky]) await counted(visitor, 1)
  })

  it('takes a beacon, which browsers send as text', async () => {
    const event = visit()
    const answer = await collect(JSON.stringify(event), {
      'content-type': 'text/plain;charset=UTF-8',
      origin: 'https://shop.example',
    })
    expect(answer.statusCode).toBe(202)
    expect(answer.headers['access-control-allow-origin']).toBe('https://shop.example')
  })

  it('answers a preflight of an allowed origin, and gives others nothing', async () => {
    const preflight = (origin: string) =>
      shop.server.inject({
        method: 'OPTIONS',
        url: '/collect/plain',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
      })
    const allowed = await preflight('https://shop.example')
    expect(allowed.statusCode).toBe(204)
    expect(allowed.headers['access-control-allow-origin']).toBe('https://shop.example')
    expect((await preflight('https://evil.example')).headers['access-control-allow-origin']).toBeUndefined()
  })

  it('logs what can not be mapped, and says at once why it will be a dead letter', async () => {
    const answer = await collect(`{"id":"${randomUUID()}"}`)
    expect(answer.statusCode).toBe(202)
    expect(answer.json()).toMatchObject({ records: 1, events: 0, rejected: [{ record: 0, code: 'IDENTITY' }] })
    await eventually('the dead letter', async () => {
      const { letters } = (await shop.server.inject('/v1/dead-letters?code=IDENTITY')).json()
      return letters.length > 0 ? true : undefined
    })
  })

  it('keeps headers that mappings read, and no credentials', async () => {
    const event = visit()
    const headers = {
      'ce-id': '1',
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
      cookie: 'secret=1',
      'x-api-key': 'k',
    }
    await collect(JSON.stringify(event), headers)
    const record = state.appends.flat().find(({ value }) => value?.includes(event.id))!
    expect(Object.keys(record.headers!).sort()).toEqual(['ce-id', 'content-type', 'traceparent', 'user-agent'])
  })

  it.each([
    ['an unknown source', 'nope', '{}', {}, 404],
    ['nothing', 'plain', '', {}, 400],
    ['an unknown encoding', 'plain', '{}', { 'content-encoding': 'zstd' }, 415],
    ['bytes that are not gzip', 'plain', 'nonsense', { 'content-encoding': 'gzip' }, 400],
    ['a body above a megabyte', 'plain', 'x'.repeat(1_100_000), {}, 413],
    ['more than a thousand records', 'plain', '{}\n'.repeat(1_001), { 'content-type': 'application/x-ndjson' }, 413],
  ])('refuses %s', async (_, source, body, headers, status) => {
    const answer = await collect(body, headers as Record<string, string>, source)
    expect(answer.statusCode).toBe(status)
    expect(answer.headers['content-type']).toContain('application/problem+json')
  })

  it('stops decoding a bomb at the limit', async () => {
    const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024))
    const before = process.memoryUsage().rss
    const answer = await collect(bomb, { 'content-encoding': 'gzip' })
    expect(answer.statusCode).toBe(413)
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024)
  })
})

describe('webhooks', () => {
  const order = JSON.stringify({
    id: 450789469,
    admin_graphql_api_id: 'gid://shopify/Order/450789469',
    created_at: new Date().toISOString(),
    currency: 'EUR',
    total_price: '12.50',
    email: 'bob@example.com',
    customer: { id: 207119551, email: 'bob@example.com' },
    line_items: [],
  })
  const signed = (secret: string) => createHmac('sha256', secret).update(order).digest('base64')
  const hook = (signature?: string) =>
    collect(
      order,
      {
        'x-shopify-topic': 'orders/create',
        'x-shopify-webhook-id': randomUUID(),
        ...(signature ? { 'x-shopify-hmac-sha256': signature } : {}),
      },
      'orders',
    )

  it('takes a body that is signed with the secret of the source', async () => {
    const answer = await hook(signed(SHOPIFY_SECRET))
    expect(answer.statusCode).toBe(202)
    expect(answer.json()).toMatchObject({ events: 1, rejected: [] })
    await eventually('the order', async () => ((await eventsOf('Email', 'bob@example.com')) === 1 ? true : undefined))
  })

  it.each([
    ['another secret', signed('other')],
    ['no signature', undefined],
    ['nonsense', 'AAAA'],
  ])('refuses %s', async (_, signature) => {
    expect((await hook(signature)).statusCode).toBe(401)
  })
})

describe('while the log is away', () => {
  it('waits, and acknowledges when the log is back', async () => {
    state.isAway = true
    const event = visit()
    const answer = collect(JSON.stringify(event))
    await eventually('the queue', () => (shop.edge.intake.waitingBytes > 0 ? true : undefined))
    state.isAway = false
    expect((await answer).statusCode).toBe(202)
    await counted(event.visitor, 1)
  })

  it('answers 503 with Retry-After instead of a false 202, and the event is not counted twice after a repetition', async () => {
    state.isAway = true
    const event = visit()
    const refused = await collect(JSON.stringify(event))
    expect(refused.statusCode).toBe(503)
    expect(refused.headers['retry-after']).toBe('5')
    state.isAway = false
    expect((await collect(JSON.stringify(event))).statusCode).toBe(202)
    await counted(event.visitor, 1)
    expect(shop.edge.intake.waitingBytes).toBe(0)
  })

  it('refuses at once what the queue has no room for', async () => {
    state.isAway = true
    const large = () => collect(JSON.stringify({ ...visit(), note: 'x'.repeat(9_000) }))
    const answers = [large(), large(), large()]
    const refused = await Promise.race(answers)
    expect(refused.statusCode).toBe(503)
    expect(refused.json().detail).toContain('Nothing was taken')
    state.isAway = false
    expect((await Promise.all(answers)).map(({ statusCode }) => statusCode).sort()).toEqual([202, 202, 503])
  })

  it('lets interact say with 207 that its event only waits, and forgets it when the log never takes it', async () => {
    state.isAway = true
    const ask = (ecid: string) =>
      shop.server.inject({
        method: 'POST',
        url: '/ee/v2/interact?dataStreamId=web',
        payload: { event: { xdm: { eventType: 'x', identityMap: { ECID: [{ id: ecid, primary: true }] } } } },
      })
    const ecid = randomUUID().replaceAll('-', '')
    const answer = await eventually('207', async () => {
      const it = await ask(ecid)
      return it.statusCode === 207 ? it : undefined
    })
    expect(answer.json()).toMatchObject({ errors: [{ status: 503 }], handle: [{ type: 'identity:result' }, {}, {}] })
    await eventually('the overlay forgets', async () =>
      (await eventsOf('ECID', ecid)) === undefined ? true : undefined,
    )
    state.isAway = false
  })

  it('lets interact wait for the log where the application wants it, until the deadline', async () => {
    const away = breakable()
    await using patient = await fixture({
      engine: away.wrap,
      application: (text) => text.replace('deadline: 5s\nfeatures', 'deadline: 300ms\n  acknowledge: log\nfeatures'),
    })
    const ask = () =>
      patient.server.inject({
        method: 'POST',
        url: '/ee/v2/interact?dataStreamId=web',
        payload: { event: { xdm: { eventType: 'x' } } },
      })
    expect((await ask()).statusCode).toBe(200)
    expect(away.state.appends).toHaveLength(1)
    away.state.isAway = true
    expect((await ask()).statusCode).toBe(207)
    away.state.isAway = false
    await eventually('the queued event', () => (away.state.appends.length === 2 ? true : undefined))
  })
})
