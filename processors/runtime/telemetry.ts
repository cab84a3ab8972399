/** The one table of metric names: base units, few labels, none unbounded. */
export const METRICS = {
  rtml_events_total: {
    type: 'counter',
    labels: ['stage', 'outcome'],
    help: 'Events by stage and outcome: applied, duplicate, late, mapped, rejected, skipped, rebuilt',
  },
  rtml_rejected_total: { type: 'counter', labels: ['stage', 'code'], help: 'Dead letters by stage and reason code' },
  rtml_nulled_total: {
    type: 'counter',
    labels: ['source', 'path'],
    help: 'Optional fields that became null because their value failed',
  },
  rtml_scores_total: {
    type: 'counter',
    labels: ['model', 'version', 'role', 'fallback'],
    help: 'Scores by model and fallback',
  },
  rtml_label_samples_total: {
    type: 'counter',
    labels: ['label', 'result'],
    help: 'Samples by what became of them: example, settled, copy, late, expired, unlabelled, duplicate, overflow, lost',
  },
  rtml_label_outcomes_total: {
    type: 'counter',
    labels: ['label', 'result'],
    help: 'Outcomes by what became of them: taken, duplicate, late, overflow',
  },
  rtml_label_positives_total: { type: 'counter', labels: ['label'], help: 'Settled samples that an outcome came for' },
  rtml_state_cache_total: { type: 'counter', labels: ['stage', 'result'], help: 'State look-ups by result: hit, miss' },
  rtml_segment_transitions_total: {
    type: 'counter',
    labels: ['segment', 'status'],
    help: 'Profiles that entered (realized) or left (exited) a segment',
  },
  rtml_ticks_total: { type: 'counter', labels: [], help: 'Timers that were due: profiles looked at without an event' },
  rtml_timers_near: { type: 'gauge', labels: ['partition'], help: 'Timers that are held in memory' },
  rtml_fenced_total: { type: 'counter', labels: ['stage'], help: 'Writes refused because a newer owner exists' },
  rtml_recoveries_total: {
    type: 'counter',
    labels: ['stage', 'kind'],
    help: 'Recoveries by kind: clean, ahead, behind, empty, snapshot',
  },
  rtml_retries_total: {
    type: 'counter',
    labels: ['dependency'],
    help: 'Operations repeated because a dependency did not answer',
  },
  rtml_lag_events: {
    type: 'gauge',
    labels: ['topic', 'partition'],
    help: 'Offsets between the end of the log and the applied position',
  },
  rtml_outbox_bytes: { type: 'gauge', labels: ['stage', 'partition'], help: 'Outputs applied and not yet published' },
  rtml_shards_owned: { type: 'gauge', labels: ['stage'], help: 'Shards this process owns' },
  rtml_dependency_up: { type: 'gauge', labels: ['dependency'], help: '1 when the dependency answers' },
  rtml_model_info: { type: 'gauge', labels: ['model', 'version', 'role'], help: '1 for each loaded model version' },
  rtml_model_swap_seconds: {
    type: 'histogram',
    labels: ['service'],
    help: 'Seconds from the record of a change of routing until it serves in this process',
  },
  rtml_model_refused_total: {
    type: 'counter',
    labels: ['service'],
    help: 'Versions that were given a role and cannot serve in this process',
  },
  rtml_stage_seconds: {
    type: 'histogram',
    labels: ['stage', 'step'],
    help: 'Seconds a batch spends in a step: prepare, load, compute, outputs, apply, publish',
  },
  rtml_batch_events: { type: 'histogram', labels: ['stage'], help: 'Events in a batch' },
  rtml_event_latency_seconds: {
    type: 'histogram',
    labels: ['stage'],
    help: 'Seconds from append of the input record to publication of its outputs',
  },
  rtml_http_requests_total: {
    type: 'counter',
    labels: ['route', 'status'],
    help: 'Answers of the HTTP edge by route and status',
  },
  rtml_http_seconds: { type: 'histogram', labels: ['route'], help: 'Seconds from request to answer' },
  rtml_learner_examples_total: {
    type: 'counter',
    labels: ['learner', 'outcome'],
    help: 'Training examples read: taken, other (of another label), refused (not readable)',
  },
  rtml_learner_versions_total: { type: 'counter', labels: ['learner'], help: 'Versions that went out' },
  rtml_learner_restarts_total: {
    type: 'counter',
    labels: ['learner'],
    help: 'Times that it went on from its checkpoint',
  },
  rtml_learner_alerts_total: {
    type: 'counter',
    labels: ['learner', 'code'],
    help: 'Alerts that were raised; docs/learning.md lists the codes',
  },
  rtml_learner_alerts_open: { type: 'gauge', labels: ['learner'], help: 'Alerts that are open' },
  rtml_learner_learned: { type: 'gauge', labels: ['learner'], help: 'Examples learned since it began' },
  rtml_learner_labels: { type: 'gauge', labels: ['learner'], help: 'Settled labels that models were judged by' },
  rtml_learner_share: { type: 'gauge', labels: ['learner'], help: 'Share of the profiles that it serves' },
  rtml_learner_paused: {
    type: 'gauge',
    labels: ['learner'],
    help: '1 while it serves and neither learns nor sends out versions, because labels cannot be trusted',
  },
  rtml_learner_drifts: {
    type: 'gauge',
    labels: ['learner'],
    help: 'Times that the error rate was found to have risen (DDM)',
  },
  rtml_learner_drift_psi: {
    type: 'gauge',
    labels: ['learner', 'feature'],
    help: 'Population stability index beyond chance, of the features that moved most and of the served score',
  },
  rtml_learner_lag_records: { type: 'gauge', labels: ['learner'], help: 'Records of training.examples not read yet' },
  rtml_model_quality: {
    type: 'gauge',
    labels: ['learner', 'model', 'figure'],
    help: 'logLoss, auc, calibrationError, rmse over the last labels, by model and by what was served (role:model)',
  },
  rtml_intake_bytes: { type: 'gauge', labels: [], help: 'Bytes accepted over HTTP that wait for the log' },
} as const satisfies Record<
  string,
  { type: 'counter' | 'gauge' | 'histogram'; labels: readonly string[]; help: string }
>

export type MetricName = keyof typeof METRICS

/** Where the runtime reports figures. Label values in the order of the table. */
export interface Metrics {
  count(name: MetricName, labels: readonly string[], by?: number): void
  gauge(name: MetricName, labels: readonly string[], value: number): void
  observe(name: MetricName, labels: readonly string[], value: number): void
  /** Drops a gauge's series, or the series of a counter whose labels begin so: for labels that come and go. Sums stay. */
  forget?(name: MetricName, labels: readonly string[]): void
}

/** Structured log: one event a line, a stable message, ids as fields, never payloads. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export const silentMetrics: Metrics = { count() {}, gauge() {}, observe() {} }
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
