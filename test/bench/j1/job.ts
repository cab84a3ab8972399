/** Job J1: what the events are, and where they go. One place for its figures. */
export const JOB = {
  topic: 'raw.clicks',
  events: 2_000_000,
  partitions: 4,
  profiles: 100_000,
  zipf: 1.1,
  /** Share of events that are older than those before them, by up to `lateMs`. */
  outOfOrder: 0.01,
  lateMs: 60_000,
  /** Share of records that repeat one of the last `repeatWithin` records, as a producer does that got no answer. */
  duplicates: 0.001,
  repeatWithin: 30,
  skus: 5_000,
  eventBytes: 200,
  /** Event time of the first event, 2026-01-05T00:00:00Z, and from the first to the last: longer than the longest window. */
  startMs: Date.UTC(2026, 0, 5),
  spanMs: 30 * 3_600_000,
  seed: 20_260_105,
} as const

/** Share of the events by type, and whether they are about a product. */
export const TYPES = [
  { type: 'commerce.productViews', share: 0.45, hasProduct: true },
  { type: 'web.webpagedetails.pageViews', share: 0.3, hasProduct: false },
  { type: 'commerce.productListAdds', share: 0.18, hasProduct: true },
  { type: 'commerce.purchases', share: 0.07, hasProduct: true },
] as const

/** What a record of J1 says, as `JSON.parse` gives it. */
export interface RawClick {
  readonly id: string
  readonly time: number
  readonly type: string
  readonly visitor: string
  readonly sku?: string
  readonly amount?: number
  readonly url: string
}

export const keyOf = (visitor: string): string => `ECID:${visitor}`
