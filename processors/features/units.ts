/**
 * Fixed-point sums. A value is rounded to the nearest multiple of the unit (halves up), and multiples are added as
 * integers: the sum is exact, and so independent of order, while it stays below 2^53 units; beyond that it is an
 * ordinary float64 sum. With the default unit of a millionth that is up to ±9.0e9.
 */

/** Units in 1: `1 / unit`, as a whole number where it is one, because dividing by it then rounds only once. */
export function scaleOf(unit: number): number {
  const exact = 1 / unit
  const whole = Math.round(exact)
  return whole > 0 && Math.abs(exact - whole) <= whole * 1e-12 ? whole : exact
}

/** The value in whole units. */
export function toUnits(value: number, scale: number): number {
  return Math.round(value * scale) + 0
}
