import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newApiKey, parseApiKeys } from '../../processors/edge/auth/api-keys.ts'
import { securityFrom } from '../../processors/edge/auth/security.ts'
import { parseAudit } from '../../processors/outputs/index.ts'
import { eventually, type Fixture, fixture } from './fixture.ts'
import { classifier } from './models.ts'

const model = (output?: string) => Buffer.from(classifier(output))

let shop: Fixture
beforeAll(async () => {
  shop = await fixture()
})
afterAll(() => shop[Symbol.asyncDispose]())

const get = async (url: string) => (await shop.server.inject({ method: 'GET', url })).json()
const post = async (url: string, payload: object = {}) => {
  const answer = await shop.server.inject({ method: 'POST', url, payload })
  return { status: answer.statusCode, body: answer.json() }
}
const push = async (query: string, payload: Buffer, type = 'application/octet-stream') => {
  const headers = { 'content-type': type }
  const answer = await shop.server.inject({
    method: 'POST',
    url: `/v1/services/buy/versions?${query}`,
    payload,
    headers,
  })
  return { status: answer.statusCode, body: answer.json() }
}
const serves = (revision: number) =>
  eventually(`revision ${revision} serves`, async () => {
    const service = await get('/v1/services/buy')
    return service.serving === revision ? service : undefined
  })

describe('models over HTTP', () => {
  it('are pushed, promoted, rolled back and switched off, each with a record of who and why', async () => {
    const pushed = await push('model=propensity&version=9&why=fresh', model())
    expect(pushed).toMatchObject({
      status: 200,
      body: { service: 'buy', model: 'propensity', version: '9', routing: { revision: 2, by: 'local', why: 'fresh' } },
    })
    const service = await serves(2)
    expect(service.roles).toEqual([
      { model: 'propensity', version: '7', role: 'champion', share: null },
      { model: 'watcher', version: '8', role: 'shadow', share: null },
      { model: 'propensity', version: '9', role: 'shadow', share: null },
    ])
    expect(service.versions[0]).toMatchObject({ version: '9', origin: 'push', kept: true, share: 0, why: 'fresh' })
    // Two challengers: the model says which.
    expect((await post('/v1/services/buy/promote')).body.detail).toMatch(/several challengers: watcher@8, propensity@9/)
    const promoted = await post('/v1/services/buy/promote', { model: 'propensity', evidence: { auc: 0.8 } })
    expect(promoted.body.routing).toMatchObject({ revision: 3, action: 'promote', evidence: { auc: 0.8 } })
    await post('/v1/services/buy/promote', { model: 'propensity', share: 1, revision: 3 })
    await serves(4)
    const ask = () => post('/v1/predict/buy', { features: { views: 1 } })
    expect((await ask()).body.predictions[0]).toMatchObject({ model: 'propensity', version: '9', role: 'champion' })
    const late = await post('/v1/services/buy/rollback', { revision: 3 })
    expect(late.status).toBe(409)
    expect(late.body).toMatchObject({
      type: 'urn:rtml:problem:conflict',
      detail: expect.stringContaining('at revision 4'),
    })
    await post('/v1/services/buy/rollback', { why: 'conversion fell' })
    await serves(5)
    expect((await ask()).body.predictions[0]).toMatchObject({ version: '7' })
    await post('/v1/services/buy/disable', {})
    await serves(6)
    expect((await ask()).status).toBe(404)
    await post('/v1/services/buy/enable', {})
    const after = await serves(7)
    expect(after.history.map(({ action }: { action: string }) => action)).toEqual([
      'enable',
      'disable',
      'rollback',
      'promote',
      'promote',
      'push',
      'file',
      'file',
    ])
    const audit = await get('/v1/audit?subject=buy')
    expect(audit.entries.slice(0, 3)).toMatchObject([
      { action: 'service.enable', actor: 'local', result: 'done', detail: { revision: 7 } },
      { action: 'service.disable' },
      { action: 'service.rollback', reason: 'conversion fell' },
    ])
    expect(audit.entries.some((it: { result: string }) => it.result === 'refused')).toBe(true)
    expect(parseAudit(Buffer.from('{}'))).toBeUndefined()
  })

  it.each([
    [
      'bytes that are no model',
      () => push('model=propensity&version=x', Buffer.from('nothing')),
      422,
      /not an ONNX file/,
    ],
    ['a wrong content type', () => push('', model(), 'image/png'), 415, /./],
    ['no body', () => push('', Buffer.alloc(0)), 415, /body is the ONNX file/],
    ['a manifest that is no JSON', () => push('manifest={', model()), 422, /not JSON/],
    [
      'an unknown feature',
      () => push(`manifest=${encodeURIComponent('{"inputs":["view"]}')}`, model()),
      422,
      /Did you mean/,
    ],
    ['a version that is there with other bytes', () => push('version=7', model('z')), 422, /another ONNX file/],
    ['an unknown service', () => post('/v1/services/nope/rollback'), 404, /no service "nope"/],
    [
      'a model of another service',
      () => post('/v1/services/buy/promote', { model: 'other' }),
      422,
      /has no model "other"/,
    ],
    ['a share of 0', () => post('/v1/services/buy/promote', { share: 0 }), 400, /./],
    ['an unknown field', () => post('/v1/services/buy/promote', { shares: 1 }), 400, /./],
  ])('refuse %s', async (_name, ask, status, text) => {
    const answer = await ask()
    expect(answer.status).toBe(status)
    expect(answer.body.detail + String(answer.body.report?.errors ?? '')).toMatch(text)
  })

  it('name the key that made a change, and want its scope', async () => {
    const [ops, reader] = [newApiKey('ops', ['models:write']), newApiKey('reader', ['services:read'])]
    const security = { ...securityFrom({ RTML_API_KEYS: `${ops.line};${reader.line}` }, '127.0.0.1') }
    expect(parseApiKeys(ops.line, 'test').size).toBe(1)
    const server = await shop.serve(security)
    const rollback = (key: string) =>
      server.inject({
        method: 'POST',
        url: '/v1/services/buy/disable',
        headers: { authorization: `Bearer ${key}` },
        payload: { model: 'watcher', version: '8' },
      })
    expect((await rollback(reader.key)).statusCode).toBe(403)
    expect((await rollback(ops.key)).json().routing).toMatchObject({
      by: 'key:ops',
      blocked: expect.arrayContaining(['watcher@8']),
    })
  })
})
