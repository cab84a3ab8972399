import type { Metrics } from '../telemetry.ts'

/** What became of samples and outcomes in a batch. Counted here and reported once: a metric a row costs about a microsecond. */
export class LabelCounts {
  readonly #samples = new Map<string, number>()
  readonly #outcomes = new Map<string, number>()
  readonly #positives = new Map<string, number>()

  sample(label: string, result: string, by = 1): void {
    add(this.#samples, `${label}\0${result}`, by)
  }

  outcome(label: string, result: string): void {
    add(this.#outcomes, `${label}\0${result}`, 1)
  }

  positive(label: string): void {
    add(this.#positives, label, 1)
  }

  report(metrics: Metrics): void {
    for (const [key, count] of this.#samples) metrics.count('rtml_label_samples_total', key.split('\0'), count)
    for (const [key, count] of this.#outcomes) metrics.count('rtml_label_outcomes_total', key.split('\0'), count)
    for (const [label, count] of this.#positives) metrics.count('rtml_label_positives_total', [label], count)
  }
}

const add = (counts: Map<string, number>, key: string, by: number) => counts.set(key, (counts.get(key) ?? 0) + by)
