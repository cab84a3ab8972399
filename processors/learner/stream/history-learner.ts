/** A learner that is given a history instead of a stream: the same joins, the same steps, none of the waiting. */
import { createHash } from 'node:crypto'
import type { XdmEvent } from '../../app/event.ts'
import { type EpochMs, epochMs } from '../../app/units.ts'
import type { Vector } from '../../features/types.ts'
import type { LearnerColumns } from '../columns.ts'
import { type CompiledLabel, newMark } from '../labels/definition.ts'
import { unitHash } from '../labels/hash.ts'
import { type Joined, LabelJoiner } from '../labels/joiner.ts'
import type { LearnerStream } from './learner-stream.ts'

export interface HistoryLearnerOptions {
  readonly stream: LearnerStream
  readonly label: CompiledLabel
  readonly columns: Pick<LearnerColumns, 'row'>
  /** When the labels become known: all at once, now. */
  readonly at: EpochMs
}

export class HistoryLearner {
  readonly #options: HistoryLearnerOptions
  readonly #joiner: LabelJoiner<Float32Array> | undefined
  readonly #mark = newMark()
  /** Largest event time. */
  #last = Number.NEGATIVE_INFINITY
  #until = Number.NEGATIVE_INFINITY
  #taken = 0

  constructor(options: HistoryLearnerOptions) {
    this.#options = options
    const { rules } = options.label
    this.#joiner = rules && new LabelJoiner(rules)
  }

  /** Time of the newest sample that was learned or judged: those up to it are done, and the stream passes them over. */
  get until(): EpochMs {
    return epochMs(this.#until)
  }

  /** Takes the next event, in order of time, with its vector. */
  event(event: XdmEvent, vector: Vector): void {
    const { label, columns } = this.#options
    const { id, ts } = event
    const mark = this.#mark
    label.read(event, mark)
    if (ts > this.#last) this.#last = ts
    const profile = pseudonym(event.key)
    const joiner = this.#joiner
    if (!joiner) {
      if (mark.isSample && !Number.isNaN(mark.value)) this.#own(event, profile, columns.row(vector), mark.value)
      return
    }
    this.#handle(joiner.advance(this.#last))
    const { match, value } = mark
    if (!Number.isNaN(value)) this.#handle(joiner.outcome({ id, profile, ts, match, value }))
    if (mark.isSample) this.#handle(joiner.sample({ id, profile, ts, match, payload: columns.row(vector) }))
  }

  /** End of the history. Samples whose window isn't over have no label and are left out. */
  finish(): void {
    if (this.#joiner) this.#handle(this.#joiner.finish(this.#last))
  }

  #own({ id, ts }: XdmEvent, profile: string, x: Float32Array, y: number): void {
    const { negatives } = this.#options.label.definition
    const isTaken = y !== 0 || negatives === 1 || unitHash(id, 1) < negatives
    const weight = !isTaken ? 0 : y === 0 ? 1 / negatives : 1
    this.#take({ id, ts, profile, x, y, weight, isSettled: true })
  }

  #handle(joined: readonly Joined<Float32Array>[]): void {
    for (const it of joined) {
      const { id, profile, ts, payload: x } = it.sample
      const isSettled = it.kind === 'settled'
      this.#take({ id, ts: epochMs(ts), profile, x, y: it.y, weight: isSettled ? 0 : it.weight, isSettled })
    }
  }

  #take(example: Omit<Parameters<LearnerStream['take']>[0], 'place' | 'offset' | 'at' | 'scores'>): void {
    if (example.ts > this.#until) this.#until = example.ts
    this.#options.stream.take({ ...example, place: 'history', offset: this.#taken++, at: this.#options.at, scores: [] })
  }
}

/** Nobody's name is kept with what a learner knows. */
const pseudonym = (key: string): string => createHash('sha256').update(key).digest('hex').slice(0, 16)
