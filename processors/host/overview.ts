import type { Overview } from '../edge/server.ts'
import { stageState } from '../edge/server.ts'
import type { Worker } from './start.ts'

/** A worker's figures as the page shows them. */
export function overviewOf(worker: Worker): Overview {
  const { metrics, opened, running } = worker
  const finite = (seconds: number) => (Number.isNaN(seconds) ? null : seconds * 1_000)
  const { app } = opened
  const total = metrics.total
  const fed = Object.keys(app.sources).map((source) => ({
    name: `raw.${source}`,
    events: total('rtml_events_total', [`map.${source}`, 'mapped']) + total('rtml_rejected_total', [`map.${source}`]),
  }))
  return {
    app: app.name,
    engine: worker.engine.name,
    topics: [
      ...fed,
      { name: 'profile.scores', events: total('rtml_events_total', ['profile', 'applied']) },
      { name: 'dead letters', events: total('rtml_rejected_total') },
    ],
    stages: (running?.service.status() ?? []).map((stage) => ({
      name: stage.stage,
      state: stageState(stage),
      shards: stage.shards.size,
    })),
    counts: {
      mapped: Object.keys(app.sources).reduce(
        (sum, source) => sum + total('rtml_events_total', [`map.${source}`, 'mapped']),
        0,
      ),
      rejected: total('rtml_rejected_total'),
      applied: total('rtml_events_total', ['profile', 'applied']),
      duplicates: total('rtml_events_total', ['profile', 'duplicate']),
      late: total('rtml_events_total', ['profile', 'late']),
      scores: total('rtml_scores_total'),
    },
    latencyMs: {
      p50: finite(metrics.quantile('rtml_event_latency_seconds', ['profile'], 0.5)),
      p99: finite(metrics.quantile('rtml_event_latency_seconds', ['profile'], 0.99)),
    },
  }
}
