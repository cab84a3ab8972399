/** Segments and decisions over HTTP: the stream's answer and the edge's are one, and rules change while both run. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decodeSegment } from '../../processors/outputs/index.ts'
import { everything } from '../e2e/harness.ts'
import { eventually, type Fixture, fixture } from './fixture.ts'

const RULES = `
segments:
  viewers: { when: 'exists(eventType == "commerce.productViews", "1h")' }
  keen: { when: scores.buy >= 1 }
  on_cart: { when: web.webPageDetails.name == "cart" && features.events >= 2 }
  keen_viewers: { when: segments.viewers && segments.keen }
decisions:
  hero:
    scopes: [hero, __view__]
    consent: unless-refused
    rules:
      - { when: segments.keen && web.webPageDetails.name == "cart", offer: [ten, five], explore: 0.5 }
      - { when: features.views >= 1, offer: five }
    default: none
    offers:
      ten: { content: { off: 10 }, end: '2100-01-01T00:00:00Z' }
      five: { content: { off: 5 } }
      none: { format: html, content: '<p>hello</p>' }
  held:
    holdout: 1
    rules: [{ offer: a }]
    default: b
    offers: { a: { content: 1 }, b: { content: 2 } }
`

let shop: Fixture
beforeAll(async () => {
  shop = await fixture({
    application: (text) =>
      `${text.replace('deadline: 5s\n', 'deadline: 5s\n  segments: [viewers, keen, on_cart, keen_viewers]\n')}${RULES}`,
  })
})
afterAll(() => shop?.[Symbol.asyncDispose]())

let last = 0
async function interact(email: string, eventType: string, page: string, extra: object = {}) {
  const xdm = {
    _id: `i${last++}`,
    eventType,
    web: { webPageDetails: { name: page } },
    identityMap: { Email: [{ id: email, primary: true }] },
    ...extra,
  }
  const answer = await shop.server.inject({
    method: 'POST',
    url: '/ee/v2/interact?dataStreamId=web',
    payload: { event: { xdm }, query: { personalization: { decisionScopes: ['hero', 'held'] } } },
  })
  expect(answer.statusCode, answer.body).toBe(200)
  const { handle } = answer.json() as { handle: { type: string; payload: Record<string, unknown>[] }[] }
  const payload = (type: string) => handle.find((it) => it.type === type)?.payload ?? []
  const lookup = payload('activation:pull')[0] as { segments: { id: string }[] } | undefined
  const propositions = payload('personalization:decisions') as unknown as Proposition[]
  return {
    id: xdm._id,
    segments: lookup?.segments.map(({ id }) => id) ?? [],
    offers: Object.fromEntries(propositions.map((it) => [it.scope, it.scopeDetails.experience.id])),
    propositions,
  }
}

interface Proposition {
  readonly id: string
  readonly scope: string
  readonly scopeDetails: { readonly activity: { id: string }; readonly experience: { id: string } }
}

const profile = async (email: string) => (await shop.server.inject(`/v1/profiles/Email/${email}`)).json()

/** What the stream has in the profile's state, once it has seen all events and their scores. */
const inStream = (email: string, expected: readonly string[]) =>
  eventually(`${email} in ${expected}`, async () => {
    const { segments = [], pendingEvents } = await profile(email)
    const found = segments
      .filter(({ status }: { status: string }) => status === 'realized')
      .map(({ segment }: { segment: string }) => segment)
      .sort()
    return pendingEvents === 0 && found.join() === expected.join() ? found : undefined
  })

const rules = async () => (await shop.server.inject('/v1/rules')).json()
const put = (section: string, name: string, definition: object, revision: number, why = 'a test') =>
  shop.server.inject({ method: 'PUT', url: `/v1/rules/${section}/${name}`, payload: { definition, revision, why } })

/** The stream has taken the rules over. */
const reached = (revision: number) =>
  eventually(`revision ${revision}`, async () => (await rules()).inStream >= revision || undefined)

describe('segments at the edge', () => {
  it('are the same as in the stream, event by event', async () => {
    const steps: [string, string, string[]][] = [
      ['web.webpagedetails.pageViews', 'home', []],
      ['web.webpagedetails.pageViews', 'cart', ['keen', 'on_cart']],
      ['commerce.productViews', 'home', ['keen', 'keen_viewers', 'viewers']],
      ['web.webpagedetails.pageViews', 'cart', ['keen', 'keen_viewers', 'on_cart', 'viewers']],
    ]
    for (const [type, page, expected] of steps) {
      expect((await interact('a@shop.example', type, page)).segments).toEqual(expected)
      await inStream('a@shop.example', expected)
    }
  })

  it('give offers in the order of the rules, the default to who is held out or has refused', async () => {
    const first = await interact('b@shop.example', 'web.webpagedetails.pageViews', 'home')
    expect(first.offers).toEqual({ hero: 'none', held: 'b' })
    expect(first.propositions[0]).toMatchObject({
      items: [{ schema: 'https://ns.adobe.com/personalization/html-content-item', data: { content: '<p>hello</p>' } }],
    })
    expect((await interact('b@shop.example', 'commerce.productViews', 'home')).offers.hero).toBe('five')
    const refused = { consents: { personalize: { content: { val: 'n' } } } }
    const asked = await interact('b@shop.example', 'web.webpagedetails.pageViews', 'home', refused)
    expect(asked.offers.hero).toBe('none')
  })

  it('log what was decided once, with the probability of the choice', async () => {
    const seen = new Set<string>()
    const ids = new Set<string>()
    await interact('c@shop.example', 'commerce.productViews', 'home')
    for (let n = 0; n < 12; n++) {
      const { id, offers } = await interact('c@shop.example', 'web.webpagedetails.pageViews', 'cart')
      ids.add(id)
      seen.add(offers.hero!)
    }
    expect([...seen].sort()).toEqual(['five', 'ten'])
    const logged = await eventually('the decisions in the log', async () => {
      const records = (await everything(shop.engine, 'decisions')).map(({ value }) => JSON.parse(value!.toString()))
      const own = records.filter(({ eventId }) => ids.has(eventId))
      return own.length === ids.size ? own : undefined
    })
    for (const { decisions } of logged) {
      const hero = decisions.find(({ decision }: { decision: string }) => decision === 'hero')
      expect(hero).toMatchObject({ reason: 'rule', rule: 0, candidates: ['ten', 'five'] })
      expect(hero.propensity).toBe(hero.offer === 'ten' ? 0.75 : 0.25)
    }
  })
})

describe('rules that change while the application runs', () => {
  it('are checked, refused when they are wrong or somebody was faster, and hold in edge and stream', async () => {
    const { revision } = await rules()
    const wrong = await put('segments', 'viewers', { when: 'exists(eventType == "x", "1h"' }, revision)
    expect([wrong.statusCode, wrong.json().detail]).toEqual([422, expect.stringContaining('segments.viewers.when')])
    const unknown = await put('segments', 'viewers', { when: 'exists(eventType == "never.seen", "3h")' }, revision)
    expect([unknown.statusCode, unknown.json().detail]).toEqual([422, expect.stringContaining('roll that out')])
    expect((await put('segments', 'viewers', { when: 'true' }, revision + 5)).statusCode).toBe(409)

    const changed = await put('segments', 'viewers', { when: 'features.events >= 3' }, revision)
    expect([changed.statusCode, changed.json().revision]).toEqual([200, revision + 1])
    await reached(revision + 1)
    await interact('d@shop.example', 'commerce.productViews', 'home')
    await interact('d@shop.example', 'commerce.productViews', 'home')
    const { segments } = await interact('d@shop.example', 'commerce.productViews', 'home')
    expect(segments).toEqual(['keen', 'keen_viewers', 'viewers'])
    await inStream('d@shop.example', ['keen', 'keen_viewers', 'viewers'])
    const records = (await everything(shop.engine, 'profile.segments'))
      .map(({ value }) => decodeSegment(value!))
      .filter(({ profile: { id }, segmentId }) => id === 'd@shop.example' && segmentId === 'viewers')
    expect(records).toMatchObject([{ status: 'realized', version: String(revision + 1), cause: 'event' }])
  })

  it('added ones are entered, and left when they are taken away', async () => {
    const { revision } = await rules()
    expect((await put('segments', 'readers', { when: 'features.events >= 1' }, revision)).statusCode).toBe(200)
    await reached(revision + 1)
    await interact('e@shop.example', 'web.webpagedetails.pageViews', 'home')
    await inStream('e@shop.example', ['readers'])
    const gone = await shop.server.inject({
      method: 'DELETE',
      url: `/v1/rules/segments/readers?revision=${revision + 1}&why=enough`,
    })
    expect(gone.statusCode, gone.body).toBe(200)
    expect((await rules()).segments.map(({ name }: { name: string }) => name)).not.toContain('readers')
    await reached(revision + 2)
    await interact('e@shop.example', 'web.webpagedetails.pageViews', 'home')
    await eventually('the exit', async () => {
      const records = await everything(shop.engine, 'profile.segments')
      const own = records.map(({ value }) => decodeSegment(value!)).filter(({ segmentId }) => segmentId === 'readers')
      return own.at(-1)?.status === 'exited' || undefined
    })
    const { changes } = (await shop.server.inject('/v1/rules/history')).json()
    expect(changes.slice(0, 2)).toMatchObject([
      { kind: 'segment', name: 'readers', definition: null, why: 'enough', by: 'local' },
      { kind: 'segment', name: 'readers', why: 'a test' },
    ])
  })

  it('decisions change for the next answer; a profile can be tried with other rules first', async () => {
    const { revision, decisions } = await rules()
    const { definition } = decisions.find(({ name }: { name: string }) => name === 'held')
    const open = { ...definition, holdout: 0 }
    const preview = await shop.server.inject({
      method: 'POST',
      url: '/v1/decisions/preview',
      payload: { identity: { namespace: 'Email', id: 'a@shop.example' }, decisions: { held: open } },
    })
    const heldOf = ({ decisions }: { decisions: { decision: string; offer: string; reason: string }[] }) =>
      decisions.find(({ decision }) => decision === 'held')
    expect(preview.statusCode, preview.body).toBe(200)
    expect(heldOf(preview.json())).toMatchObject({ offer: 'b', reason: 'holdout' })
    expect(heldOf(preview.json().with)).toMatchObject({ offer: 'a', reason: 'rule' })
    expect((await put('decisions', 'held', open, revision)).statusCode).toBe(200)
    expect((await interact('f@shop.example', 'web.webpagedetails.pageViews', 'home')).offers.held).toBe('a')
  })

  it('says what is wrong with definitions without changing anything', async () => {
    const check = async (payload: object) =>
      (await shop.server.inject({ method: 'POST', url: '/v1/rules/check', payload })).json()
    expect(await check({ segments: { x: { when: 'segments.keen' } } })).toEqual({ valid: true, problems: [] })
    expect(await check({ segments: { x: { when: 'segments.kee' } } })).toMatchObject({
      valid: false,
      problems: [{ place: 'segments.x.when', message: expect.stringContaining('keen') }],
    })
    expect(await check({ segments: { x: { wen: 'true' } } })).toMatchObject({ valid: false })
  })

  it('says what would have changed over the log, conditions that nothing keeps yet included', async () => {
    const { decisions } = await rules()
    const { definition } = decisions.find(({ name }: { name: string }) => name === 'hero')
    const payload = {
      segments: {
        viewers: { when: 'count(eventType == "commerce.productViews", "2h") >= 2' },
        never: { when: 'exists(eventType == "never", "1h")' },
      },
      decisions: { hero: { ...definition, rules: [] } },
      last: '1h',
    }
    const answer = await shop.server.inject({ method: 'POST', url: '/v1/rules/preview', payload })
    expect(answer.statusCode, answer.body).toBe(200)
    const preview = answer.json()
    const of = (section: 'segments' | 'decisions', name: string) =>
      preview[section].find((it: { name: string }) => it.name === name)
    // Who has three events is in now; with the other rule, who has seen two products: only d.
    expect(of('segments', 'viewers').after).toEqual({ entered: 1, exited: 0, members: 1 })
    expect(of('segments', 'never').after).toEqual({ entered: 0, exited: 0, members: 0 })
    const hero = of('decisions', 'hero')
    expect(hero.after).toEqual({ none: hero.answers })
    expect(hero.changed).toBe(hero.answers - (hero.before.none ?? 0))
    expect(hero.changed).toBeGreaterThan(10)
  })
})
