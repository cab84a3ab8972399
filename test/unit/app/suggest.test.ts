import { describe, expect, it } from 'vitest'
import { didYouMean, nearest } from '../../../processors/app/suggest.ts'

describe('nearest', () => {
  it.each([
    ['view_1h', ['sum_1h', 'views_1h'], 'views_1h'],
    ['viewCount', ['view-count'], 'view-count'],
    ['exactly_once', ['at-least-once', 'exactly-once'], 'exactly-once'],
    ['coutn', ['count', 'sum'], 'count'],
    ['x', ['views'], undefined],
    ['', ['a'], undefined],
    ['purchases', ['views', 'carts'], undefined],
    ['a'.repeat(1_000), ['a'], undefined],
  ])('of %s', (text, candidates, wanted) => {
    expect(nearest(text, candidates)).toBe(wanted)
  })

  it('looks at a bounded number of candidates', () => {
    let asked = 0
    const endless = {
      *[Symbol.iterator]() {
        for (;;) yield `name${asked++}`
      },
    }
    nearest('zzzzzzzz', endless)
    expect(asked).toBeLessThan(6_000)
  })
})

describe('didYouMean', () => {
  it('lists the valid names when none is near, cut to twenty', () => {
    expect(didYouMean('zzzz', ['a', 'b'])).toBe(' Valid: a, b.')
    expect(
      didYouMean(
        'zzzz',
        Array.from({ length: 30 }, (_, i) => `n${i}`),
      ),
    ).toMatch(/n19, … \(30 in all\)\.$/)
    expect(didYouMean('zzzz', [])).toBe('')
  })
})
