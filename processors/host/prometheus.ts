import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { quantileOf } from '../runtime/quantile.ts'
import { METRICS, type MetricName, type Metrics } from '../runtime/telemetry.ts'

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const EVENTS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000]

export interface PrometheusMetrics extends Metrics {
  /** Text exposition format. */
  expose(): Promise<string>
  readonly contentType: string
  /** Sum of a counter over all series whose labels begin with `labels`. */
  total(name: MetricName, labels?: readonly string[]): number
  /** Counts of a histogram's buckets since the start; the last one is above all bounds. */
  buckets(
    name: MetricName,
    labels: readonly string[],
  ): { readonly bounds: readonly number[]; readonly counts: number[] }
  /** Quantile of a histogram's observations by linear interpolation in its buckets; NaN without observations. */
  quantile(name: MetricName, labels: readonly string[], q: number): number
}

/** Prometheus metrics of one process, by the table in runtime/telemetry.ts. */
export function prometheusMetrics(): PrometheusMetrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const counters = new Map<MetricName, Counter>()
  const gauges = new Map<MetricName, Gauge>()
  const histograms = new Map<MetricName, Histogram>()
  // Beside prom-client's own series, for the console and the demo: reading those back is asynchronous.
  const totals = new Map<string, number>()
  const observed = new Map<string, number[]>()
  for (const [name, { type, labels, help }] of Object.entries(METRICS) as [
    MetricName,
    (typeof METRICS)[MetricName],
  ][]) {
    const settings = { name, help, labelNames: [...labels], registers: [registry] }
    if (type === 'counter') counters.set(name, new Counter(settings))
    else if (type === 'gauge') gauges.set(name, new Gauge(settings))
    else histograms.set(name, new Histogram({ ...settings, buckets: bucketsOf(name) }))
  }
  return {
    count(name, labels, by = 1) {
      counters
        .get(name)
        ?.labels(...labels)
        .inc(by)
      const id = idOf(name, labels)
      totals.set(id, (totals.get(id) ?? 0) + by)
    },
    gauge(name, labels, value) {
      gauges
        .get(name)
        ?.labels(...labels)
        .set(value)
    },
    observe(name, labels, value) {
      histograms
        .get(name)
        ?.labels(...labels)
        .observe(value)
      const id = idOf(name, labels)
      const buckets = bucketsOf(name)
      let counts = observed.get(id)
      if (!counts) {
        counts = new Array<number>(buckets.length + 1).fill(0)
        observed.set(id, counts)
      }
      const found = buckets.findIndex((bound) => value <= bound)
      const at = found === -1 ? buckets.length : found
      counts[at] = counts[at]! + 1
    },
    forget(name, labels) {
      if (METRICS[name].labels.length === labels.length) gauges.get(name)?.remove(...labels)
      const prefix = `${idOf(name, labels)}\0`
      for (const [id, value] of totals) {
        if (!id.startsWith(prefix)) continue
        counters.get(name)?.remove(...id.split('\0').slice(1))
        // What was counted stays in the sum of the metric.
        totals.delete(id)
        const rest = idOf(name, [FORGOTTEN])
        totals.set(rest, (totals.get(rest) ?? 0) + value)
      }
    },
    expose: () => registry.metrics(),
    contentType: registry.contentType,
    total(name, labels = []) {
      const prefix = idOf(name, labels)
      let sum = 0
      for (const [id, value] of totals) if (id === prefix || id.startsWith(`${prefix}\0`)) sum += value
      return sum
    },
    buckets: (name, labels) => ({ bounds: bucketsOf(name), counts: observed.get(idOf(name, labels)) ?? [] }),
    quantile(name, labels, q) {
      return quantileOf(observed.get(idOf(name, labels)) ?? [], bucketsOf(name), q)
    },
  }
}

const FORGOTTEN = '(forgotten)'

const bucketsOf = (name: MetricName) => (name === 'rtml_batch_events' ? EVENTS : SECONDS)
const idOf = (name: MetricName, labels: readonly string[]) => [name, ...labels].join('\0')
