import type { Aggregate } from './aggregates/aggregate.ts'
import type { Evaluator } from './evaluator.ts'
import type { State } from './state.ts'
import { firstLive, type Track, type TrackState } from './track.ts'
import type { Lookups } from './types.ts'
import type { Window } from './windows.ts'

/** What features are read from: one event's states, one for each entity. One object, reused. */
export interface Row {
  readonly evaluator: Evaluator
  lookups: Lookups
  /** Instant of evaluation. */
  at: number
  /** Event time of the current event. */
  ts: number
  /** By number of the entity; an absent or expired state is an empty one. */
  readonly states: State[]
  /** Instants by entity: never before the newest event of the state. */
  readonly ats: number[]
}

export const NEVER = Number.NEGATIVE_INFINITY

/** A track as one or more features read it. `locate` points it at a row; the fields hold until the next call. */
export class TrackView {
  readonly #entity: number
  readonly #window: Window
  /** Set once all features are known: tracks and aggregates are sorted, so that their order says nothing. */
  #index = -1
  readonly #uses: AggregateUse<unknown, Aggregate>[] = []
  readonly #identity: Omit<Track, 'aggregates'>

  state!: TrackState
  /** Live panes are [from, to). */
  from = 0
  to = 0
  at = 0

  constructor(entity: number, identity: Omit<Track, 'aggregates'>) {
    this.#entity = entity
    this.#identity = identity
    this.#window = identity.window
  }

  get key(): string {
    return this.#identity.key
  }

  use<C, A extends Aggregate<C>>(aggregate: A & Aggregate<C>): AggregateUse<C, A> {
    const known = this.#uses.find((it) => it.aggregate.id === aggregate.id)
    if (known) return known as AggregateUse<C, A>
    const use = new AggregateUse<C, A>(this, aggregate)
    this.#uses.push(use as unknown as AggregateUse<unknown, Aggregate>)
    return use
  }

  finish(index: number): Track {
    this.#index = index
    this.#uses.sort((a, b) => (a.aggregate.id < b.aggregate.id ? -1 : 1))
    this.#uses.forEach((use, i) => {
      use.index = i
    })
    return { ...this.#identity, aggregates: this.#uses.map((use) => use.aggregate) }
  }

  /** Adds the instants after the row's at which live panes leave the window. */
  expiries(row: Row, into: number[]): void {
    this.locate(row)
    const { type, hop, length, gap } = this.#window
    if (type === 'lifetime') return
    for (let i = this.from; i < this.to; i++) {
      if (type === 'session') into.push(this.state.ends[i]! + gap + 1)
      else into.push((this.state.panes[i]! + 1) * hop + (type === 'sliding' ? length : 0))
    }
  }

  locate(row: Row): void {
    this.state = row.states[this.#entity]!.tracks[this.#index]!
    this.at = row.ats[this.#entity]!
    this.from = firstLive(this.#window, this.state, this.at)
    this.to = this.state.panes.length
  }
}

/** One aggregate of a track, as a feature reads it. */
export class AggregateUse<C, A extends Aggregate<C>> {
  readonly aggregate: A
  readonly #view: TrackView
  index = -1
  constructor(view: TrackView, aggregate: A) {
    this.#view = view
    this.aggregate = aggregate
  }
  /** Its column in the state that the view was located at. */
  get column(): C {
    return this.#view.state.columns[this.index] as C
  }
}
