import { describe, expect, it } from 'vitest'
import { formatDuration, parseDuration } from '../../../processors/app/duration.ts'
import { ms } from '../../../processors/app/units.ts'
import { defaultHop, firstPane, paneOf, resolveWindow } from '../../../processors/features/windows.ts'
import { application } from './arbitraries.ts'

const { events } = application({ features: {} })
const resolve = (window: object | string) => {
  const app = application({ features: { n: { kind: 'count', window } } })
  const definition = app.features.n!
  return resolveWindow(definition.kind === 'count' ? definition.window : undefined, events, 'features.n.window')
}

describe('the default hop', () => {
  it.each([
    ['1ms', '1ms'],
    ['13ms', '1ms'],
    ['1s', '50ms'],
    ['1m', '5s'],
    ['5m', '20s'],
    ['7m', '30s'],
    ['10m', '30s'],
    ['30m', '2m'],
    ['1h', '5m'],
    ['90m', '5m'],
    ['6h', '30m'],
    ['12h', '1h'],
    ['24h', '2h'],
    ['7d', '12h'],
    ['30d', '2d'],
    ['90d', '5d'],
    ['365d', '5d'],
  ])('of %s is %s', (length, hop) => {
    expect(formatDuration(ms(defaultHop(parseDuration(length)!)))).toBe(hop)
  })

  it('divides the window and is at most a twelfth of it', () => {
    for (let length = 12; length < 200_000; length += 7) {
      const hop = defaultHop(length)
      expect(length % hop).toBe(0)
      expect(hop / length).toBeLessThanOrEqual(1 / 12)
    }
  })
})

describe('a window', () => {
  it('starts at a hop, rounded down, and ends at the instant, both included', () => {
    const hour = resolve('1h')
    const at = 3_600_000 + 299_999
    expect(firstPane(hour, at)).toBe(0)
    expect(firstPane(hour, at + 1)).toBe(1)
    expect(paneOf(hour, 299_999)).toBe(0)
    expect(paneOf(hour, 300_000)).toBe(1)
  })

  it('works before 1970', () => {
    const hour = resolve('1h')
    expect(paneOf(hour, -1)).toBe(-1)
    expect(paneOf(hour, -300_000)).toBe(-1)
    expect(paneOf(hour, -300_001)).toBe(-2)
    expect(firstPane(resolve({ type: 'tumbling', length: '1h' }), -1)).toBe(-1)
  })

  it.each([
    [{ type: 'sliding' }, 'a sliding window needs a length, such as length: 1h'],
    [{ type: 'tumbling' }, 'a tumbling window needs a length, such as length: 1h'],
    [{ type: 'session' }, 'a session window needs a gap, such as gap: 30m'],
    [{ type: 'lifetime', length: '1h' }, 'a lifetime window has no length. Remove it'],
    [{ type: 'session', gap: '1h', length: '1h' }, 'a session window has no length. Remove it'],
    [{ type: 'tumbling', length: '1h', hop: '1m' }, 'a tumbling window has no hop. Remove it'],
    [{ type: 'sliding', length: '1h', gap: '1m' }, 'a sliding window has no gap. Remove it'],
    [{ type: 'sliding', length: '1h', hop: '7m' }, 'hop 7m does not divide 1h. Use 5m'],
    [{ type: 'sliding', length: '1h', hop: '2h' }, 'hop 2h does not divide 1h. Use 5m'],
    [{ type: 'sliding', length: '1h', hop: '1s' }, '1h in hops of 1s is more than 1500 panes. Use a longer hop'],
    ['86413ms', '86413ms in hops of 1ms is more than 1500 panes. Round the window, or give it a hop that divides it'],
    [{ type: 'session', gap: '1s' }, 'gap 1s is too short for events.lateness 1h. Use at least 2400ms'],
  ])('%j is refused with a remedy', (window, message) => {
    expect(() => resolve(window)).toThrow(`CONFIG features.n.window: ${message}`)
  })
})
