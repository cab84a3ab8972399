import type { Updated } from '../../features/types.ts'
import type { Metrics } from '../telemetry.ts'

/** Events of a batch by what they did to their state. Counted here and reported once: a metric an event costs about a microsecond. */
export type Outcomes = Record<Updated, number>

export const noOutcomes = (): Outcomes => ({ applied: 0, duplicate: 0, late: 0 })

export function reportOutcomes(metrics: Metrics, stage: string, outcomes: Outcomes): void {
  for (const outcome of ['applied', 'duplicate', 'late'] as const) {
    if (outcomes[outcome] > 0) metrics.count('rtml_events_total', [stage, outcome], outcomes[outcome])
  }
}
