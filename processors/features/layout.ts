import type { Aggregate } from './aggregates/aggregate.ts'
import { aggregateOf } from './aggregates/registry.ts'
import { canonicalHash } from './canonical.ts'
import { decodeState, State, type StateShape } from './state.ts'
import { newTrackState, type TrackShape, type TrackState } from './track.ts'
import type { LayoutDescriptor } from './types.ts'
import { PANES_MAX, type Window } from './windows.ts'

/** Raised when bytes of equal definitions would differ from those of an earlier release. */
const FORMAT = 1

/** A track as a descriptor says it. */
export interface TrackDescriptor {
  readonly key: string
  readonly window: Window
  /** Aggregate ids, sorted. */
  readonly aggregates: readonly string[]
}

interface StateDescriptor extends LayoutDescriptor {
  readonly format: number
  readonly ringStep: number
  readonly tracks: readonly TrackDescriptor[]
}

interface KeyedShape extends TrackShape {
  readonly key: string
}

interface KeyedStateShape extends StateShape {
  readonly tracks: readonly KeyedShape[]
}

/** @param tracks sorted by key */
export function describeLayout(entity: string, ringStep: number, tracks: readonly KeyedShape[]): StateDescriptor {
  const content = {
    entity,
    format: FORMAT,
    ringStep,
    tracks: tracks.map(({ key, window, aggregates }) => ({ key, window, aggregates: aggregates.map((it) => it.id) })),
  }
  return { id: idOf(content), ...content }
}

/** u32 from the SHA-256 of everything but the id. */
function idOf(content: object): number {
  return Number.parseInt(canonicalHash(content).slice(0, 8), 16)
}

/**
 * How blobs of an older layout become states of the current one. A track or an aggregate that both have keeps its state,
 * one that only the old layout has is read and dropped, one that only the new layout has starts empty.
 */
export class Migration {
  readonly #old: StateShape
  readonly #oldTracks: readonly KeyedShape[]
  readonly #current: StateShape
  /** By old track: the current track, or −1. */
  readonly #places: readonly number[]

  /** @throws Error when the descriptor is damaged, or of an entity or a format that this kernel doesn't know */
  constructor(descriptor: LayoutDescriptor, current: LayoutDescriptor, shape: KeyedStateShape) {
    const { ringStep, tracks } = checkDescriptor(descriptor, current.entity)
    this.#oldTracks = tracks.map(readTrack)
    this.#old = { layoutId: descriptor.id, ringStep, tracks: this.#oldTracks }
    this.#current = shape
    this.#places = this.#oldTracks.map(({ key }) => shape.tracks.findIndex((it) => it.key === key))
  }

  /** @throws when the bytes are corrupt */
  decode(packed: Buffer): { state: State; bytes: number } {
    const state = new State(this.#current.tracks)
    const old = this.#oldTracks.map(newTrackState)
    const bytes = decodeState(this.#old, packed, state, old)
    for (let i = 0; i < old.length; i++) {
      const place = this.#places[i]!
      if (place < 0) continue
      state.tracks[place] = this.#moved(this.#oldTracks[i]!, old[i]!, this.#current.tracks[place]!)
    }
    const { ringSteps } = state
    const factor = this.#old.ringStep / this.#current.ringStep
    if (factor !== 1) for (let i = 0; i < ringSteps.length; i++) ringSteps[i] = Math.floor(ringSteps[i]! * factor)
    return { state, bytes }
  }

  #moved(from: TrackShape, old: TrackState, to: TrackShape): TrackState {
    const kept = newTrackState(to)
    kept.newest = old.newest
    const hasSome = to.aggregates.some(({ id }) => from.aggregates.some((it) => it.id === id))
    if (!hasSome) return kept
    kept.panes = old.panes
    kept.ends = old.ends
    to.aggregates.forEach((aggregate, i) => {
      const place = from.aggregates.findIndex((it) => it.id === aggregate.id)
      kept.columns[i] = place >= 0 ? old.columns[place] : emptyColumn(aggregate, kept.panes.length)
    })
    return kept
  }
}

function emptyColumn(aggregate: Aggregate, panes: number): unknown {
  const column = aggregate.newColumn(0)
  for (let at = 0; at < panes; at++) aggregate.open(column, at)
  return column
}

function checkDescriptor(descriptor: LayoutDescriptor, entity: string): StateDescriptor {
  const { id, ...content } = descriptor as StateDescriptor
  if (idOf(content) !== id) throw damaged(id, 'its id is not that of its content')
  if (content.entity !== entity) throw damaged(id, `it is of entity ${content.entity}, not ${entity}`)
  if (content.format !== FORMAT) throw damaged(id, `its format is ${content.format}; this release reads ${FORMAT}`)
  if (!Array.isArray(content.tracks) || !(content.ringStep >= 1)) throw damaged(id, 'it has no tracks or ring step')
  return descriptor as StateDescriptor
}

function readTrack({ key, window, aggregates }: TrackDescriptor): KeyedShape {
  const isKnown = ['sliding', 'tumbling', 'session', 'lifetime'].includes(window.type)
  const isPaned = window.type === 'sliding' || window.type === 'tumbling'
  if (!isKnown || (isPaned && !(window.hop >= 1 && window.length / window.hop <= PANES_MAX))) {
    throw new Error(`layout: track ${key} has an impossible window`)
  }
  return {
    key,
    window,
    aggregates: aggregates.map((id) => {
      const aggregate = aggregateOf(id)
      if (!aggregate) throw new Error(`layout: track ${key} has an aggregate ${id} that this release does not know`)
      return aggregate
    }),
  }
}

function damaged(id: number, what: string): Error {
  return new Error(`layout ${id} can't be used: ${what}. Rebuild the states from the log: rtml rebuild`)
}
