/** The console in a real browser, on a running application with the demo's real events. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { securityFrom } from '../../processors/edge/auth/security.ts'
import { type Luma, luma, openBrowser, openPage, violations } from './browser.ts'

const PAGES: readonly (readonly [id: string, title: string, content: string])[] = [
  ['topology', 'Topology', 'svg.flow .node.stage'],
  ['sources', 'Sources', 'text=adobe-analytics'],
  ['features', 'Features', '.histogram'],
  ['services', 'Services', 'text=champion'],
  ['learners', 'Learners', 'main table'],
  ['rules', 'Rules', 'main table'],
  ['profiles', 'Profiles', 'main form'],
  ['dead-letters', 'Dead letters', 'tbody tr'],
  ['audit', 'Audit', 'main .empty, main tbody tr'],
]
const EVENTS = 1_500
/** A record that the mapping refuses: its time is a word. */
const REFUSED = {
  _id: 'refused-1',
  timestamp: 'yesterday',
  endUserIDs: { _experience: { mcid: { id: '12345678901234567890123456789012345678' } } },
}

let app: Luma
let browser: Browser
let address: string
beforeAll(async () => {
  app = await luma()
  browser = await openBrowser()
  address = await app.serve(securityFrom({}, '127.0.0.1'))
  await app.engine.log.append([
    { topic: 'raw.web', key: Buffer.from('1'), value: Buffer.from(JSON.stringify(REFUSED)) },
  ])
  await app.play(EVENTS)
  await app.settled()
})
afterAll(async () => {
  await browser?.close()
  await app?.[Symbol.asyncDispose]()
})

const h1 = (page: Page) => page.locator('h1').textContent()

describe('every page', () => {
  it.each([
    ['light', { colorScheme: 'light' as const }],
    ['dark', { colorScheme: 'dark' as const }],
    ['at phone width', { viewport: { width: 360, height: 740 } }],
  ])('shows its data, breaks no rule of accessibility and does not scroll sideways: %s', async (_, options) => {
    const { page, faults } = await openPage(browser, address, options)
    for (const [id, title, content] of PAGES) {
      await page.goto(`${address}#/${id}`)
      await page.locator(content).first().waitFor()
      expect(await h1(page)).toBe(title)
      expect(await page.title()).toBe(`${title} · rtml`)
      expect(await violations(page), id).toEqual([])
      const over = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth')
      expect(over, `${id} is too wide`).toBeLessThanOrEqual(0)
    }
    expect(faults).toEqual([])
    await page.context().close()
  })

  it('takes the colours of the system until somebody chooses, and remembers the choice', async () => {
    const { page } = await openPage(browser, address, { colorScheme: 'dark' })
    const paper = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
    const dark = await paper()
    const colours = page.getByRole('button', { name: 'Colours' })
    await colours.click()
    expect(await colours.textContent()).toContain('light')
    const light = await paper()
    expect(light).not.toBe(dark)
    await page.reload()
    await page.locator('h1').waitFor()
    expect(await paper()).toBe(light)
    await page.context().close()
  })
})
