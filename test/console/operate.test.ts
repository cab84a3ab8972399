/** What an operator does in the console, end to end: with keys, by keyboard, from a pasted event to a repaired one. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newApiKey } from '../../processors/edge/auth/api-keys.ts'
import { SCOPES, type Scope } from '../../processors/edge/auth/scopes.ts'
import { securityFrom } from '../../processors/edge/auth/security.ts'
import { type Luma, luma, openBrowser, openPage, violations } from './browser.ts'

const MODEL = join(import.meta.dirname, '..', '..', 'models', 'luma', 'propensity.onnx')
const ECID = '12345678901234567890123456789012345678'
const refused = (id: string) => ({
  _id: id,
  timestamp: 'yesterday',
  endUserIDs: { _experience: { mcid: { id: ECID } } },
})

let app: Luma
let browser: Browser
let address: string
beforeAll(async () => {
  app = await luma()
  browser = await openBrowser()
  address = await app.serve(securityFrom({}, '127.0.0.1'))
  const letters = ['one', 'two'].map((id) => Buffer.from(JSON.stringify(refused(id))))
  await app.engine.log.append(letters.map((value) => ({ topic: 'raw.web', key: Buffer.from(ECID), value })))
  await app.play(600)
  await app.settled()
})
afterAll(async () => {
  await browser?.close()
  await app?.[Symbol.asyncDispose]()
})

async function at(hash: string): Promise<{ page: Page; faults: string[] }> {
  const opened = await openPage(browser, `${address}#/${hash}`)
  await opened.page.locator('h1').waitFor()
  return opened
}

describe('sources', () => {
  it('maps a pasted record to XDM, and says why another one is refused', async () => {
    const { page, faults } = await at('sources')
    await page.getByRole('button', { name: 'Use the newest record' }).click()
    await page.locator('form small', { hasText: 'raw.web[' }).waitFor()
    await page.getByRole('button', { name: 'Map it' }).click()
    await page.getByText('1 mapped').waitFor()
    expect(await page.locator('pre').first().textContent()).toContain('"identityMap"')

    await page.getByLabel('Raw record').fill(JSON.stringify(refused('try')))
    await page.getByRole('button', { name: 'Map it' }).click()
    await page.getByText('1 refused').waitFor()
    expect(await page.locator('.notice.bad').textContent()).toContain('"yesterday" is not a time')
    await page.getByLabel('Raw record').fill('{')
    await page.getByRole('button', { name: 'Map it' }).click()
    await page.getByText('DECODE').waitFor()
    expect(await violations(page)).toEqual([])
    expect(faults).toEqual([])
    await page.context().close()
  })
})

describe('dead letters', () => {
  it('are repaired, tried and replayed; the profile and the audit log show it', async () => {
    const { page, faults } = await at('dead-letters')
    await page.locator('tbody tr a').first().click()
    await page.getByRole('heading', { name: 'Repair' }).waitFor()
    const value = page.getByLabel('Value')
    const broken = await value.inputValue()
    expect(broken).toContain('"yesterday"')
    await value.fill(broken.replace('yesterday', new Date().toISOString()))
    await page.getByRole('button', { name: 'Try the mapping' }).click()
    await page.getByText('1 mapped').waitFor()
    expect(await violations(page)).toEqual([])
    await page.getByLabel('Why (for the audit log)').fill('a producer sent words for a time')
    await page.getByRole('button', { name: 'Replay repaired' }).click()
    await page.getByText('1 replayed to raw.web').waitFor()

    await page.goto(`${address}#/profiles/ECID/${ECID}`)
    await expect
      .poll(
        async () => {
          await page.reload()
          return page
            .getByRole('heading', { name: 'Why this score' })
            .waitFor({ timeout: 1_000 })
            .then(
              () => true,
              () => false,
            )
        },
        { timeout: 15_000 },
      )
      .toBe(true)
    await page.goto(`${address}#/audit`)
    const row = page.locator('tbody tr').first()
    await row.waitFor()
    const text = await row.textContent()
    for (const part of ['local', 'dead-letters.replay', 'dlq.raw[', 'done', 'a producer sent words for a time']) {
      expect(text).toContain(part)
    }
    expect(faults).toEqual([])
    await page.context().close()
  })

  it('can be chosen and replayed as they were, and come back', async () => {
    const { page } = await at('dead-letters')
    await page.locator('tbody tr').first().waitFor()
    const before = await page.locator('tbody tr').count()
    await page.getByRole('checkbox').first().check()
    await page.getByRole('button', { name: 'Replay 1 as they were' }).click()
    await page.getByText('1 replayed to raw.web').waitFor()
    await expect
      .poll(async () => {
        await page.getByRole('button', { name: 'Reload' }).click()
        return page.locator('tbody tr').count()
      })
      .toBe(before + 1)
    await page.context().close()
  })
})

describe('profiles', () => {
  it('are found by their identity, with what moved the score and what the features are', async () => {
    const { page, faults } = await at('profiles')
    await page.locator('tbody tr a').first().click()
    await page.getByRole('heading', { name: 'Why this score' }).waitFor()
    await page
      .getByText(/Moved the score by|No feature moved/)
      .first()
      .waitFor()
    expect(await page.getByRole('region', { name: 'Table: Features of the profile' }).locator('tbody tr').count()).toBe(
      23,
    )
    expect(await violations(page)).toEqual([])
    await page.getByLabel('Identity').fill('11111111111111111111111111111111111111')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').waitFor()
    expect(await page.getByRole('alert').textContent()).toContain('There is no profile')
    expect(faults).toEqual([])
    await page.context().close()
  })
})

describe('a person', () => {
  it('is shown with segments and events, and erased once the identity is typed and the reason is given', async () => {
    const id = '22222222222222222222222222222222222222'
    const added = {
      ...refused('added'),
      timestamp: new Date().toISOString(),
      commerce: { productListAdds: { value: 1 } },
    }
    added.endUserIDs = { _experience: { mcid: { id } } }
    await app.engine.log.append([{ topic: 'raw.web', key: Buffer.from(id), value: Buffer.from(JSON.stringify(added)) }])
    await expect
      .poll(async () => (await fetch(`${address}v1/profiles/ECID/${id}`)).text(), { timeout: 15_000 })
      .toMatch(/"cart_abandoners","status":"realized".*"eventId":"added"/)
    const { page, faults } = await at(`profiles/ECID/${id}`)
    const segments = page.getByRole('region', { name: 'Table: Segments of the profile' })
    await segments.locator('tr', { hasText: 'cart_abandoners' }).locator('time').waitFor()
    await page.getByRole('region', { name: 'Table: Events that were scored last' }).getByText('added').waitFor()
    await page.getByRole('button', { name: 'Read what they hold from the log' }).click()
    const events = page.getByRole('region', { name: 'Table: Last events of the profile' })
    await events.locator('summary').first().click()
    expect(await events.locator('pre').first().textContent()).toContain('"identityMap"')

    await page.getByRole('button', { name: 'Erase this person…' }).click()
    const erase = page.getByRole('button', { name: 'Erase for ever' })
    await page.getByLabel('Why (for report and audit log)').fill('asked by letter')
    await page.getByLabel('Type the identity to confirm').fill(id.slice(1))
    expect(await erase.isDisabled()).toBe(true)
    expect(await violations(page)).toEqual([])
    await page.getByLabel('Type the identity to confirm').fill(id)
    await erase.click()
    await page.getByText('The person was erased.').waitFor()
    const removed = page.getByRole('region', { name: 'Table: Removed' })
    expect(await removed.locator('tr', { hasText: 'scores' }).first().textContent()).toContain('removed')
    expect(await violations(page)).toEqual([])

    await page.goto(`${address}#/audit`)
    await page.locator('tbody tr', { hasText: 'profile.erase' }).getByText('asked by letter').waitFor()
    await page.goto(`${address}#/profiles/ECID/${id}`)
    await page.getByRole('alert').filter({ hasText: 'There is no profile' }).waitFor()
    expect(faults).toEqual([])
    await page.context().close()
  })
})

describe('services', () => {
  it('takes a pushed version, promotes it, rolls back, and refuses a change that somebody else was faster with', async () => {
    const { page, faults } = await at('services/propensity')
    await page.getByRole('heading', { name: 'History' }).waitFor()
    await page.locator('figure', { hasText: 'Request to answer, over HTTP' }).locator('canvas').waitFor()
    await page.getByRole('heading', { name: 'Quality' }).waitFor()
    await page.getByText('Push a version of propensity').click()
    await page.getByLabel('ONNX file').setInputFiles({
      name: 'propensity.onnx',
      mimeType: 'application/octet-stream',
      buffer: readFileSync(MODEL),
    })
    await page.locator('details').getByLabel('Version').fill('2')
    await page.getByRole('button', { name: 'Push as shadow' }).click()
    const versions = page.getByRole('region', { name: 'Table: Versions' })
    await versions.getByText('propensity@2').waitFor()

    await page.getByLabel('Version', { exact: true }).first().selectOption('propensity@2')
    await page.getByLabel('Share, %').fill('100')
    await page.getByLabel('Why (for history and audit log)').fill('trained on more')
    await page.getByRole('button', { name: 'Promote', exact: true }).click()
    await versions.locator('tr', { hasText: 'propensity@2' }).getByText('champion').waitFor()
    expect(await violations(page)).toEqual([])

    await page.getByLabel('Change', { exact: true }).selectOption('rollback')
    await page.getByRole('button', { name: 'Roll back', exact: true }).click()
    await versions.locator('tr', { hasText: 'propensity@1' }).getByText('champion').waitFor()

    const other = await at('services/propensity')
    await other.page.getByLabel('Change', { exact: true }).selectOption('disable')
    await other.page.getByRole('button', { name: 'Switch off', exact: true }).click()
    await other.page.getByText('Switched off: nobody is scored by it.').waitFor()
    await page.getByLabel('Change', { exact: true }).selectOption('disable')
    await page.getByRole('button', { name: 'Switch off', exact: true }).click()
    await page.getByRole('alert').waitFor()
    expect(await page.getByRole('alert').textContent()).toMatch(/revision|changed/i)
    expect([...faults, ...other.faults]).toEqual([])
    await other.page.context().close()
    await page.context().close()
  })
})

describe('rules', () => {
  it('are checked, previewed for a profile and saved with a reason; a change from an old revision is refused', async () => {
    const { page, faults } = await at('rules')
    const name = await page.getByRole('region', { name: 'Table: Segments' }).locator('tbody a').first().textContent()
    await page.goto(`${address}#/rules/segments/${name}`)
    const other = await at(`rules/segments/${name}`)
    const edit = async (on: Page, condition: string, why: string) => {
      await on.getByLabel('Who is in: a condition').fill(condition)
      await on.getByLabel('Why (for history and audit log)').fill(why)
      await on.getByRole('button', { name: 'Check' }).click()
    }
    await edit(page, 'features.nothing > 1', 'wrong')
    await page.locator('.field', { hasText: 'Who is in' }).getByRole('alert').getByText('features.nothing').waitFor()
    expect(await page.getByRole('button', { name: 'Save' }).isDisabled()).toBe(true)
    expect(await violations(page)).toEqual([])
    await page.getByRole('button', { name: 'Edit as JSON' }).click()
    await page.getByRole('button', { name: 'line 2' }).click()
    expect(await page.evaluate('getSelection().toString()')).toContain('features.nothing')
    await page.getByRole('button', { name: 'Edit as a form' }).click()

    await edit(page, 'scores.propensity >= 0.4', 'a lower bar')
    await page.getByText('The definition is possible.').waitFor()
    await page.getByLabel('Identity').fill(ECID)
    await page.getByRole('button', { name: 'Preview' }).click()
    await page.getByRole('heading', { name: 'With this definition' }).waitFor()
    await page.getByRole('button', { name: 'Replay' }).click()
    const before = page.getByRole('region', { name: 'Table: Segments before and after' })
    expect(await before.locator('tr', { hasText: String(name) }).textContent()).toMatch(/\d/)
    expect(await page.getByText(/^\d+ events since/).textContent()).toMatch(/^6\d\d events/)
    await page.getByRole('region', { name: 'Table: Decisions before and after' }).getByText('hero').waitFor()
    expect(await violations(page)).toEqual([])
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved as revision').waitFor()

    await edit(other.page, 'scores.propensity >= 0.5', 'too late')
    await other.page.getByText('The definition is possible.').waitFor()
    await other.page.getByRole('button', { name: 'Save' }).click()
    expect(await other.page.getByRole('alert').textContent()).toContain('The newest revision is')

    await page.goto(`${address}#/audit`)
    await page
      .locator('tbody tr', { hasText: `segment:${name}` })
      .getByText('a lower bar')
      .waitFor()
    expect([...faults, ...other.faults]).toEqual([])
    await other.page.context().close()
    await page.context().close()
  })
})

describe('by keyboard', () => {
  it('skips to the content, goes to pages, searches, shows the shortcuts, and keeps the focus in sight', async () => {
    const { page } = await at('topology')
    const focused = (where: string) =>
      expect.poll(() => page.evaluate<boolean>(`document.activeElement?.matches(${JSON.stringify(where)})`)).toBe(true)
    await page.evaluate('document.activeElement?.blur()')
    await page.keyboard.press('Tab')
    await focused('.skip')
    expect(await page.locator('.skip').textContent()).toBe('Skip to content')
    await page.keyboard.press('Enter')
    await focused('#main')

    await page.keyboard.press('g')
    await page.keyboard.press('p')
    await page.locator('h1', { hasText: 'Profiles' }).waitFor()
    await focused('h1')
    await page.keyboard.press('/')
    await focused('[data-search]')
    await page.keyboard.type(`g?${ECID}`)
    expect(await page.getByLabel('Identity').inputValue()).toBe(`g?${ECID}`)

    await page.evaluate('document.activeElement.blur()')
    await page.keyboard.press('?')
    await page.getByRole('dialog').waitFor()
    expect(await violations(page)).toEqual([])
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    await page.context().close()
  })

  it('opens the menu of a narrow screen with the keyboard', async () => {
    const { page } = await openPage(browser, address, { viewport: { width: 360, height: 740 } })
    const menu = page.getByRole('button', { name: 'Menu' })
    await menu.waitFor()
    expect(await page.getByRole('link', { name: 'Audit' }).isVisible()).toBe(false)
    await menu.press('Enter')
    await page.getByRole('link', { name: 'Audit' }).press('Enter')
    await page.locator('h1', { hasText: 'Audit' }).waitFor()
    await page.getByRole('link', { name: 'Audit' }).waitFor({ state: 'hidden' })
    await page.context().close()
  })
})

describe('with keys', () => {
  const all = newApiKey('ops', Object.keys(SCOPES) as Scope[])
  const few = newApiKey('viewer', ['topology:read', 'dead-letters:read'])

  it('asks for a key, keeps it out of addresses and cookies, and shows only what it allows', async () => {
    const guarded = await app.serve(securityFrom({ RTML_API_KEYS: `${all.line};${few.line}` }, '0.0.0.0'))
    const { page, faults } = await openPage(browser, guarded)
    const field = page.getByLabel('API key or token')
    await field.waitFor()
    expect(await violations(page)).toEqual([])
    await field.fill('rtml_wrong')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('alert').filter({ hasText: 'does not know' }).waitFor()

    const asked: string[] = []
    page.on('request', (request) => asked.push(`${request.url()} ${request.headers().cookie ?? ''}`))
    await field.fill(few.key)
    await page.keyboard.press('Enter')
    await page.locator('svg.flow .node').first().waitFor()
    expect(await page.getByRole('navigation').getByRole('link').allTextContents()).toEqual([
      'Topology',
      'Sources',
      'Dead letters',
    ])
    await page.goto(`${guarded}#/audit`)
    await page.getByText('Your key does not have the scope audit:read.').waitFor()
    await page.goto(`${guarded}#/dead-letters`)
    await page.locator('tbody tr').first().waitFor()
    expect(await page.getByRole('checkbox').count()).toBe(0)
    expect(asked.join('\n')).not.toContain(few.key)
    expect(await page.context().cookies()).toEqual([])
    await page.getByRole('button', { name: 'Sign out' }).click()
    await field.waitFor()
    expect(await page.evaluate('sessionStorage.length')).toBe(0)
    expect(faults).toEqual([])
    await page.context().close()
  })

  it('names the key in the audit log', async () => {
    const guarded = await app.serve(securityFrom({ RTML_API_KEYS: all.line }, '0.0.0.0'))
    const { page } = await openPage(browser, guarded)
    await page.getByLabel('API key or token').fill(all.key)
    await page.keyboard.press('Enter')
    await page.locator('h1').waitFor()
    await page.goto(`${guarded}#/dead-letters`)
    await page.getByRole('checkbox').first().check()
    await page.getByRole('button', { name: 'Replay 1 as they were' }).click()
    await page.getByText('1 replayed').waitFor()
    await page.goto(`${guarded}#/audit`)
    await page.locator('tbody tr', { hasText: 'key:ops' }).first().waitFor()
    await page.context().close()
  })
})

describe('the page', () => {
  it('runs only what the edge serves, and may not be framed', async () => {
    const answer = await fetch(address)
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'")
    expect(answer.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
    expect(answer.headers.get('x-frame-options')).toBe('DENY')
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    const { page, faults } = await at('topology')
    await page.evaluate(`(() => {
      const script = document.createElement('script')
      try { script.textContent = 'window.ran = true' } catch {}
      document.body.append(script)
    })()`)
    expect(await page.evaluate('window.ran')).toBeUndefined()
    expect(faults.length).toBeGreaterThan(0)
    await page.context().close()
  })

  it('shows text from outside as text', async () => {
    const markup = '<img src=x onerror="window.ran=true">'
    const record = { ...refused(markup), timestamp: markup }
    await app.engine.log.append([
      { topic: 'raw.web', key: Buffer.from(markup), value: Buffer.from(JSON.stringify(record)) },
    ])
    const { page, faults } = await at('dead-letters')
    await expect
      .poll(async () => {
        await page.getByRole('button', { name: 'Reload' }).click()
        return page.getByText('onerror').count()
      })
      .toBeGreaterThan(0)
    expect(await page.evaluate('window.ran')).toBeUndefined()
    expect(faults).toEqual([])
    await page.context().close()
  })
})
