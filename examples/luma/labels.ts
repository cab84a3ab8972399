/** The question that the demo's model answers, in one place: training and the demo's honest AUC both ask it here. */

export const ATTRIBUTION_MS = 24 * 3_600_000

export interface Labelled {
  readonly profile: string
  readonly ts: number
  readonly isPurchase: boolean
}

/**
 * Label of each event: does the profile purchase within 24 h after it? 1, 0, or undefined where there is no honest
 * answer: the purchase itself (it would be its own label), and events so near to the end of the data that the window
 * isn't over. The purchase must come strictly later than the event.
 */
export function labelsOf(events: readonly Labelled[]): (0 | 1 | undefined)[] {
  const purchases = new Map<string, number[]>()
  let end = Number.NEGATIVE_INFINITY
  for (const { profile, ts, isPurchase } of events) {
    end = Math.max(end, ts)
    if (!isPurchase) continue
    const times = purchases.get(profile)
    if (times) times.push(ts)
    else purchases.set(profile, [ts])
  }
  return events.map(({ profile, ts, isPurchase }) => {
    if (isPurchase || ts + ATTRIBUTION_MS > end) return undefined
    return purchases.get(profile)?.some((at) => at > ts && at <= ts + ATTRIBUTION_MS) ? 1 : 0
  })
}

/** Area under the ROC curve by ranks, ties at their mean rank; NaN with one class. Source: Mann–Whitney U / (n₁·n₀). */
export function areaUnderRoc(scores: readonly number[], labels: readonly (0 | 1)[]): number {
  const order = scores.map((_, index) => index).sort((a, b) => scores[a]! - scores[b]!)
  let rankSum = 0
  let positives = 0
  for (let at = 0; at < order.length; ) {
    let end = at
    while (end < order.length && scores[order[end]!] === scores[order[at]!]) end++
    for (let tie = at; tie < end; tie++) {
      if (labels[order[tie]!] !== 1) continue
      rankSum += (at + 1 + end) / 2
      positives++
    }
    at = end
  }
  const negatives = order.length - positives
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives)
}
