/** What is wrong, for whoever is on call: the compacted topic `alerts`, one JSON object a record. */
import type { EpochMs } from '../app/units.ts'

export interface AlertRecord {
  readonly app: string
  /** Name under `learners`. */
  readonly learner: string
  /** A short name that stays: `labels-silent`, `rolled-back` …; docs/learning.md lists them. */
  readonly code: string
  /** What of several, such as a feature. */
  readonly subject?: string | undefined
  readonly severity: 'info' | 'warning' | 'critical'
  /** open: it is so now; closed: it is over, or it was one moment's event. */
  readonly state: 'open' | 'closed'
  readonly text: string
  readonly since: EpochMs
  readonly at: EpochMs
}

/** Key: one alert from opening to closing, so that compaction leaves how it ended. */
export function alertRecord(topic: string, alert: AlertRecord): { topic: string; key: Buffer; value: Buffer } {
  const { learner, code, subject, since, at } = alert
  const key = JSON.stringify([learner, code, subject ?? null, since])
  const json = { ...alert, since: new Date(since).toISOString(), at: new Date(at).toISOString() }
  return { topic, key: Buffer.from(key), value: Buffer.from(JSON.stringify(json)) }
}
