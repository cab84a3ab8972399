/** Longest text that is compared; names here are at most 64 characters, keys from a file may be anything. */
const MAX_LENGTH = 80
/** Most candidates that are looked at. */
const MAX_CANDIDATES = 5_000

/**
 * Edit distance with swaps of neighbours (optimal string alignment), or `limit + 1` once it is sure to be above `limit`.
 * Source: G. V. Bard, "Spelling-error tolerant, order-independent pass-phrases via the Damerau–Levenshtein distance", 2007.
 */
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    let best = i
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, beforeLast[j - 2]! + 1)
      row.push(cost)
      if (cost < best) best = cost
    }
    if (best > limit) return limit + 1
    beforeLast = last
    last = row
  }
  return last[b.length]!
}

/**
 * The candidate that was most likely meant: at most a third of the letters differ (at least one may), letter case and
 * the separators `-`, `_`, `.` count for nothing. Ties go to the first candidate.
 * @returns undefined when nothing is near
 */
export function nearest(text: string, candidates: Iterable<string>): string | undefined {
  if (text.length === 0 || text.length > MAX_LENGTH) return undefined
  const folded = fold(text)
  let found: string | undefined
  let limit = Math.max(1, Math.floor(text.length / 3))
  let looked = 0
  for (const candidate of candidates) {
    if (++looked > MAX_CANDIDATES) break
    if (candidate === text || candidate.length > MAX_LENGTH) continue
    const steps = distance(folded, fold(candidate), limit)
    if (steps > limit || (found !== undefined && steps === limit)) continue
    found = candidate
    limit = steps
    if (steps === 0) break
  }
  return found
}

function fold(text: string): string {
  return text.toLowerCase().replaceAll(/[-_.]/g, '')
}

/** ` Did you mean "x"?`, or the valid names when nothing is near and they are few, or ''. Starts with a space. */
export function didYouMean(text: string, candidates: Iterable<string>): string {
  const all = [...candidates]
  const found = nearest(text, all)
  if (found !== undefined) return ` Did you mean ${JSON.stringify(found)}?`
  if (all.length === 0) return ''
  const shown = all.slice(0, 20).join(', ')
  return ` Valid: ${shown}${all.length > 20 ? `, … (${all.length} in all)` : ''}.`
}
