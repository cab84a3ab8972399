/**
 * How often offers were displayed and used, counted in the profile stage and followed by every edge: one record a batch with
 * such events, in the batch's commit, so each event counts once. They name nobody.
 */
import type { XdmEvent } from '../../app/event.ts'
import type { LogRecord, NewRecord } from '../../engine/ports.ts'

/** `<decision>/<offer>` → displays, interactions. */
export type Exposures = Map<string, { displays: number; interactions: number }>

/** Offers of one record. */
const OFFERS_MAX = 10_000

/** @param tenant namespace of `displayed` and `interacted` */
export function addExposures(
  counts: Exposures,
  { xdm }: Pick<XdmEvent, 'xdm'>,
  tenant: string,
  learned: ReadonlySet<string>,
): void {
  const own = xdm[tenant] as { displayed?: unknown; interacted?: unknown } | undefined
  if (own === undefined) return
  for (const offer of among(own.displayed, learned)) countOf(counts, offer).displays++
  for (const offer of among(own.interacted, learned)) countOf(counts, offer).interactions++
}

/** Each offer once: an event is one display, however often it names it. */
const among = (offers: unknown, learned: ReadonlySet<string>): Set<string> =>
  new Set(Array.isArray(offers) ? offers.filter((it): it is string => learned.has(it)) : [])

function countOf(counts: Exposures, offer: string) {
  let count = counts.get(offer)
  if (!count) {
    count = { displays: 0, interactions: 0 }
    counts.set(offer, count)
  }
  return count
}

/** Value: `{"<decision>/<offer>": [displays, interactions]}`. */
export function exposureRecord(topic: string, counts: Exposures): NewRecord {
  const value = [...counts].map(([offer, { displays, interactions }]) => [offer, [displays, interactions]])
  return { topic, key: null, value: Buffer.from(JSON.stringify(Object.fromEntries(value))) }
}

/** @returns nothing for what is no such record */
export function parseExposures({ value }: Pick<LogRecord, 'value'>): Exposures {
  const counts: Exposures = new Map()
  let parsed: unknown
  try {
    parsed = JSON.parse(value?.toString() ?? 'null')
  } catch {
    return counts
  }
  if (typeof parsed !== 'object' || parsed === null) return counts
  for (const [offer, pair] of Object.entries(parsed).slice(0, OFFERS_MAX)) {
    const [displays, interactions] = Array.isArray(pair) ? (pair as unknown[]) : []
    if (isCount(displays) && isCount(interactions)) counts.set(offer, { displays, interactions })
  }
  return counts
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
