/**
 * Quantile of a histogram, by linear interpolation inside its bucket.
 * @param counts observations by bucket; @param bounds upper bounds of the buckets
 * @returns in the unit of the bounds; NaN without observations
 */
export function quantileOf(counts: readonly number[], bounds: readonly number[], q: number): number {
  const total = counts.reduce((sum, count) => sum + count, 0)
  let below = 0
  for (const [index, count] of counts.entries()) {
    if (count > 0 && below + count >= q * total) {
      const low = bounds[index - 1] ?? 0
      const high = bounds[index] ?? low
      return low + ((high - low) * (q * total - below)) / count
    }
    below += count
  }
  return Number.NaN
}
