/**
 * Prequential evaluation: each prediction is scored against its label before the label is learned, in the order in which
 * labels arrive. Source: Dawid 1984; Gama, Sebastião & Rodrigues 2013. With delayed labels the prediction is the one that
 * was made at the time of the event (Grzenda, Gomes & Bifet 2019), so the caller keeps it until the label is there. The
 * baselines' predictions are kept with it: made later, they would know labels that nobody had at the time.
 */
import type { Task } from '../types.ts'
import { NoChangeBaseline, PriorBaseline } from './baselines.ts'
import { BinaryMetrics, type BinarySummary } from './binary.ts'
import { ClassesMetrics, type ClassesSummary } from './classes.ts'
import { QuantityMetrics, type QuantitySummary } from './quantity.ts'
import { Ranking, type RankingSummary, RankingWindow } from './ranking.ts'

export type Figures =
  | ({ readonly task: 'binary' } & BinarySummary & RankingSummary)
  | ({ readonly task: 'classes' } & ClassesSummary)
  | ({ readonly task: 'number' | 'count' } & QuantitySummary)

/** One stream of predictions: its figures over everything, with fading, and over a window. */
interface Track {
  add(prediction: ArrayLike<number>, y: number): void
  overall(): Figures
  recent(): Figures
}

export interface CurvePoint {
  /** Labels so far. */
  readonly labels: number
  readonly overall: Figures
  /** The last labels only: the window. */
  readonly recent: Figures
}

export interface TrialReport {
  readonly overall: Figures
  readonly recent: Figures
  readonly curve: readonly CurvePoint[]
  readonly baselines: { readonly prior: Figures; readonly noChange: Figures }
}

/** What a model and the baselines say about one event, at its time. */
export interface Forecast {
  /** One number a class. */
  readonly model: Float64Array
  readonly prior: Float64Array
  readonly noChange: Float64Array
}

export interface TrialOptions {
  /** Labels of `recent`. */
  readonly window?: number
  /** Labels between two points of the curve at first; doubles so that there are at most `points`. */
  readonly stride?: number
  readonly points?: number
}

export class Trial {
  readonly #model: Track
  readonly #prior: Track
  readonly #noChange: Track
  readonly #priorBaseline: PriorBaseline
  readonly #noChangeBaseline: NoChangeBaseline
  readonly #task: Task
  readonly #points: number
  #stride: number
  #curve: CurvePoint[] = []
  #labels = 0

  constructor(task: Task, options: TrialOptions = {}) {
    const { window = 1_000, stride = 50, points = 40 } = options
    const classes = task.kind === 'binary' ? 2 : task.kind === 'classes' ? task.classes : 0
    this.#task = task
    this.#stride = stride
    this.#points = points
    this.#model = track(task, window)
    this.#prior = track(task, window)
    this.#noChange = track(task, window)
    this.#priorBaseline = new PriorBaseline(classes)
    this.#noChangeBaseline = new NoChangeBaseline(classes)
  }

  get labels(): number {
    return this.#labels
  }

  /** @param prediction of the model, one number a class; copied */
  forecast(prediction: Float64Array): Forecast {
    const model = prediction.slice()
    const prior = this.#priorBaseline
    const last = this.#noChangeBaseline
    switch (this.#task.kind) {
      case 'binary':
        return {
          model,
          prior: Float64Array.of(prior.predict()),
          noChange: Float64Array.of(last.predictAll()[1]!, last.last),
        }
      case 'classes':
        return { model, prior: prior.predictAll(), noChange: last.predictAll() }
      default:
        return { model, prior: Float64Array.of(prior.predict()), noChange: Float64Array.of(last.last) }
    }
  }

  /** The label of an earlier forecast has arrived. */
  score({ model, prior, noChange }: Forecast, y: number): void {
    this.#model.add(model, y)
    this.#prior.add(prior, y)
    this.#noChange.add(noChange, y)
    this.#priorBaseline.learn(y)
    this.#noChangeBaseline.learn(y)
    if (++this.#labels % this.#stride === 0) this.#mark()
  }

  #mark(): void {
    this.#curve.push({ labels: this.#labels, overall: this.#model.overall(), recent: this.#model.recent() })
    if (this.#curve.length < this.#points) return
    this.#stride *= 2
    this.#curve = this.#curve.filter(({ labels }) => labels % this.#stride === 0)
  }

  report(): TrialReport {
    return {
      overall: this.#model.overall(),
      recent: this.#model.recent(),
      curve: this.#curve,
      baselines: { prior: this.#prior.overall(), noChange: this.#noChange.overall() },
    }
  }
}

function track(task: Task, window: number): Track {
  switch (task.kind) {
    case 'binary':
      return binaryTrack(window)
    case 'classes':
      return classesTrack(task.classes, window)
    default:
      return quantityTrack(task.kind, window)
  }
}

/** A second number of the prediction is a decision that isn't p ≥ 0.5. */
function binaryTrack(window: number): Track {
  const all = new BinaryMetrics()
  const ranking = new Ranking()
  const last = new RankingWindow(window)
  return {
    add(prediction, y) {
      const p = prediction[0]!
      all.add(p, y, (prediction[1] ?? p) >= 0.5)
      ranking.add(p, y)
      last.add(p, y)
    },
    overall: () => ({ task: 'binary', ...all.summary(), ...ranking.summary() }),
    recent() {
      const metrics = new BinaryMetrics()
      const { scores, labels } = last.pairs()
      for (let i = 0; i < scores.length; i++) metrics.add(scores[i]!, labels[i]!)
      return { task: 'binary', ...metrics.summary(), ...last.summary() }
    },
  }
}

/** Two halves that take turns: their union is between one and two windows long, in constant time a label. */
class Turns<M> {
  readonly #create: () => M
  readonly #size: number
  #old: M
  #young: M
  #count = 0

  constructor(create: () => M, size: number) {
    this.#create = create
    this.#size = size
    this.#old = create()
    this.#young = create()
  }

  add(put: (metrics: M) => void): void {
    if (this.#count++ === this.#size) {
      this.#old = this.#young
      this.#young = this.#create()
      this.#count = 1
    }
    put(this.#old)
    put(this.#young)
  }

  get value(): M {
    return this.#old
  }
}

function classesTrack(classes: number, window: number): Track {
  const all = new ClassesMetrics(classes)
  const recent = new Turns(() => new ClassesMetrics(classes), Math.ceil(window / 2))
  return {
    add(prediction, y) {
      all.add(prediction, y)
      recent.add((it) => it.add(prediction, y))
    },
    overall: () => ({ task: 'classes', ...all.summary() }),
    recent: () => ({ task: 'classes', ...recent.value.summary() }),
  }
}

function quantityTrack(task: 'number' | 'count', window: number): Track {
  const all = new QuantityMetrics()
  const recent = new Turns(() => new QuantityMetrics(), Math.ceil(window / 2))
  return {
    add(prediction, y) {
      all.add(prediction[0]!, y)
      recent.add((it) => it.add(prediction[0]!, y))
    },
    overall: () => ({ task, ...all.summary() }),
    recent: () => ({ task, ...recent.value.summary() }),
  }
}
