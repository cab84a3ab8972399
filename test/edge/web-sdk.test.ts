/** A real browser with the real Web SDK against the running server, over TLS: a visitor browses, and the page changes. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { securityFrom } from '../../processors/edge/auth/security.ts'
import { DATASTREAM, eventually, type Fixture, fixture, ORGANIZATION } from './fixture.ts'
import { chromiumPath, webSdk } from './web-sdk.ts'

/** The published base code's contract: a queue that the SDK drains when it has loaded. */
const PAGE = `<!doctype html><title>shop</title>
<script>
  window.__alloyNS = ['alloy']
  window.alloy = (...args) => new Promise((resolve, reject) => window.alloy.q.push([resolve, reject, args]))
  window.alloy.q = []
</script>
<script src="/alloy.js"></script>`

/** Visitors who are keen see a discount, others the usual banner. */
const RULES = `
segments:
  keen: { when: scores.buy >= 1 }
decisions:
  banner:
    rules: [{ when: segments.keen, offer: discount }]
    default: usual
    offers:
      discount: { content: { banner: discount }, caps: [{ max: 2, within: 1h }] }
      usual: { content: { banner: usual } }
`

let shop: Fixture
let site: Server
let browser: Browser
let page: Page
beforeAll(async () => {
  const sdk = await webSdk()
  const folder = await mkdtemp(join(tmpdir(), 'rtml-tls-'))
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const subject = [
    '-subj',
    '/CN=edge.shop.example',
    '-addext',
    'subjectAltName=DNS:edge.shop.example,DNS:www.shop.example',
  ]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  await promisify(execFile)('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert, ...subject])
  shop = await fixture({
    region: 'irl1',
    application: (text) =>
      `${text.replace('https://shop.example', 'https://www.shop.example').replace('deadline: 5s\n', 'deadline: 5s\n  segments: [keen]\n')}${RULES}`,
  })
  const server = await shop.serve(
    securityFrom(
      { RTML_TLS_CERT_FILE: cert, RTML_TLS_KEY_FILE: key, RTML_ANONYMOUS_SCOPES: 'collect,interact' },
      '0.0.0.0',
    ),
  )
  await server.listen({ host: '127.0.0.1', port: 0 })
  site = createServer({ cert: await readFile(cert), key: await readFile(key) }, (request, response) => {
    if (request.url === '/alloy.js') response.setHeader('content-type', 'text/javascript').end(sdk)
    else response.setHeader('content-type', 'text/html').end(PAGE)
  })
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
  const at = ({ port }: AddressInfo) => `127.0.0.1:${port}`
  const names = [
    `MAP edge.shop.example ${at(server.server.address() as AddressInfo)}`,
    `MAP www.shop.example ${at(site.address() as AddressInfo)}`,
  ]
  browser = await chromium.launch({
    executablePath: chromiumPath(),
    args: ['--no-sandbox', `--host-resolver-rules=${names.join(',')}`],
  })
  page = await browser.newPage({ ignoreHTTPSErrors: true })
})
afterAll(async () => {
  await browser?.close()
  site?.close()
  await shop?.[Symbol.asyncDispose]()
})

/** What the SDK resolves with, as far as it is read here. */
interface Answer {
  readonly propositions: readonly {
    id: string
    scope: string
    scopeDetails: unknown
    items: readonly { data: { content: { banner: string } } }[]
  }[]
  readonly identity: { readonly ECID: string }
}

interface Visit {
  readonly ecid: string
  readonly banner: string | undefined
  /** Segments that the answer names. */
  readonly segments: readonly string[]
}

/** Opens a page, sends a page's event, and reads what the SDK made of the answer. */
async function visit(eventType: string, name: string, { display = false } = {}): Promise<Visit> {
  await page.goto('https://www.shop.example/')
  const answered = page.waitForResponse((it) => it.url().includes('/interact'))
  const seen = await page.evaluate(
    async ({ orgId, datastreamId, eventType, name, display }) => {
      const { alloy } = globalThis as unknown as { alloy: (...args: unknown[]) => Promise<Answer> }
      await alloy('configure', {
        datastreamId,
        orgId,
        edgeDomain: 'edge.shop.example',
        thirdPartyCookiesEnabled: false,
        clickCollectionEnabled: false,
      })
      const xdm = { eventType, web: { webPageDetails: { name } } }
      const { propositions } = await alloy('sendEvent', { decisionScopes: ['banner'], xdm })
      if (display) {
        const seen = propositions.map(({ id, scope, scopeDetails }) => ({ id, scope, scopeDetails }))
        await alloy('sendEvent', {
          xdm: {
            eventType: 'decisioning.propositionDisplay',
            _experience: { decisioning: { propositions: seen, propositionEventType: { display: 1 } } },
          },
        })
      }
      const { identity } = await alloy('getIdentity')
      return { ecid: identity.ECID, banner: propositions[0]?.items[0]?.data.content.banner }
    },
    { orgId: ORGANIZATION, datastreamId: DATASTREAM, eventType, name, display },
  )
  const { handle } = (await (await answered).json()) as { handle: { type: string; payload: Lookup[] }[] }
  const lookups = handle.filter(({ type }) => type === 'activation:pull').flatMap(({ payload }) => payload)
  return { ...seen, segments: lookups.flatMap(({ segments }) => segments.map(({ id }) => id)) }
}

/** What a page may know of the visitor, in the answer as it came over the wire. */
interface Lookup {
  readonly segments: readonly { readonly id: string }[]
}

describe('the Web SDK in a browser', { timeout: 60_000 }, () => {
  let first: Visit

  it('gets an identity, enters a segment, and sees another experience in the same answer and on the next page', async () => {
    // (views + events + spent + page) / 4: 0 + 1 + 0 + 1 is not keen; one product view later 1 + 2 + 0 + 2 is.
    first = await visit('web.webpagedetails.pageViews', 'home')
    expect(first).toEqual({ ecid: expect.stringMatching(/^\d{38}$/), banner: 'usual', segments: [] })
    const { ecid } = first
    const keen = { ecid, banner: 'discount', segments: ['keen'] }
    expect(await visit('commerce.productViews', 'cart')).toEqual(keen)
    expect(await visit('web.webpagedetails.pageViews', 'home')).toEqual(keen)
  })

  it('counts what was displayed, not what was answered', async () => {
    expect((await visit('web.webpagedetails.pageViews', 'home', { display: true })).banner).toBe('discount')
    expect((await visit('web.webpagedetails.pageViews', 'home', { display: true })).banner).toBe('discount')
    expect(await visit('web.webpagedetails.pageViews', 'home')).toMatchObject({ banner: 'usual', segments: ['keen'] })
  })

  it('delivers its last event when the page unloads', async () => {
    await page.evaluate(() => {
      const { alloy } = globalThis as unknown as { alloy: (...args: unknown[]) => Promise<unknown> }
      return alloy('sendEvent', { documentUnloading: true, xdm: { eventType: 'commerce.productViews' } })
    })
    const profile = () => shop.server.inject(`/v1/profiles/ECID/${first.ecid}`)
    const views = await eventually('the beacon', async () => {
      const { features, pendingEvents } = (await profile()).json()
      const count = features?.find(({ feature }: { feature: string }) => feature === 'views')?.value
      return count === 2 && pendingEvents === 0 ? count : undefined
    })
    expect(views).toBe(2)
  })

  it('takes consent away, and observes nobody who said no', async () => {
    const { ecid } = await visit('web.webpagedetails.pageViews', 'home')
    const profile = async () => (await shop.server.inject(`/v1/profiles/ECID/${ecid}`)).json()
    const events = async () => {
      const { features, pendingEvents } = await profile()
      return pendingEvents === 0
        ? features?.find(({ feature }: { feature: string }) => feature === 'events')?.value
        : undefined
    }
    const before = await eventually('all visits are counted', async () => events())
    const said = (val: 'y' | 'n') =>
      page.evaluate(async (val) => {
        const { alloy } = globalThis as unknown as { alloy: (...args: unknown[]) => Promise<unknown> }
        await alloy('setConsent', { consent: [{ standard: 'Adobe', version: '2.0', value: { collect: { val } } }] })
        await alloy('sendEvent', { xdm: { eventType: 'commerce.productViews' } })
        const { document } = globalThis as unknown as { document: { cookie: string } }
        return { cookies: document.cookie }
      }, val)
    const asked: string[] = []
    page.on('request', (request) => asked.push(new URL(request.url()).pathname))
    const no = await said('n')
    expect(no.cookies).toContain('consent=general=out')
    // The SDK itself sends nothing any more.
    expect(asked.filter((path) => path.endsWith('/interact'))).toEqual([])
    expect(asked.filter((path) => path.endsWith('/v1/privacy/set-consent'))).toHaveLength(1)
    // Another device of the same visitor knows nothing of the cookie: the profile does.
    const xdm = { _id: 'other-device', eventType: 'commerce.productViews', identityMap: { ECID: [{ id: ecid }] } }
    const send = () =>
      shop.server.inject({ method: 'POST', url: '/ee/v2/interact?dataStreamId=web', payload: { event: { xdm } } })
    await eventually('the refusal is known', async () => ((await send()).json().handle.length === 0 ? true : undefined))
    await shop.server.inject({ method: 'POST', url: '/ee/v2/collect?dataStreamId=web', payload: { events: [{ xdm }] } })
    await eventually('the stage refused it', async () =>
      /rtml_events_total\{[^}]*outcome="opted-out"[^}]*\} [1-9]/.test((await shop.server.inject('/metrics')).body)
        ? true
        : undefined,
    )
    expect(await events()).toBe(before)
    expect((await shop.server.inject('/v1/dead-letters')).json().letters).toEqual([])
    const yes = await said('y')
    expect(yes.cookies).toContain('consent=general=in')
    await eventually('events count again', async () => ((await events()) === before + 1 ? true : undefined))
  })
})
