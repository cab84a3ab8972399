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
import type { Decisions } from '../../processors/edge/types.ts'
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
const decisions: Decisions = {
  decide: ({ scores, scopes }) => {
    const keen = (scores.find(({ role }) => role === 'champion')?.value ?? 0) >= 1
    const content = { banner: keen ? 'discount' : 'usual' }
    const items = [{ id: '1', schema: 'https://ns.adobe.com/personalization/json-content-item', data: { content } }]
    return scopes
      .filter((scope) => scope === 'banner')
      .map((scope) => ({ id: `banner-${content.banner}`, scope, scopeDetails: { decisionProvider: 'RTML' }, items }))
  },
}

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
    decisions,
    region: 'irl1',
    application: (text) => text.replace('https://shop.example', 'https://www.shop.example'),
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
  readonly propositions: readonly { items: readonly { data: { content: { banner: string } } }[] }[]
  readonly identity: { readonly ECID: string }
}

interface Visit {
  readonly ecid: string
  readonly banner: string | undefined
}

/** Opens a page, sends a page's event, and reads what the SDK made of the answer. */
async function visit(eventType: string, name: string): Promise<Visit> {
  await page.goto('https://www.shop.example/')
  return page.evaluate(
    async ({ orgId, datastreamId, eventType, name }) => {
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
      const { identity } = await alloy('getIdentity')
      return { ecid: identity.ECID, banner: propositions[0]?.items[0]?.data.content.banner }
    },
    { orgId: ORGANIZATION, datastreamId: DATASTREAM, eventType, name },
  )
}

describe('the Web SDK in a browser', { timeout: 60_000 }, () => {
  let first: Visit

  it('gets an identity, keeps it over pages, and sees the decision change with the score', async () => {
    // (views + events + spent + page) / 4: 0 + 1 + 0 + 1 is not keen; one product view later 1 + 2 + 0 + 2 is.
    first = await visit('web.webpagedetails.pageViews', 'home')
    expect(first).toEqual({ ecid: expect.stringMatching(/^\d{38}$/), banner: 'usual' })
    expect(await visit('commerce.productViews', 'cart')).toEqual({ ecid: first.ecid, banner: 'discount' })
    expect(await visit('web.webpagedetails.pageViews', 'home')).toEqual({ ecid: first.ecid, banner: 'discount' })
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
})
