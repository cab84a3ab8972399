/** A shop in virtual time: events, what serves them, labels a little later, and a learner that looks every second. */
import { labelSchema, learnerSchema } from '../../../../processors/app/schema-learning.ts'
import { type EpochMs, epochMs } from '../../../../processors/app/units.ts'
import { decodeLearner } from '../../../../processors/learner/create.ts'
import { unitHash } from '../../../../processors/learner/labels/hash.ts'
import { SeededRandom } from '../../../../processors/learner/random.ts'
import type { LoggedScore, StreamExample } from '../../../../processors/learner/stream/example.ts'
import {
  type Decisions,
  LearnerStream,
  type LearnerStreamOptions,
} from '../../../../processors/learner/stream/learner-stream.ts'
import type { Learner } from '../../../../processors/learner/types.ts'

const NAME = 'online'
const COLUMNS = ['a', 'b', 'c']
const START = 1_700_000_000_000
const PER_SECOND = 200
const LABEL_DELAY_S = 2

export interface WorldOptions {
  readonly learner?: object
  readonly seed?: number
  /** True probability of an event. */
  readonly truth?: (x: Float32Array) => number
  /** What the static champion says. */
  readonly champion?: (x: Float32Array) => number
  /** Changes a label, or drops it (NaN). @param second of the event */
  readonly corrupt?: (y: number, event: { second: number; profile: string; random: () => number }) => number
  readonly distort?: (x: Float32Array, event: { second: number; y: number }) => void
  readonly profileOf?: (second: number, random: () => number) => string
}

const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z))
export const truth = (x: Float32Array): number => sigmoid(1.5 * x[0]! - 2 * x[1]! + x[2]! - 1)
/** Knows one feature of three. */
const oldModel = (x: Float32Array): number => sigmoid(0.8 * x[0]! - 0.8)

export class World {
  readonly setup: LearnerStreamOptions
  readonly stream: LearnerStream
  #twin: LearnerStream | undefined
  readonly log: Decisions[] = []
  readonly #options: WorldOptions
  readonly #random: SeededRandom
  readonly #models = new Map<string, Learner>()
  readonly #due: { at: number; example: StreamExample }[] = []
  second = 0
  #offset = 0
  events = 0
  /** Events that a version of the learner served, by version. */
  readonly servedBy = new Map<string, number>()
  #wanted: Decisions['wanted']

  constructor(options: WorldOptions = {}) {
    this.#options = options
    this.#random = new SeededRandom(options.seed ?? 1)
    this.setup = {
      name: NAME,
      definition: learnerSchema.parse({
        label: 'buy',
        promotion: { automatic: true, labels: 400, steps: [0.05, 0.5, 1] },
        ...options.learner,
      }),
      label: labelSchema.parse({ outcome: 'x', window: '1s' }),
      inputs: COLUMNS.map((name) => ({ kind: 'number', name })),
      task: { kind: 'binary' },
    }
    this.stream = new LearnerStream(this.setup)
  }

  /** Another one that is given the same examples from here on. */
  join(twin: LearnerStream): void {
    this.#twin = twin
  }

  get now(): EpochMs {
    return epochMs(START + this.second * 1_000)
  }

  /** Labels that are on their way. */
  get pending(): number {
    return this.#due.length
  }

  get share(): number {
    return this.#wanted?.share ?? 0
  }

  get moves() {
    return this.log.flatMap(({ moves }) => moves)
  }

  get alerts() {
    return this.log.flatMap(({ alerts }) => alerts)
  }

  run(seconds: number): this {
    for (let i = 0; i < seconds; i++) this.#second()
    return this
  }

  /** Until something holds, at most so many seconds. @returns seconds that it took */
  until(condition: () => boolean, seconds: number): number {
    for (let i = 0; i < seconds; i++) {
      if (condition()) return i
      this.#second()
    }
    if (condition()) return seconds
    throw new Error(`not within ${seconds} s; next: ${this.stream.status().next}`)
  }

  #second(): void {
    const random = () => this.#random.next()
    for (let i = 0; i < PER_SECOND; i++) this.#event(random)
    this.second++
    while (this.#due.length > 0 && this.#due[0]!.at <= this.second) {
      const { example } = this.#due.shift()!
      this.stream.take(example)
      this.#twin?.take(example)
    }
    const rhythm = { routed: undefined, minExamples: 1, everyMs: 2_000 }
    const decisions = this.stream.decide(this.now, rhythm)
    this.#twin?.decide(this.now, rhythm)
    if (decisions.version) {
      this.#models.set(decisions.version.version, decodeLearner(this.stream.learnerBytes()))
    }
    this.#wanted = decisions.wanted
    this.log.push(decisions)
  }

  #event(random: () => number): void {
    const { corrupt, distort, profileOf } = this.#options
    this.events++
    const profile = profileOf?.(this.second, random) ?? `p${Math.floor(random() * 2_000)}`
    const x = Float32Array.from(COLUMNS, () => random() * 4 - 2)
    const y = random() < (this.#options.truth ?? truth)(x) ? 1 : 0
    distort?.(x, { second: this.second, y })
    const label = corrupt ? corrupt(y, { second: this.second, profile, random }) : y
    const scores = this.#scores(profile, x)
    if (Number.isNaN(label)) return
    const example = {
      place: 'training.examples[0]',
      offset: this.#offset++,
      at: epochMs(this.now + LABEL_DELAY_S * 1_000),
      id: `e${this.events}`,
      ts: this.now,
      profile,
      x,
      y: label,
      weight: 1,
      isSettled: true,
      scores,
    }
    this.#due.push({ at: this.second + LABEL_DELAY_S, example })
  }

  #scores(profile: string, x: Float32Array): LoggedScore[] {
    const wanted = this.#wanted
    const learner = wanted && this.#models.get(wanted.version)
    const value = (this.#options.champion ?? oldModel)(x)
    if (!learner) return [{ model: 'old', version: '1', role: 'champion', value }]
    const isServed = unitHash(profile) < wanted.share
    if (isServed) this.servedBy.set(wanted.version, (this.servedBy.get(wanted.version) ?? 0) + 1)
    const role = wanted.share >= 1 ? 'champion' : isServed ? 'arm' : 'shadow'
    return [
      { model: 'old', version: '1', role: isServed ? 'shadow' : 'champion', value },
      { model: NAME, version: wanted.version, role, value: learner.predict(x) },
    ]
  }
}
