/** How good one model is, label after label: over everything, faded, and over a window. Bounded, and part of the checkpoint. */
import { StateReader, StateWriter } from '../bytes.ts'
import { BinaryMetrics } from '../evaluation/binary.ts'
import { QuantityMetrics } from '../evaluation/quantity.ts'
import { RankingWindow } from '../evaluation/ranking.ts'
import type { Task } from '../types.ts'

const KIND = 'standing'
/** About the last 1,000 labels count. */
const FADING = 0.999
/** Labels of the window. */
export const STANDING_WINDOW = 1_000

/** Figures that can't be known are null. */
export interface StandingFigures {
  readonly labels: number
  readonly logLoss: number | null
  readonly auc: number | null
  readonly prAuc: number | null
  readonly calibrationError: number | null
  readonly accuracy: number | null
  readonly brier: number | null
  readonly positiveRate: number | null
  readonly rmse: number | null
  readonly mae: number | null
  /** About the last 1,000 labels. */
  readonly faded: { readonly logLoss: number | null; readonly rmse: number | null }
  /** Over all labels. */
  readonly overall: { readonly logLoss: number | null; readonly accuracy: number | null; readonly rmse: number | null }
}

/** Figures of one model by the labels of its predictions. Binary: of the last 1,000 labels unless said otherwise. */
export class Standing {
  readonly #isBinary: boolean
  #labels = 0
  #all: BinaryMetrics | QuantityMetrics
  #faded: BinaryMetrics | QuantityMetrics
  #window = new RankingWindow(STANDING_WINDOW)

  constructor(task: Task['kind']) {
    this.#isBinary = task === 'binary'
    this.#all = this.#isBinary ? new BinaryMetrics() : new QuantityMetrics()
    this.#faded = this.#isBinary ? new BinaryMetrics(FADING) : new QuantityMetrics(FADING)
  }

  static decode(bytes: Uint8Array): Standing {
    const reader = new StateReader(bytes, KIND)
    const standing = new Standing(reader.text() as Task['kind'])
    const metrics = standing.#isBinary ? BinaryMetrics : QuantityMetrics
    standing.#labels = reader.f64()
    standing.#all = metrics.decode(reader.bytes())
    standing.#faded = metrics.decode(reader.bytes())
    standing.#window = RankingWindow.decode(reader.bytes())
    reader.end()
    return standing
  }

  encode(): Uint8Array {
    return new StateWriter(KIND)
      .text(this.#isBinary ? 'binary' : 'number')
      .f64(this.#labels)
      .bytes(this.#all.encode())
      .bytes(this.#faded.encode())
      .bytes(this.#window.encode())
      .done()
  }

  get labels(): number {
    return this.#labels
  }

  /** Predictions that aren't finite are left out. */
  add(prediction: number, y: number): void {
    if (!Number.isFinite(prediction) || !Number.isFinite(y)) return
    this.#labels++
    this.#all.add(prediction, y)
    this.#faded.add(prediction, y)
    if (this.#isBinary) this.#window.add(prediction, y)
  }

  figures(): StandingFigures {
    const all = this.#all.summary()
    const faded = this.#faded.summary()
    const figure = (from: object, name: string) => known((from as Readonly<Record<string, number>>)[name])
    const none = { auc: null, prAuc: null, calibrationError: null, accuracy: null, brier: null, positiveRate: null }
    const recent = this.#isBinary ? this.#recent() : { ...none, logLoss: null }
    return {
      labels: this.#labels,
      ...recent,
      rmse: this.#isBinary ? null : figure(faded, 'rmse'),
      mae: this.#isBinary ? null : figure(faded, 'mae'),
      faded: { logLoss: figure(faded, 'logLoss'), rmse: figure(faded, 'rmse') },
      overall: { logLoss: figure(all, 'logLoss'), accuracy: figure(all, 'accuracy'), rmse: figure(all, 'rmse') },
    }
  }

  #recent() {
    const { scores, labels } = this.#window.pairs()
    const metrics = new BinaryMetrics()
    for (let i = 0; i < scores.length; i++) metrics.add(scores[i]!, labels[i]!)
    const { logLoss, accuracy, brier, positiveRate } = metrics.summary()
    const { auc, prAuc, calibrationError } = this.#window.summary()
    return {
      logLoss: known(logLoss),
      auc: known(auc),
      prAuc: known(prAuc),
      calibrationError: known(calibrationError),
      accuracy: known(accuracy),
      brier: known(brier),
      positiveRate: known(positiveRate),
    }
  }
}

export const known = (value: number | undefined): number | null =>
  value === undefined || !Number.isFinite(value) ? null : value
