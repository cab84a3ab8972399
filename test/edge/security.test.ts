import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer as createTrap } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createLocalJWKSet, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../processors/app/system-clock.ts'
import { ApiKeys, newApiKey, parseApiKeys } from '../../processors/edge/auth/api-keys.ts'
import { jwtVerifier } from '../../processors/edge/auth/jwt.ts'
import { SCOPES, type Scope } from '../../processors/edge/auth/scopes.ts'
import { type Security, securityFrom } from '../../processors/edge/auth/security.ts'
import { createServer } from '../../processors/edge/server.ts'
import { type Fixture, fixture } from './fixture.ts'

const ALL = Object.keys(SCOPES) as Scope[]
const one = newApiKey('one', ['predict'])
const every = newApiKey('every', ALL)
const slow = newApiKey('slow', ALL)

let shop: Fixture
let server: Awaited<ReturnType<Fixture['serve']>>
const guarded = (over: Partial<Security> = {}): Security => ({
  ...securityFrom({ RTML_API_KEYS: [one.line, every.line, `${slow.line} rate=2`].join(';') }, '0.0.0.0'),
  ...over,
})
beforeAll(async () => {
  shop = await fixture()
  // The tests ask for more in a second than an address without a key is allowed.
  server = await shop.serve(guarded({ ratePerAddress: 1_000 }))
})
afterAll(() => shop[Symbol.asyncDispose]())

const withKey = (key: string) => ({ authorization: `Bearer ${key}` })

/** Every route of the server: method, address, and what it needs. */
const ROUTES: readonly [string, string, Scope][] = [
  ['POST', '/v1/predict/buy', 'predict'],
  ['POST', '/ee/v2/interact?dataStreamId=web', 'interact'],
  ['POST', '/ee/v1/interact?configId=web', 'interact'],
  ['POST', '/ee/or2/v1/interact?configId=web', 'interact'],
  ['POST', '/ee/v2/collect?dataStreamId=web', 'collect'],
  ['POST', '/ee/v1/collect?configId=web', 'collect'],
  ['POST', '/ee/va6/v2/interact?dataStreamId=web', 'interact'],
  ['POST', '/ee/sgp3/v1/collect?configId=web', 'collect'],
  ['POST', '/ee/aus3/v2/collect?dataStreamId=web', 'collect'],
  ['POST', '/ee/v1/privacy/set-consent?configId=web', 'collect'],
  ['POST', '/ee/v2/privacy/set-consent?dataStreamId=web', 'collect'],
  ['POST', '/ee/irl1/v1/privacy/set-consent?configId=web', 'collect'],
  ['POST', '/ee/irl1/v2/privacy/set-consent?dataStreamId=web', 'collect'],
  ['POST', '/collect/plain', 'collect'],
  ['GET', '/v1/services', 'services:read'],
  ['GET', '/v1/services/buy', 'services:read'],
  ['GET', '/v1/learners', 'services:read'],
  ['GET', '/v1/learners/none', 'services:read'],
  ['POST', '/v1/services/buy/promote', 'models:write'],
  ['POST', '/v1/services/buy/rollback', 'models:write'],
  ['POST', '/v1/services/buy/disable', 'models:write'],
  ['POST', '/v1/services/buy/enable', 'models:write'],
  ['POST', '/v1/services/buy/versions', 'models:write'],
  ['POST', '/v1/bundles', 'models:write'],
  ['DELETE', '/v1/services/unknown', 'models:write'],
  ['GET', '/v1/profiles/ECID/1', 'profiles:read'],
  ['GET', '/v1/profiles/ECID/1/why', 'profiles:read'],
  ['GET', '/v1/profiles/ECID/1/export', 'profiles:read'],
  ['DELETE', '/v1/profiles/ECID/1', 'profiles:erase'],
  ['GET', '/v1/topology', 'topology:read'],
  ['GET', '/v1/dead-letters', 'dead-letters:read'],
  ['GET', '/v1/dead-letters/dlq.raw[0]@0', 'dead-letters:read'],
  ['POST', '/v1/dead-letters/replay', 'dead-letters:write'],
  ['GET', '/v1/audit', 'audit:read'],
  ['GET', '/v1/rules', 'rules:read'],
  ['GET', '/v1/rules/history', 'rules:read'],
  ['POST', '/v1/rules/check', 'rules:read'],
  ['POST', '/v1/decisions/preview', 'rules:read'],
  ['POST', '/v1/rules/preview', 'rules:read'],
  ['PUT', '/v1/rules/segments/keen', 'rules:write'],
  ['PUT', '/v1/rules/decisions/hero', 'rules:write'],
  ['DELETE', '/v1/rules/segments/keen?revision=0&why=test', 'rules:write'],
  ['DELETE', '/v1/rules/decisions/hero?revision=0&why=test', 'rules:write'],
  ['GET', '/metrics', 'metrics:read'],
  ['GET', '/v1/overview', 'topology:read'],
  ['GET', '/v1/live', 'topology:read'],
  ['GET', '/v1/features', 'features:read'],
  ['GET', '/v1/sources', 'topology:read'],
  ['POST', '/v1/sources/plain/try', 'sources:try'],
  ['GET', '/v1/sources/plain/newest', 'sources:try'],
]
/** Says only what the caller brought along. */
const OPEN = ['/v1/session']
const call = (method: string, url: string, headers: Record<string, string> = {}) =>
  server.inject({ method: method as 'GET', url, headers, ...(method === 'POST' ? { payload: {} } : {}) })

describe('every route denies by default', () => {
  it.each(ROUTES)('%s %s without credentials', async (method, url, scope) => {
    const answer = await call(method, url)
    expect(answer.statusCode).toBe(401)
    expect(answer.headers['www-authenticate']).toBe(`Bearer realm="rtml", scope="${scope}"`)
    expect(answer.headers['content-type']).toContain('application/problem+json')
  })

  it.each(ROUTES.filter(([, , scope]) => scope !== 'predict'))(
    '%s %s with a key for something else',
    async (method, url) => {
      expect((await call(method, url, withKey(one.key))).statusCode).toBe(403)
    },
  )

  it.each(ROUTES.filter(([, url]) => url !== '/v1/live'))('%s %s with the right key', async (method, url) => {
    const { statusCode } = await call(method, url, withKey(every.key))
    expect([401, 403]).not.toContain(statusCode)
    expect(statusCode).toBeLessThan(500)
  })

  it('knows no route that this list forgets', async () => {
    const { paths } = (await server.inject('/openapi.json')).json() as { paths: Record<string, object> }
    const listed = [...ROUTES.map(([, url]) => url.split('?', 1)[0]!), ...OPEN]
    for (const path of Object.keys(paths)) {
      const pattern = new RegExp(`^${path.replace(/\{[a-zA-Z]+\}/g, '[^/]+')}$`)
      expect(
        listed.some((url) => pattern.test(url)),
        path,
      ).toBe(true)
    }
  })

  it('refuses to start with a route that names no scope', async () => {
    const other = await createServer({
      health: () => ({ isLive: true, isReady: true, reasons: [] }),
      metrics: async () => '',
      metricsType: 'text/plain',
      overview: () => ({}) as never,
      figures: { total: () => 0, buckets: () => ({ bounds: [], counts: [] }) },
      consoleDir: () => Promise.reject(new Error('no console')),
      clock: systemClock,
    })
    expect(() => other.get('/forgotten', async () => 'secret')).toThrow('names no scope')
    await other.close()
  })

  it('answers probes without credentials, and keeps the reasons for those who may look', async () => {
    expect((await call('GET', '/healthz')).json()).toEqual({ status: 'ok' })
    expect((await call('GET', '/healthz', withKey(every.key))).json()).toEqual({
      status: 'ok',
      reasons: expect.any(Array),
    })
  })
})

describe('keys', () => {
  it.each([
    ['a wrong key', `rtml_${'A'.repeat(43)}`],
    ['a key cut short', every.key.slice(0, -1)],
    ['the hash of a key', every.line.split(/[ :]/)[2]!],
    ['nothing', ''],
  ])('refuses %s', async (_, key) => {
    expect((await call('GET', '/v1/services', withKey(key))).statusCode).toBe(401)
  })

  it('takes a key from x-api-key too, and never from the address', async () => {
    expect((await call('GET', '/v1/services', { 'x-api-key': every.key })).statusCode).toBe(200)
    expect((await call('GET', `/v1/services?api_key=${every.key}`)).statusCode).toBe(401)
  })

  it('takes a key that was made on the command line', async () => {
    const args = ['bin/rtml.js', 'keys', 'new', 'cli', '--scopes', 'services:read', '--json']
    const { stdout } = await promisify(execFile)('node', args, { cwd: join(import.meta.dirname, '..', '..') })
    const { key, line } = JSON.parse(stdout) as { key: string; line: string }
    const made = await shop.serve(securityFrom({ RTML_API_KEYS: line }, '0.0.0.0'))
    expect((await made.inject({ url: '/v1/services', headers: withKey(key) })).statusCode).toBe(200)
    expect((await made.inject({ url: '/v1/topology', headers: withKey(key) })).statusCode).toBe(403)
  })

  it('keeps only hashes: a line does not hold the key', () => {
    expect(every.line).not.toContain(every.key)
    expect(every.line).toMatch(/^every sha256:[0-9a-f]{64} collect,/)
    expect(parseApiKeys(every.line, 'x').find(every.key)).toMatchObject({ id: 'key:every' })
  })

  it.each([
    ['the key itself', `name ${every.key} *`, 'not a key line'],
    ['an unknown scope', `name sha256:${'0'.repeat(64)} everything`, 'there is no scope'],
    ['the same key twice', `${every.line}\n${every.line}`, 'above already'],
  ])('refuses a file with %s, and never repeats what it holds', (_, text, message) => {
    expect(() => parseApiKeys(text, 'keys')).toThrow(message)
    expect(() => parseApiKeys(text, 'keys')).not.toThrow(every.key)
  })
})

describe('tokens', async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const stranger = await generateKeyPair('ES256')
  const jwk = { ...(await exportJWK(publicKey)), kid: 'a', alg: 'ES256' }
  const settings = { jwksUrl: 'https://issuer.example/jwks', issuer: 'https://issuer.example', audience: 'rtml' }
  const token = (claims: Record<string, unknown> = {}, key: typeof privateKey = privateKey) =>
    new SignJWT({ scope: 'services:read profiles:read admin', ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'a' })
      .setSubject('alice')
      .setIssuer((claims.iss as string) ?? settings.issuer)
      .setAudience((claims.aud as string) ?? settings.audience)
      .setIssuedAt()
      .setExpirationTime((claims.until as string) ?? '5m')
      .sign(key)

  let withTokens: typeof server
  beforeAll(async () => {
    withTokens = await shop.serve(guarded({ jwt: jwtVerifier(settings, Date.now, createLocalJWKSet({ keys: [jwk] })) }))
  })
  const get = (url: string, bearer: string) => withTokens.inject({ url, headers: withKey(bearer) })

  it('allows what the scopes of a valid token say, twice too', async () => {
    const good = await token()
    for (const _ of [1, 2]) expect((await get('/v1/services', good)).statusCode).toBe(200)
    expect((await get('/v1/topology', good)).statusCode).toBe(403)
  })

  it.each([
    ['signed by somebody else', () => token({}, stranger.privateKey)],
    ['of another issuer', () => token({ iss: 'https://evil.example' })],
    ['for another audience', () => token({ aud: 'other' })],
    ['that has expired', () => token({ until: '-5m' })],
    [
      'without a signature',
      async () => `${Buffer.from('{"alg":"none"}').toString('base64url')}.${(await token()).split('.')[1]}.`,
    ],
    [
      'that was changed',
      async () => (await token()).replace(/\.[^.]+\./, `.${Buffer.from('{"scope":"*"}').toString('base64url')}.`),
    ],
    ['of endless length', async () => `a.${'b'.repeat(9_000)}.c`],
  ])('refuses a token %s', async (_, make) => {
    expect((await get('/v1/services', await make())).statusCode).toBe(401)
  })
})

describe('limits', () => {
  it('bounds the requests a second of a key', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => call('GET', '/v1/services', withKey(slow.key))))
    const refused = answers.filter(({ statusCode }) => statusCode === 429)
    expect(refused.length).toBeGreaterThanOrEqual(2)
    expect(refused[0]!.headers['retry-after']).toBeDefined()
    expect(refused[0]!.json()).toMatchObject({ type: 'urn:rtml:problem:too-many-requests', status: 429 })
  })

  it('bounds the requests a second of an address, those with wrong keys included', async () => {
    const tight = await shop.serve(guarded({ ratePerAddress: 5 }))
    const get = (headers: Record<string, string>) =>
      tight.inject({ url: '/v1/services', headers, remoteAddress: '203.0.113.9' })
    const statuses = await Promise.all(Array.from({ length: 15 }, (_, i) => get(withKey(`rtml_wrong${i}`))))
    expect(statuses.filter(({ statusCode }) => statusCode === 429).length).toBeGreaterThanOrEqual(5)
    const elsewhere = await tight.inject({ url: '/v1/services', remoteAddress: '203.0.113.10' })
    expect(elsewhere.statusCode).toBe(401)
  })

  it('refuses nesting, poisoned prototypes and broken JSON', async () => {
    const send = (payload: string) =>
      server.inject({
        method: 'POST',
        url: '/v1/predict/buy',
        headers: { ...withKey(every.key), 'content-type': 'application/json' },
        payload,
      })
    expect((await send('{"xdm":{"a":'.padEnd(60_000, '['))).statusCode).toBe(400)
    const deep = `{"xdm":${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}}`
    expect((await send(deep)).statusCode).toBe(422)
    expect((await send('{"__proto__":{"x":1}}')).statusCode).toBe(400)
    expect(({} as { x?: number }).x).toBeUndefined()
  })

  it('answers what is not HTTP with a problem, and closes', async () => {
    const real = await shop.serve(guarded())
    await real.listen({ host: '127.0.0.1', port: 0 })
    const socket = connect((real.server.address() as { port: number }).port, '127.0.0.1')
    socket.end('NONSENSE\r\n\r\n')
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    await once(socket, 'close')
    expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\ncontent-type: application\/problem\+json/)
  })
})

describe('addresses in requests', () => {
  it('are never asked, wherever they stand', async () => {
    // Only those addresses could be asked that lead here.
    const asked: string[] = []
    const trap = createTrap((request, response) => {
      asked.push(request.url ?? '')
      response.end('{}')
    })
    trap.on('connection', () => asked.push('connection'))
    trap.listen(0, '127.0.0.1')
    await once(trap, 'listening')
    const address = `http://127.0.0.1:${(trap.address() as AddressInfo).port}/trap`
    const headers = {
      ...withKey(every.key),
      host: new URL(address).host,
      referer: address,
      'x-forwarded-host': new URL(address).host,
      'x-original-url': address,
    }
    const post = (url: string, payload: object | Buffer, more: Record<string, string> = {}) =>
      server.inject({ method: 'POST', url, headers: { ...headers, ...more }, payload })
    const manifest = encodeURIComponent(JSON.stringify({ uri: address, file: address }))
    const xdm = {
      eventType: 'web.webpagedetails.pageViews',
      web: { webPageDetails: { URL: address }, webReferrer: { URL: address } },
      identityMap: { Email: [{ id: address, primary: true }] },
    }
    const webToken = [
      { alg: 'ES256', jku: address, x5u: address },
      { iss: address, aud: 'rtml' },
    ]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    const octets = { 'content-type': 'application/octet-stream' }
    const answers = [
      await post('/ee/v2/interact?dataStreamId=web', { event: { xdm } }),
      await post('/ee/v1/collect?configId=web', { events: [{ xdm }] }),
      await post('/collect/plain', { id: address, type: address, visitor: address, time: new Date().toISOString() }),
      await post('/v1/predict/buy', { features: { page: address } }),
      await post('/v1/sources/plain/try', { record: address, mapping: address }),
      await post('/v1/rules/check', { segments: { x: { when: `web.webPageDetails.URL == "${address}"` } } }),
      await post(`/v1/services/buy/versions?manifest=${manifest}`, Buffer.from(address), octets),
      await post(`/v1/bundles?manifest=${manifest}`, Buffer.from(address), { 'content-type': 'application/zip' }),
      await server.inject({ url: '/v1/services', headers: { ...headers, authorization: `Bearer ${webToken}.AA` } }),
      await server.inject({ url: `/v1/profiles/Email/${encodeURIComponent(address)}`, headers }),
    ]
    expect(answers.map(({ statusCode }) => statusCode).filter((status) => status >= 500)).toEqual([])
    // The trap does catch who asks.
    await (await fetch(address)).text()
    expect(asked).toEqual(['connection', '/trap'])
    trap.close()
    trap.closeAllConnections()
  })
})

describe('answers', () => {
  it('keep scores from who may not predict', async () => {
    const page = newApiKey('page', ['interact'])
    const { keys } = securityFrom({ RTML_API_KEYS: [every.line, page.line].join(';') }, '0.0.0.0')
    const open = await shop.serve(guarded({ keys }))
    const [shown, kept] = await Promise.all(
      [every, page].map(async ({ key }) => {
        const xdm = { eventType: 'x', identityMap: { ECID: [{ id: 'nobody', primary: true }] } }
        const answer = await open.inject({
          method: 'POST',
          url: '/ee/v2/interact?dataStreamId=web',
          headers: withKey(key),
          payload: { event: { xdm }, query: { rtml: { scores: true } } },
        })
        expect(answer.statusCode, answer.body).toBe(200)
        return (answer.json() as { handle: { type: string }[] }).handle.map(({ type }) => type)
      }),
    )
    expect(shown).toContain('rtml:scores')
    expect(kept).not.toContain('rtml:scores')
  })

  it('carry the headers that keep browsers from guessing and framing', async () => {
    const { headers } = await call('GET', '/v1/services', withKey(every.key))
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    })
  })

  it('never tell what went wrong inside', async () => {
    const broken = await createServer({
      health: () => ({ isLive: true, isReady: true, reasons: [] }),
      metrics: async () => {
        throw new Error('password=hunter2 at /srv/secret')
      },
      metricsType: 'text/plain',
      overview: () => ({}) as never,
      figures: { total: () => 0, buckets: () => ({ bounds: [], counts: [] }) },
      consoleDir: () => Promise.reject(new Error('no console')),
      clock: systemClock,
    })
    const answer = await broken.inject('/metrics')
    expect(answer.statusCode).toBe(500)
    expect(answer.body).not.toMatch(/hunter2|srv|Error|at /)
    await broken.close()
  })

  it('tell a wrong method from a wrong address', async () => {
    const wrong = await call('GET', '/v1/predict/buy', withKey(every.key))
    expect(wrong.statusCode).toBe(405)
    expect(wrong.headers.allow).toBe('POST')
    expect((await call('GET', '/v2/nothing')).statusCode).toBe(404)
  })

  it('are 503 while the application starts', async () => {
    const early = await createServer({
      health: () => ({ isLive: true, isReady: false, reasons: ['starting'] }),
      metrics: async () => '',
      metricsType: 'text/plain',
      overview: () => ({}) as never,
      figures: { total: () => 0, buckets: () => ({ bounds: [], counts: [] }) },
      consoleDir: () => Promise.reject(new Error('no console')),
      clock: systemClock,
    })
    const answer = await early.inject('/v1/services')
    expect(answer.statusCode).toBe(503)
    expect(answer.headers['retry-after']).toBe('1')
    expect((await early.inject('/readyz')).json()).toEqual({ status: 'failing', reasons: ['starting'] })
    await early.close()
  })
})

describe('without authentication', () => {
  it.each(['0.0.0.0', '::', '192.168.1.5', 'example.com'])('refuses to listen on %s', (host) => {
    expect(() => securityFrom({}, host)).toThrow(/RTML_API_KEYS/)
  })

  it.each(['127.0.0.1', '::1', 'localhost'])('listens on %s', (host) => {
    expect(securityFrom({}, host).mode).toBe('open')
  })

  it('serves this machine, and no web page of elsewhere that its browser shows', async () => {
    const get = (headers: Record<string, string>, remoteAddress = '127.0.0.1') =>
      shop.server.inject({ url: '/v1/services', headers, remoteAddress })
    expect((await get({ host: 'localhost:8080' })).statusCode).toBe(200)
    expect((await get({ host: 'localhost:8080', origin: 'http://localhost:8080' })).statusCode).toBe(200)
    expect((await get({ host: '[::1]:8080' }, '::1')).statusCode).toBe(200)
    // A name that points at 127.0.0.1 (rebinding), a page of another origin, another machine.
    expect((await get({ host: 'evil.example' })).statusCode).toBe(403)
    expect((await get({ host: 'localhost:8080', origin: 'https://evil.example' })).statusCode).toBe(403)
    expect((await get({ host: 'localhost:8080' }, '192.0.2.1')).statusCode).toBe(403)
  })

  it('opens only what RTML_ANONYMOUS_SCOPES names', async () => {
    const open = await shop.serve(securityFrom({ RTML_ANONYMOUS_SCOPES: 'metrics:read' }, '0.0.0.0'))
    expect((await open.inject({ url: '/metrics', remoteAddress: '192.0.2.1' })).statusCode).toBe(200)
    expect((await open.inject('/v1/services')).statusCode).toBe(401)
  })
})

describe('settings', () => {
  it.each([
    [{ RTML_JWKS_URL: 'https://a.example/jwks' }, 'RTML_JWT_ISSUER'],
    [{ RTML_JWKS_URL: 'http://a.example/jwks', RTML_JWT_ISSUER: 'a', RTML_JWT_AUDIENCE: 'b' }, 'plain HTTP'],
    [{ RTML_API_KEYS_FILE: '/nowhere/keys' }, 'ENOENT'],
    [{ RTML_API_KEYS: every.line, RTML_API_KEYS_FILE: 'x' }, 'Use one of them'],
    [{ RTML_TLS_CERT_FILE: 'cert.pem' }, 'RTML_TLS_KEY_FILE'],
    [{ RTML_RATE_PER_KEY: 'many' }, 'whole number'],
    [{ RTML_ANONYMOUS_SCOPES: 'all' }, 'there is no scope'],
  ])('%o are refused', (env, message) => {
    expect(() => securityFrom(env, '127.0.0.1')).toThrow(message)
  })

  it('make an empty set of keys guard nothing', () => {
    expect(new ApiKeys(new Map()).find('x')).toBeUndefined()
    expect(() => securityFrom({ RTML_API_KEYS: '# none' }, '0.0.0.0')).toThrow(/nothing says/)
  })
})
