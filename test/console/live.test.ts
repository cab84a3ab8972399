import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { securityFrom } from '../../processors/edge/auth/security.ts'
import { quantileMs } from '../../processors/edge/live.ts'
import { type Luma, luma } from './browser.ts'

let app: Luma
let address: string
beforeAll(async () => {
  app = await luma()
  address = await app.serve(securityFrom({}, '127.0.0.1'))
})
afterAll(() => app[Symbol.asyncDispose]())

interface Frame {
  readonly app: string
  readonly stages: readonly {
    readonly name: string
    readonly rateHz: number | null
    readonly lagEvents: number | null
  }[]
  readonly topics: readonly { readonly name: string; readonly appended: number }[]
  readonly edges: readonly { readonly from: string; readonly to: string }[]
  readonly scores: readonly { readonly profile: string }[]
}

/** Frames of a stream, until `enough`. */
async function frames(enough: (frame: Frame) => boolean): Promise<Frame[]> {
  const answer = await fetch(`${address}v1/live`)
  expect(answer.headers.get('content-type')).toBe('text/event-stream')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  const seen: Frame[] = []
  let text = ''
  for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
    const events = (text + chunk).split('\n\n')
    text = events.pop()!
    for (const event of events) if (event.startsWith('data: ')) seen.push(JSON.parse(event.slice(6)) as Frame)
    if (seen.some(enough)) return seen
  }
  throw new Error('the stream ended')
}

describe('live figures', () => {
  it('show stages, topics, what flows between them, and rates once events flow', async () => {
    const follow = frames(({ stages }) => stages.some(({ name, rateHz }) => name === 'profile' && (rateHz ?? 0) > 0))
    const playing = setInterval(() => void app.play(20).catch(() => {}), 100)
    const seen = await follow
    clearInterval(playing)
    const last = seen.at(-1)!
    expect(last.app).toBe('luma')
    expect(last.edges).toContainEqual({ from: 'topic:raw.web', to: 'stage:map.web' })
    expect(last.edges).toContainEqual({ from: 'stage:profile', to: 'topic:profile.scores' })
    const [{ profile } = { profile: '' }] = (await frames(({ scores }) => scores.length > 0)).at(-1)!.scores
    expect(profile).toMatch(/^ECID:\d+$/)
  })

  it('refuse the thirty-third viewer, and let the next one in when one leaves', async () => {
    const viewers = await Promise.all(
      Array.from({ length: 32 }, async () => {
        const stop = new AbortController()
        const answer = await fetch(`${address}v1/live`, { signal: stop.signal })
        expect(answer.status).toBe(200)
        return stop
      }),
    )
    const refused = await fetch(`${address}v1/live`)
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toBe('10')
    viewers.pop()!.abort()
    await expect
      .poll(async () => {
        const stop = new AbortController()
        const { status } = await fetch(`${address}v1/live`, { signal: stop.signal })
        stop.abort()
        return status
      })
      .toBe(200)
    for (const stop of viewers) stop.abort()
  })

  it('let a viewer who takes nothing miss frames, and serve the others', async () => {
    const { port } = new URL(address)
    const slow = connect(Number(port), '127.0.0.1')
    await new Promise((resolve) => slow.once('connect', resolve))
    slow.pause()
    slow.write(`GET /v1/live HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`)
    let count = 0
    const seen = await frames(() => ++count >= 2)
    expect(seen.length).toBeGreaterThanOrEqual(2)
    slow.destroy()
  })
})

describe('a quantile of counts', () => {
  it.each([
    [[0, 0, 0], 0.5, null],
    [[10, 0, 0], 0.5, 0.5],
    [[0, 10, 0], 0.5, 1.5],
    [[5, 5, 0], 0.99, 1.98],
    [[0, 0, 4], 0.5, 2],
  ])('of %j at %d is %s ms', (counts, q, expected) => {
    const found = quantileMs(counts, [0.001, 0.002], q)
    if (expected === null) expect(found).toBeNull()
    else expect(found).toBeCloseTo(expected, 6)
  })
})
