import { expect, it } from 'vitest'
import { slopeOf } from './slope.ts'

it('is what a straight line grows by in a minute', () => {
  expect(slopeOf([0, 1, 2, 3].map((minute) => [minute, 100 + 2.5 * minute] as const))).toBeCloseTo(2.5, 12)
})

it('is nothing for a saw that comes back to where it was', () => {
  expect(slopeOf([5, 9, 5, 9, 5, 9, 5].map((value, minute) => [minute, value] as const))).toBeCloseTo(0, 12)
})

it('is nothing when there is nothing to compare', () => {
  expect(slopeOf([])).toBe(0)
  expect(slopeOf([[1, 7]])).toBe(0)
})
