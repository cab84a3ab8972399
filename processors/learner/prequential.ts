/**
 * Test, then train, over a stream of events with their features: what `rtml evaluate` runs and what a warm start from a
 * history is. No I/O; the caller brings events in order of time.
 */
import type { XdmEvent } from '../app/event.ts'
import type { Application } from '../app/schema.ts'
import type { LabelDefinition } from '../app/schema-learning.ts'
import type { Expression } from '../expressions/types.ts'
import type { FeatureSet, Vector } from '../features/types.ts'
import { type LearnerColumns, learnerColumns, taskOf } from './columns.ts'
import { createLearner } from './create.ts'
import { Slices } from './evaluation/slices.ts'
import { type Forecast, Trial, type TrialReport } from './evaluation/trial.ts'
import { type CompiledLabel, compileLabel, newMark } from './labels/definition.ts'
import { isNegativeLearned, type JoinCounts, type Joined, LabelJoiner } from './labels/joiner.ts'
import { fakeNegativeWeight } from './labels/weights.ts'
import { type Leak, LeakageCheck } from './leakage.ts'
import type { Learner } from './types.ts'

export interface PrequentialOptions {
  readonly app: Pick<Application, 'labels' | 'learners' | 'features'>
  readonly featureSet: Pick<FeatureSet, 'columns' | 'resolve'>
  readonly compile: (source: string) => Expression
  /** Samples between an event and the label that it carries itself. */
  readonly delay?: number
  /** Expression whose value an event's figures are grouped by as well. */
  readonly slice?: string | undefined
  /** Models that don't learn here, and the label that their scores are compared with. */
  readonly models?: readonly RatedModel[]
}

export interface RatedModel {
  readonly name: string
  /** Name of a binary, number or count label. */
  readonly label: string
}

export interface LearnerResult {
  readonly name: string
  readonly label: string
  readonly kind: string
  /** Columns that it reads; of a model that doesn't learn here: none. */
  readonly inputs: readonly string[]
  /** Examples that it learned, copies and all. */
  readonly learned: number
  readonly report: TrialReport
  readonly slices: readonly (readonly [string, TrialReport])[]
}

/** What was known when a sample was scored, per learner of its label. */
interface Scored {
  readonly rows: readonly Float32Array[]
  readonly forecasts: readonly Forecast[]
  /** Of the models that don't learn; undefined where there was no score. */
  readonly ratings: readonly (Forecast | undefined)[]
  readonly slice: string | undefined
}

interface Contestant {
  readonly name: string
  readonly kind: string
  readonly learner: Learner
  readonly columns: LearnerColumns
  readonly trial: Trial
  readonly slices: Slices<Trial>
  readonly leakage: LeakageCheck
}

/** A model that came from elsewhere. */
interface Rated {
  readonly name: string
  readonly trial: Trial
  readonly slices: Slices<Trial>
}

const SLICES_MAX = 200

export class Prequential {
  readonly #tracks: readonly LabelTrack[]
  readonly #slice: Expression | undefined

  /** @throws RtmlError CONFIG when a learner can't be made of its definition */
  constructor(options: PrequentialOptions) {
    const { app, compile, slice } = options
    this.#slice = slice === undefined ? undefined : compile(slice)
    const used = new Set([...Object.values(app.learners), ...(options.models ?? [])].map(({ label }) => label))
    this.#tracks = [...used].map((name) => new LabelTrack(name, app.labels[name]!, options))
  }

  /**
   * Takes the next event. `vector` is that of the event, and stays the caller's.
   * @param scores of the models that don't learn, by name
   */
  event(event: XdmEvent, vector: Vector, scores: Readonly<Record<string, number>> = {}): void {
    const slice = this.#slice && String(this.#slice.evaluate(event.xdm) ?? '')
    for (const track of this.#tracks) track.event(event, { vector, slice, scores })
  }

  /** End of the data. */
  finish(): void {
    for (const track of this.#tracks) track.finish()
  }

  /** In the order of the application file. */
  results(): LearnerResult[] {
    return this.#tracks.flatMap((track) => track.results())
  }

  /** What became of samples and outcomes, by label. */
  joins(): Record<string, JoinCounts> {
    return Object.fromEntries(this.#tracks.flatMap(({ name, counts }) => (counts ? [[name, counts]] : [])))
  }

  leaks(): (Leak & { readonly learner: string })[] {
    return this.#tracks.flatMap((track) => track.leaks())
  }
}

/** What is known about an event at its time. */
interface Seen {
  readonly vector: Vector
  readonly slice: string | undefined
  readonly scores: Readonly<Record<string, number>>
}

/** One label, and the learners that compete for it. */
class LabelTrack {
  readonly name: string
  readonly #label: LabelDefinition
  readonly #contestants: readonly Contestant[]
  readonly #rated: readonly Rated[]
  readonly #compiled: CompiledLabel
  readonly #mark = newMark()
  readonly #joiner: LabelJoiner<Scored> | undefined
  /** Samples whose own label isn't known yet: a ring of `delay`. */
  readonly #waiting: { readonly id: string; readonly scored: Scored; readonly y: number }[] = []
  readonly #delay: number
  #lastTs = Number.NEGATIVE_INFINITY

  constructor(name: string, label: LabelDefinition, options: PrequentialOptions) {
    const { app, featureSet, compile, delay = 0, models = [] } = options
    this.name = name
    this.#label = label
    this.#delay = delay
    this.#compiled = compileLabel(name, label, compile)
    const { rules } = this.#compiled
    if (rules) this.#joiner = new LabelJoiner(rules)
    const task = taskOf(label)
    this.#rated = models
      .filter((it) => it.label === name)
      .map((it) => ({ name: it.name, trial: new Trial(task), slices: new Slices(() => new Trial(task), SLICES_MAX) }))
    this.#contestants = Object.entries(app.learners)
      .filter(([, it]) => it.label === name)
      .map(([own, definition]) => {
        const columns = learnerColumns(definition, app.features, featureSet, `learners.${own}`)
        return {
          name: own,
          kind: definition.kind,
          learner: createLearner(definition, columns.inputs, task),
          columns,
          trial: new Trial(task),
          slices: new Slices(() => new Trial(task), SLICES_MAX),
          leakage: new LeakageCheck(columns.names),
        }
      })
  }

  get counts(): JoinCounts | undefined {
    return this.#joiner?.counts
  }

  event(event: XdmEvent, seen: Seen): void {
    this.#compiled.read(event, this.#mark)
    if (this.#joiner) this.#join(this.#joiner, event, seen)
    else if (this.#mark.isSample) this.#own(event, seen, this.#mark.value)
  }

  #own(event: XdmEvent, seen: Seen, y: number): void {
    if (Number.isNaN(y)) return
    this.#waiting.push({ id: event.id, scored: this.#predict(seen), y })
    if (this.#waiting.length > this.#delay) this.#settleFirst()
  }

  #settleFirst(): void {
    const { id, scored, y } = this.#waiting.shift()!
    this.#score(scored, y)
    const { negatives } = this.#label
    if (y !== 0) this.#learn(scored, y, 1)
    else if (isNegativeLearned(id, negatives)) this.#learn(scored, y, 1 / negatives)
  }

  #join(joiner: LabelJoiner<Scored>, event: XdmEvent, seen: Seen): void {
    const { id, ts, key: profile } = event
    const { isSample, value, match } = this.#mark
    if (ts > this.#lastTs) this.#lastTs = ts
    this.#handle(joiner.advance(this.#lastTs))
    if (!Number.isNaN(value)) this.#handle(joiner.outcome({ id, profile, ts, match, value }))
    if (isSample) this.#handle(joiner.sample({ id, profile, ts, match, payload: this.#predict(seen) }))
  }

  finish(): void {
    while (this.#waiting.length > 0) this.#settleFirst()
    if (this.#joiner) this.#handle(this.#joiner.finish(this.#lastTs))
  }

  #predict({ vector, slice, scores }: Seen): Scored {
    const rows = this.#contestants.map(({ columns }) => columns.row(vector))
    const forecasts = this.#contestants.map(({ learner, trial }, i) => trial.forecast(learner.predictAll(rows[i]!)))
    const ratings = this.#rated.map(({ name, trial }) => {
      const score = scores[name]
      return score === undefined || Number.isNaN(score) ? undefined : trial.forecast(Float64Array.of(score))
    })
    return { rows, forecasts, ratings, slice }
  }

  #handle(joined: readonly Joined<Scored>[]): void {
    for (const it of joined) {
      if (it.kind === 'settled') this.#score(it.sample.payload, it.y)
      else this.#learn(it.sample.payload, it.y, it.weight)
    }
  }

  #score({ rows, forecasts, ratings, slice }: Scored, y: number): void {
    for (const [i, { trial, slices }] of this.#rated.entries()) {
      const rating = ratings[i]
      if (!rating) continue
      trial.score(rating, y)
      if (slice !== undefined) slices.of(slice)?.score(rating, y)
    }
    for (const [i, { trial, slices, leakage }] of this.#contestants.entries()) {
      trial.score(forecasts[i]!, y)
      if (slice !== undefined) slices.of(slice)?.score(forecasts[i]!, y)
      leakage.add(rows[i]!, y)
    }
  }

  #learn({ rows }: Scored, y: number, weight: number): void {
    for (const [i, { learner }] of this.#contestants.entries()) {
      const row = rows[i]!
      const correction = this.#label.policy === 'fake-negative' ? fakeNegativeWeight(y, learner.predict(row)) : 1
      learner.learn(row, y, weight * correction)
    }
  }

  results(): LearnerResult[] {
    const reported = ({ name, trial, slices }: Rated) => ({
      name,
      label: this.name,
      report: trial.report(),
      slices: [...slices.entries()].map(([value, it]) => [value, it.report()] as const),
    })
    return [
      ...this.#contestants.map((it) => ({
        ...reported(it),
        kind: it.kind,
        inputs: it.columns.names,
        learned: it.learner.seen,
      })),
      ...this.#rated.map((it) => ({ ...reported(it), kind: 'onnx', inputs: [], learned: 0 })),
    ]
  }

  leaks(): (Leak & { readonly learner: string })[] {
    return this.#contestants.flatMap(({ name, leakage }) => leakage.leaks().map((leak) => ({ learner: name, ...leak })))
  }
}
