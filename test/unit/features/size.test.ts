import { describe, expect, it } from 'vitest'
import { createExpressions } from '../../../processors/expressions/index.ts'
import { createFeatureSet, type KeyState } from '../../../processors/features/index.ts'
import { application, event } from './arbitraries.ts'

const views = 'commerce.productViews'
const adds = 'commerce.productListAdds'
const types = [views, views, views, views, views, views, adds, adds, 'commerce.purchases']

/** The ten features of the bench's job. */
const job = application({
  features: {
    n_5m: { kind: 'count', window: '5m' },
    n_1h: { kind: 'count', window: '1h' },
    n_24h: { kind: 'count', window: '24h' },
    amount_1h: { kind: 'sum', value: 'amount', window: '1h' },
    basket_1h: { kind: 'mean', value: 'amount', window: '1h' },
    skus_24h: { kind: 'distinct', value: 'sku', window: '24h' },
    last_types: { kind: 'lastN', value: 'eventType', n: 5, encode: { vocabulary: [...new Set(types)] } },
    rate_1h: {
      kind: 'ratio',
      numerator: `eventType == "${adds}"`,
      denominator: `eventType == "${views}"`,
      window: '1h',
    },
    away: { kind: 'recency' },
    interest: { kind: 'decayedCount', halfLife: '30m' },
  },
})

/** Numerical Recipes' generator: the same log in every run. */
function randoms(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Mean size of 200 profiles of 20 events each, at random times of `hours`. */
function meanSize(hours: number): number {
  const random = randoms(7)
  const kernel = createFeatureSet(job, createExpressions()).entities.get('profile')!
  let bytes = 0
  for (let profile = 0; profile < 200; profile++) {
    const state: KeyState = kernel.empty()
    const times = Array.from({ length: 20 }, () => 1.7e12 + Math.floor(random() * hours * 3_600_000)).sort()
    for (const [i, ts] of times.entries()) {
      const eventType = types[Math.floor(random() * types.length)]!
      const amount = eventType === 'commerce.purchases' ? { amount: Math.floor(random() * 20_000) / 100 } : {}
      const fields = { eventType, sku: `SKU-${Math.floor(random() * 5_000)}`, ...amount }
      kernel.update(state, event(`${profile}-${i}`, ts, fields))
    }
    bytes += kernel.encode(state).length
  }
  return bytes / 200
}

describe('the packed state of ten features and twenty events', () => {
  it.each([
    [24, 200],
    [6, 200],
    // All sixteen ids of the ring are inside the dedup window: 112 bytes of them.
    [1, 260],
  ])('spread over %i h takes at most %i bytes on average', (hours, most) => {
    expect(meanSize(hours)).toBeLessThanOrEqual(most)
  })
})
