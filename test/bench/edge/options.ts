import type { PartOptions } from '../j1/children.ts'

/** What the parts of the edge's benchmark are told. */
export interface EdgePartOptions extends PartOptions {
  readonly port: number
  /** Of the server that only reads the store: what a request costs at least. */
  readonly floorPort: number
  readonly requestsPerSecond: number
  readonly seconds: number
}

/** Instant of the events of the requests: after all events of the job. */
export const REQUEST_DELAY_MS = 60_000
