import type { EpochMs } from '../../app/units.ts'

/** What a model said about the event at its time, as it was logged then. */
export interface LoggedScore {
  readonly model: string
  readonly version: string
  readonly role: 'champion' | 'arm' | 'shadow'
  /** NaN: the model gave none, and something else took its place. */
  readonly value: number
}

/** One labelled sample, as a learner in the stream takes it. */
export interface StreamExample {
  /** `topic[partition]` and offset of its record. */
  readonly place: string
  readonly offset: number
  /** When the label became known: the append of its record. */
  readonly at: EpochMs
  /** Of the event. */
  readonly id: string
  readonly ts: EpochMs
  readonly profile: string
  /** The learner's row: what the models saw. */
  readonly x: Float32Array
  readonly y: number
  /** 0: it is not learned (left out by sampling, or learned before). */
  readonly weight: number
  /** The label is final: to be evaluated, once a sample. */
  readonly isSettled: boolean
  readonly scores: readonly LoggedScore[]
}
