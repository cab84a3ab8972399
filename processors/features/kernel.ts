import type { XdmEvent } from '../app/event.ts'
import type { EpochMs } from '../app/units.ts'
import { dropFirst } from './aggregates/aggregate.ts'
import { corrupt, INTEGER_MAX } from './bytes.ts'
import type { Evaluator } from './evaluator.ts'
import { hash48, SEED, tieOf } from './hash.ts'
import { type Input, newInput, readValue } from './input.ts'
import type { KeyReader } from './keys.ts'
import { describeLayout, Migration, type TrackDescriptor } from './layout.ts'
import { decodeState, encodeState, layoutIdOf, State, type StateShape } from './state.ts'
import { addToTrack, pruneTrack, type Track } from './track.ts'
import type { EntityKernel, KeyState, LayoutDescriptor, Updated } from './types.ts'

/** The rules of an entity's keys, in milliseconds of event time. */
export interface KeyRules {
  readonly latenessMs: number
  readonly ttlMs: number
  readonly dedupIds: number
  readonly dedupWindowMs: number
}

/** Steps in the dedup window: ids are dated to 1/120 of it, so that an age fits a byte. */
const RING_STEPS = 120

export class Kernel implements EntityKernel {
  readonly entity: string
  readonly layout: LayoutDescriptor
  readonly #rules: KeyRules
  readonly #shape: StateShape & { readonly tracks: readonly Track[] }
  readonly #evaluator: Evaluator
  readonly #keys: KeyReader
  readonly #migrations = new Map<number, Migration>()
  readonly #places = new Map<number, readonly number[]>()
  readonly #input: Input = newInput()

  /** @param tracks sorted by key */
  constructor(entity: string, rules: KeyRules, tracks: readonly Track[], evaluator: Evaluator, keys: KeyReader) {
    this.entity = entity
    this.#rules = rules
    this.#evaluator = evaluator
    this.#keys = keys
    const ringStep = Math.max(1, Math.ceil(rules.dedupWindowMs / RING_STEPS))
    this.layout = describeLayout(entity, ringStep, tracks)
    this.#shape = { layoutId: this.layout.id, ringStep, tracks }
  }

  addLayout(descriptor: LayoutDescriptor): void {
    if (descriptor.id === this.layout.id) return
    this.#migrations.set(descriptor.id, new Migration(descriptor, this.layout, this.#shape))
  }

  keys(event: XdmEvent): string[] {
    return this.#keys(event)
  }

  empty(): State {
    return new State(this.#shape.tracks)
  }

  decode(packed: Buffer): State {
    const { state, bytes } = this.decodeFirst(packed)
    if (bytes !== packed.length) throw corrupt(`${packed.length - bytes} bytes too many`)
    return state
  }

  decodeFirst(packed: Buffer): { state: State; bytes: number } {
    const id = layoutIdOf(packed)
    if (id === this.layout.id) {
      const state = new State(this.#shape.tracks)
      const bytes = decodeState(this.#shape, packed, state, state.tracks)
      this.#trimRing(state)
      return { state, bytes }
    }
    const migration = this.#migrations.get(id)
    if (!migration) {
      throw new Error(
        `the packed state of ${this.entity} has layout ${id}, which is unknown here; known: ${[this.layout.id, ...this.#migrations.keys()].join(', ')}. Add its descriptor, or rebuild the states from the log`,
      )
    }
    const { state, bytes } = migration.decode(packed)
    this.#trimRing(state)
    if (state.time !== Number.NEGATIVE_INFINITY) this.#prune(state)
    return { state, bytes }
  }

  encode(state: KeyState): Buffer {
    return encodeState(this.#shape, state as State)
  }

  merge(into: KeyState, from: KeyState, side: EntityKernel): void {
    const [target, source] = [into as State, from as State]
    if (target.time !== source.time) {
      throw new Error(`a state of ${this.entity} at ${target.time} can't take over one at ${source.time}`)
    }
    this.#placesOf(side.layout).forEach((place, i) => {
      target.tracks[place] = source.tracks[i]!
    })
    if (source.quietUntil < target.quietUntil) target.quietUntil = source.quietUntil
  }

  /** By track of the other layout: place of the same track here. */
  #placesOf(layout: LayoutDescriptor): readonly number[] {
    const known = this.#places.get(layout.id)
    if (known) return known
    const own = this.layout.tracks as readonly TrackDescriptor[]
    const places = (layout.tracks as readonly TrackDescriptor[]).map(({ key, aggregates }) => {
      const place = own.findIndex((it) => it.key === key)
      if (place >= 0 && own[place]!.aggregates.join() === aggregates.join()) return place
      throw new Error(`${this.entity} has no track ${key} with the aggregates ${aggregates.join(', ')}`)
    })
    this.#places.set(layout.id, places)
    return places
  }

  /**
   * Applies one event in log order: duplicate (its id is in the ring), late (older than the key's time − lateness), or
   * applied. A key that was silent for longer than its ttl starts anew.
   */
  update(keyState: KeyState, event: XdmEvent): Updated {
    const state = keyState as State
    const rules = this.#rules
    const id = hash48(event.id, SEED.id)
    if (state.ringHashes.length > 0 && state.ringHashes.includes(id)) return 'duplicate'
    const ts = Math.floor(event.ts)
    // Written so that NaN is late as well: no clock may be moved by it.
    if (!(ts >= state.time - rules.latenessMs && ts >= -INTEGER_MAX && ts <= INTEGER_MAX)) return 'late'
    if (ts > state.time) {
      if (ts - state.time > rules.ttlMs) forget(state, this.#shape.tracks)
      state.time = ts
      if (ts >= state.quietUntil) this.#prune(state)
    }
    if (rules.dedupIds > 0) this.#remember(state, id, ts)
    this.#add(state, event, ts, tieOf(id))
    return 'applied'
  }

  isExpired(state: KeyState, at: EpochMs): boolean {
    return at - state.time > this.#rules.ttlMs
  }

  #add(state: State, event: XdmEvent, ts: number, tie: number): void {
    const evaluator = this.#evaluator
    const input = this.#input
    const { tracks } = this.#shape
    evaluator.bind(event)
    input.ts = ts
    input.tie = tie
    for (let i = 0; i < tracks.length; i++) {
      const track = tracks[i]!
      if (!evaluator.test(track.where)) continue
      if (!readValue(track.reading, track.value < 0 ? null : evaluator.value(track.value), input)) continue
      if (track.amount >= 0 && !readValue(AMOUNT, evaluator.value(track.amount), input)) continue
      const expiry = addToTrack(track, state.tracks[i]!, input, state.time, this.#rules.latenessMs)
      if (expiry < state.quietUntil) state.quietUntil = expiry
    }
  }

  /** Forgets what the key's time has left behind. Most events find nothing to forget, so the next time is remembered. */
  #prune(state: State): void {
    const { tracks } = this.#shape
    const { time } = state
    let next = Number.POSITIVE_INFINITY
    for (let i = 0; i < tracks.length; i++) {
      const until = pruneTrack(tracks[i]!, state.tracks[i]!, time, this.#rules.latenessMs)
      if (until < next) next = until
    }
    const { ringSteps, ringHashes } = state
    let kept = 0
    for (let i = 0; i < ringSteps.length; i++) {
      const step = ringSteps[i]!
      const expiry = this.#ringExpiry(step)
      if (time >= expiry) continue
      if (expiry < next) next = expiry
      ringSteps[kept] = step
      ringHashes[kept++] = ringHashes[i]!
    }
    ringSteps.length = kept
    ringHashes.length = kept
    state.quietUntil = next
  }

  /** First time of the key at which an id of this step is older than the dedup window. */
  #ringExpiry(step: number): number {
    return (step + 1) * this.#shape.ringStep + this.#rules.dedupWindowMs
  }

  #remember(state: State, id: number, ts: number): void {
    const step = Math.floor(ts / this.#shape.ringStep)
    const expiry = this.#ringExpiry(step)
    if (state.time >= expiry) return
    if (expiry < state.quietUntil) state.quietUntil = expiry
    state.ringHashes.push(id)
    state.ringSteps.push(step)
    this.#trimRing(state)
  }

  #trimRing(state: State): void {
    const over = state.ringHashes.length - this.#rules.dedupIds
    if (over <= 0) return
    dropFirst(state.ringHashes, over)
    dropFirst(state.ringSteps, over)
  }
}

const AMOUNT = { as: 'number' } as const

function forget(state: State, tracks: readonly Track[]): void {
  if (state.time === Number.NEGATIVE_INFINITY) return
  const fresh = new State(tracks)
  state.ringHashes.length = 0
  state.ringSteps.length = 0
  for (let i = 0; i < tracks.length; i++) state.tracks[i] = fresh.tracks[i]!
}
