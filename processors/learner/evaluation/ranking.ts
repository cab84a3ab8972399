/** Measures of order: area under the ROC curve and under the precision-recall curve. */
import { StateReader, StateWriter } from '../bytes.ts'

interface Ranked {
  /** Rising. */
  readonly scores: Float64Array
  readonly labels: Uint8Array
}

/**
 * Both classes are sorted on their own and merged: sorting plain numbers is ten times as fast as sorting indexes with a
 * comparison, and a learning curve ranks everything again and again.
 */
function ranked(scores: Float64Array, labels: Uint8Array): Ranked {
  let hits = 0
  for (let i = 0; i < labels.length; i++) hits += labels[i]!
  const positives = new Float64Array(hits)
  const negatives = new Float64Array(labels.length - hits)
  for (let i = 0, p = 0, n = 0; i < labels.length; i++) {
    if (labels[i] === 1) positives[p++] = scores[i]!
    else negatives[n++] = scores[i]!
  }
  positives.sort()
  negatives.sort()
  const merged = { scores: new Float64Array(labels.length), labels: new Uint8Array(labels.length) }
  for (let i = 0, p = 0, n = 0; i < labels.length; i++) {
    const isPositive = n === negatives.length || (p < positives.length && positives[p]! < negatives[n]!)
    merged.scores[i] = isPositive ? positives[p++]! : negatives[n++]!
    merged.labels[i] = isPositive ? 1 : 0
  }
  return merged
}

/**
 * Area under the ROC curve: the chance that a positive scores above a negative, ties counting half; NaN with one class.
 * Source: Mann–Whitney U / (n₁·n₀) by mean ranks.
 */
export const rocArea = (scores: Float64Array, labels: Uint8Array): number => rocAreaOf(ranked(scores, labels))

function rocAreaOf({ scores, labels }: Ranked): number {
  let rankSum = 0
  let positives = 0
  for (let at = 0; at < scores.length; ) {
    let end = at + 1
    let hits = labels[at]!
    while (end < scores.length && scores[end] === scores[at]) hits += labels[end++]!
    rankSum += hits * ((at + 1 + end) / 2)
    positives += hits
    at = end
  }
  const negatives = scores.length - positives
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives)
}

/**
 * Average precision: Σ (recall step) · precision, over falling scores, equal scores in one step; NaN without a positive.
 * It is the area under the precision-recall curve without the optimistic straight lines.
 */
export const averagePrecision = (scores: Float64Array, labels: Uint8Array): number =>
  averagePrecisionOf(ranked(scores, labels))

function averagePrecisionOf({ scores, labels }: Ranked): number {
  let hits = 0
  let taken = 0
  let sum = 0
  for (let end = scores.length; end > 0; ) {
    let start = end - 1
    let tied = labels[start]!
    while (start > 0 && scores[start - 1] === scores[end - 1]) tied += labels[--start]!
    hits += tied
    taken += end - start
    sum += tied * (hits / taken)
    end = start
  }
  return sum / hits
}

export interface CalibrationBin {
  readonly labels: number
  readonly meanPrediction: number
  readonly meanLabel: number
}

/**
 * Bins of equal numbers of labels by rising prediction. Equal predictions stay in one bin, so a bin may be larger.
 * @param count bins at most; fewer where many predictions are equal
 */
export const calibrationBins = (scores: Float64Array, labels: Uint8Array, count = 10): CalibrationBin[] =>
  calibrationBinsOf(ranked(scores, labels), count)

function calibrationBinsOf({ scores, labels }: Ranked, count: number): CalibrationBin[] {
  const bins: CalibrationBin[] = []
  let at = 0
  while (at < scores.length) {
    const target = Math.ceil(((bins.length + 1) * scores.length) / count)
    let end = Math.max(at + 1, target)
    while (end < scores.length && scores[end] === scores[end - 1]) end++
    let prediction = 0
    let label = 0
    for (let i = at; i < end; i++) {
      prediction += scores[i]!
      label += labels[i]!
    }
    bins.push({ labels: end - at, meanPrediction: prediction / (end - at), meanLabel: label / (end - at) })
    at = end
  }
  return bins
}

/** Expected calibration error: Σ (n_b / n)·|mean prediction − mean label|. */
export function calibrationError(bins: readonly CalibrationBin[]): number {
  let labels = 0
  let sum = 0
  for (const bin of bins) {
    labels += bin.labels
    sum += bin.labels * Math.abs(bin.meanPrediction - bin.meanLabel)
  }
  return sum / labels
}

export interface RankingSummary {
  readonly auc: number
  readonly prAuc: number
  readonly calibrationError: number
}

const BINS = 10

function summaryOf(scores: Float64Array, labels: Uint8Array): RankingSummary {
  const order = ranked(scores, labels)
  return {
    auc: rocAreaOf(order),
    prAuc: averagePrecisionOf(order),
    calibrationError: calibrationError(calibrationBinsOf(order, BINS)),
  }
}

const WINDOW_KIND = 'ranking-window'

/** The last predictions and labels, exactly. AUC is NaN while the window holds one class only. */
export class RankingWindow {
  readonly size: number
  readonly #scores: Float64Array
  readonly #labels: Uint8Array
  #added = 0

  constructor(size: number) {
    if (!(Number.isInteger(size) && size >= 2 && size <= 10_000_000)) throw new RangeError(`a window of ${size} labels`)
    this.size = size
    this.#scores = new Float64Array(size)
    this.#labels = new Uint8Array(size)
  }

  static decode(bytes: Uint8Array): RankingWindow {
    const reader = new StateReader(bytes, WINDOW_KIND)
    const window = new RankingWindow(reader.u32())
    window.#added = reader.f64()
    const length = window.length
    window.#scores.set(reader.f64s(length))
    window.#labels.set(reader.bytes(length))
    reader.end()
    return window
  }

  encode(): Uint8Array {
    const { length } = this
    return new StateWriter(WINDOW_KIND)
      .u32(this.size)
      .f64(this.#added)
      .f64s(this.#scores.subarray(0, length))
      .bytes(this.#labels.subarray(0, length))
      .done()
  }

  get length(): number {
    return Math.min(this.#added, this.size)
  }

  add(p: number, y: number): void {
    const at = this.#added % this.size
    this.#scores[at] = p
    this.#labels[at] = y
    this.#added++
  }

  /** Predictions and labels, in no particular order. */
  pairs(): { scores: Float64Array; labels: Uint8Array } {
    return { scores: this.#scores.subarray(0, this.length), labels: this.#labels.subarray(0, this.length) }
  }

  summary(): RankingSummary {
    const { scores, labels } = this.pairs()
    return summaryOf(scores, labels)
  }
}

const HISTOGRAM_KIND = 'score-histogram'
/** Log odds beyond ±LOGIT_MAX share the outermost bins. */
const LOGIT_MAX = 16

/**
 * Counts by score, in bins of equal width in log odds: measures of order of any number of labels in bounded memory.
 * AUC is exact but for pairs inside one bin, which count half.
 */
export class ScoreHistogram {
  readonly bins: number
  #positives: Float64Array
  #negatives: Float64Array
  #sums: Float64Array

  constructor(bins = 4_096) {
    if (!(Number.isInteger(bins) && bins >= 2 && bins <= 1_048_576)) throw new RangeError(`a histogram of ${bins} bins`)
    this.bins = bins
    this.#positives = new Float64Array(bins)
    this.#negatives = new Float64Array(bins)
    this.#sums = new Float64Array(bins)
  }

  static decode(bytes: Uint8Array): ScoreHistogram {
    const reader = new StateReader(bytes, HISTOGRAM_KIND)
    const histogram = new ScoreHistogram(reader.u32())
    histogram.#positives = reader.f64s(histogram.bins)
    histogram.#negatives = reader.f64s(histogram.bins)
    histogram.#sums = reader.f64s(histogram.bins)
    reader.end()
    return histogram
  }

  encode(): Uint8Array {
    const writer = new StateWriter(HISTOGRAM_KIND).u32(this.bins)
    return writer.f64s(this.#positives).f64s(this.#negatives).f64s(this.#sums).done()
  }

  add(p: number, y: number): void {
    const bin = this.#binOf(p)
    const counts = y === 1 ? this.#positives : this.#negatives
    counts[bin] = counts[bin]! + 1
    this.#sums[bin] = this.#sums[bin]! + p
  }

  #binOf(p: number): number {
    const logit = Math.log(p / (1 - p))
    if (!(logit > -LOGIT_MAX)) return 0
    if (logit >= LOGIT_MAX) return this.bins - 1
    return Math.floor(((logit + LOGIT_MAX) / (2 * LOGIT_MAX)) * this.bins)
  }

  /** @param count bins of the calibration error, of about equal mass */
  summary(count = BINS): RankingSummary {
    let positives = 0
    let negatives = 0
    for (let i = 0; i < this.bins; i++) {
      positives += this.#positives[i]!
      negatives += this.#negatives[i]!
    }
    let below = 0
    let wins = 0
    const calibration: CalibrationBin[] = []
    let labels = 0
    let hits = 0
    let sum = 0
    let done = 0
    for (let i = 0; i < this.bins; i++) {
      const up = this.#positives[i]!
      const down = this.#negatives[i]!
      wins += up * (below + down / 2)
      below += down
      labels += up + down
      hits += up
      sum += this.#sums[i]!
      done += up + down
      const isFull = done >= ((calibration.length + 1) * (positives + negatives)) / count
      if (labels > 0 && (isFull || i === this.bins - 1)) {
        calibration.push({ labels, meanPrediction: sum / labels, meanLabel: hits / labels })
        labels = 0
        hits = 0
        sum = 0
      }
    }
    return {
      auc: wins / (positives * negatives),
      prAuc: this.#averagePrecision(positives),
      calibrationError: calibrationError(calibration),
    }
  }

  #averagePrecision(positives: number): number {
    let hits = 0
    let taken = 0
    let sum = 0
    for (let i = this.bins - 1; i >= 0; i--) {
      hits += this.#positives[i]!
      taken += this.#positives[i]! + this.#negatives[i]!
      if (taken > 0) sum += this.#positives[i]! * (hits / taken)
    }
    return sum / positives
  }
}

/** All predictions and labels: exact up to a bound, by histogram beyond it. */
export class Ranking {
  readonly #exactMax: number
  #scores = new Float64Array(1_024)
  #labels = new Uint8Array(1_024)
  #count = 0
  #histogram: ScoreHistogram | undefined

  constructor(exactMax = 2_000_000) {
    this.#exactMax = exactMax
  }

  get isExact(): boolean {
    return this.#histogram === undefined
  }

  add(p: number, y: number): void {
    if (this.#histogram) return this.#histogram.add(p, y)
    if (this.#count === this.#exactMax) {
      this.#histogram = new ScoreHistogram(65_536)
      for (let i = 0; i < this.#count; i++) this.#histogram.add(this.#scores[i]!, this.#labels[i]!)
      this.#scores = new Float64Array(0)
      this.#labels = new Uint8Array(0)
      return this.#histogram.add(p, y)
    }
    if (this.#count === this.#scores.length) {
      const length = Math.min(this.#exactMax, this.#count * 2)
      const scores = new Float64Array(length)
      const labels = new Uint8Array(length)
      scores.set(this.#scores)
      labels.set(this.#labels)
      this.#scores = scores
      this.#labels = labels
    }
    this.#scores[this.#count] = p
    this.#labels[this.#count++] = y
  }

  summary(): RankingSummary {
    if (this.#histogram) return this.#histogram.summary()
    return summaryOf(this.#scores.subarray(0, this.#count), this.#labels.subarray(0, this.#count))
  }
}
