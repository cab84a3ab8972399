import { type Aggregate, dropFirst, insertAt } from './aggregates/aggregate.ts'
import type { ByteReader, ByteWriter } from './bytes.ts'
import { corrupt } from './bytes.ts'
import type { Input, Reading } from './input.ts'
import { numbers } from './sized.ts'
import { firstPane, PANES_MAX, paneOf, paneSpan, type Window } from './windows.ts'

/** Windows of up to this many panes write which of them exist as one bitmap. */
const BITMAP_MAX = 50
const BIT = Array.from({ length: BITMAP_MAX + 1 }, (_, i) => 2 ** i)

/**
 * All that one key remembers for one (filter, value, window): panes in order, and a column of pane states for each
 * aggregate that some feature wants of them. Arrays of numbers rather than objects: a key has hundreds of panes, and
 * they are decoded and encoded in every batch.
 */
export interface TrackState {
  /** Newest matching event, in or out of the window; −Infinity = none. */
  newest: number
  /** Pane numbers, ascending. Session windows: first instants. */
  panes: number[]
  /** Session windows: last instants. Otherwise one shared empty list. */
  ends: number[]
  readonly columns: unknown[]
}

/** What decides the bytes of a track. */
export interface TrackShape {
  readonly window: Window
  readonly aggregates: readonly Aggregate[]
}

/** One (filter, value, window) of an entity, shared by all features that have it. */
export interface Track extends TrackShape {
  /** Canonical text of filter, value, reading and window: equal keys are the same track, also across layouts. */
  readonly key: string
  /** Number of the filter among the feature set's conditions; −1 = none. */
  readonly where: number
  /** Number of the value among the feature set's values; −1 = none. */
  readonly value: number
  /** Number of a second value, the weight of a text; −1 = none. */
  readonly amount: number
  readonly reading: Reading
}

const NO_ENDS: number[] = []

export function newTrackState(track: TrackShape): TrackState {
  const { aggregates, window } = track
  const columns = new Array<unknown>(aggregates.length)
  for (let i = 0; i < aggregates.length; i++) columns[i] = aggregates[i]!.newColumn(0)
  return { newest: Number.NEGATIVE_INFINITY, panes: [], ends: window.type === 'session' ? [] : NO_ENDS, columns }
}

/**
 * Adds an event that the filter lets through and whose value has been read.
 * @param time the key's time, event included
 * @returns when the event's pane can be forgotten
 */
export function addToTrack(track: Track, state: TrackState, input: Input, time: number, lateness: number): number {
  if (input.ts > state.newest) state.newest = input.ts
  const { aggregates, window } = track
  if (aggregates.length === 0) return Number.POSITIVE_INFINITY
  const pane = window.type === 'session' ? sessionFor(track, state, input.ts) : paneFor(track, state, input.ts, time)
  if (pane < 0) return Number.POSITIVE_INFINITY
  for (let i = 0; i < aggregates.length; i++) aggregates[i]!.add(state.columns[i], pane, input)
  return expiryOf(window, state, pane, lateness)
}

/** Place of the event's pane, opened when it is new; −1 when no window can read it any more. */
function paneFor(track: Track, state: TrackState, ts: number, time: number): number {
  const pane = paneOf(track.window, ts)
  const { panes } = state
  let at = panes.length
  while (at > 0 && panes[at - 1]! > pane) at--
  if (at > 0 && panes[at - 1] === pane) return at - 1
  if (pane < firstPane(track.window, time)) return -1
  openPane(track, state, at, pane)
  return at
}

function openPane(track: TrackShape, state: TrackState, at: number, pane: number): void {
  insertAt(state.panes, at, pane)
  for (let i = 0; i < track.aggregates.length; i++) track.aggregates[i]!.open(state.columns[i], at)
}

/** Place of the session that the event belongs to; it may start one, lengthen one, or join two. */
function sessionFor(track: Track, state: TrackState, ts: number): number {
  const { gap } = track.window
  const { panes: starts, ends } = state
  let at = starts.length
  while (at > 0 && starts[at - 1]! > ts) at--
  const joinsBefore = at > 0 && ts - ends[at - 1]! <= gap
  const joinsAfter = at < starts.length && starts[at]! - ts <= gap
  if (joinsBefore && joinsAfter) {
    ends[at - 1] = ends[at]!
    starts.splice(at, 1)
    ends.splice(at, 1)
    for (let i = 0; i < track.aggregates.length; i++) track.aggregates[i]!.join(state.columns[i], at - 1)
    return at - 1
  }
  if (joinsBefore) {
    if (ts > ends[at - 1]!) ends[at - 1] = ts
    return at - 1
  }
  if (joinsAfter) {
    starts[at] = ts
    return at
  }
  insertAt(ends, at, ts)
  openPane(track, state, at, ts)
  return at
}

/**
 * Forgets panes that nothing can read again, because the key's time never goes back: those before the window, and
 * sessions that are over and that no event inside the lateness bound can reach.
 * @returns the first time at which there will be more to forget
 */
export function pruneTrack(track: TrackShape, state: TrackState, time: number, lateness: number): number {
  const { panes, ends } = state
  let gone = 0
  while (gone < panes.length && time >= expiryOf(track.window, state, gone, lateness)) gone++
  if (gone > 0) {
    if (track.window.type === 'session') dropFirst(ends, gone)
    dropFirst(panes, gone)
    for (let i = 0; i < track.aggregates.length; i++) track.aggregates[i]!.drop(state.columns[i], gone)
  }
  return panes.length === 0 ? Number.POSITIVE_INFINITY : expiryOf(track.window, state, 0, lateness)
}

/** First time of the key at which a pane can't be read or reached any more. */
function expiryOf(window: Window, state: TrackState, at: number, lateness: number): number {
  if (window.type === 'session') return state.ends[at]! + lateness + window.gap + 1
  // floor((time − length) / hop) > pane, solved for time. A tumbling window reads no pane but its own.
  if (window.type === 'sliding') return (state.panes[at]! + 1) * window.hop + window.length
  return window.type === 'tumbling' ? (state.panes[at]! + 1) * window.hop : Number.POSITIVE_INFINITY
}

/** First place in `panes` that a window ending at `at` reads; the last is always `panes.length`. */
export function firstLive(window: Window, state: TrackState, at: number): number {
  const { panes, ends } = state
  const size = panes.length
  if (window.type === 'session') return size > 0 && at - ends[size - 1]! <= window.gap ? size - 1 : size
  const first = firstPane(window, at)
  let from = 0
  while (from < size && panes[from]! < first) from++
  return from
}

/**
 * newest as an age (+ 1; 0 = nothing, and the track ends there), which panes exist, and each pane's aggregates.
 * Panes are numbered back from the pane of the key's time.
 */
export function encodeTrack(track: TrackShape, state: TrackState, writer: ByteWriter, time: number): void {
  if (state.newest === Number.NEGATIVE_INFINITY) return writer.varint(0)
  writer.varint(time - state.newest + 1)
  const { aggregates, window } = track
  if (aggregates.length === 0) return
  const { panes, columns } = state
  if (window.type === 'session') writeSessions(state, writer, time)
  else writePanes(panes, writer, paneOf(window, time), paneSpan(window))
  for (let at = 0; at < panes.length; at++) {
    for (let i = 0; i < aggregates.length; i++) aggregates[i]!.encode(columns[i], at, writer, time)
  }
}

export function decodeTrack(track: TrackShape, state: TrackState, reader: ByteReader, time: number): void {
  const age = reader.varint()
  if (age === 0) return
  state.newest = time - age + 1
  const { aggregates, window } = track
  if (aggregates.length === 0) return
  if (window.type === 'session') readSessions(state, reader, time)
  else state.panes = readPanes(reader, paneOf(window, time), paneSpan(window))
  const size = state.panes.length
  if (size === 0) return
  for (let i = 0; i < aggregates.length; i++) state.columns[i] = aggregates[i]!.newColumn(size)
  for (let at = 0; at < size; at++) {
    for (let i = 0; i < aggregates.length; i++) aggregates[i]!.decode(state.columns[i], at, reader, time)
  }
}

function writePanes(panes: readonly number[], writer: ByteWriter, newest: number, span: number): void {
  if (span <= BITMAP_MAX) {
    let bits = 0
    for (let i = 0; i < panes.length; i++) bits += BIT[newest - panes[i]!]!
    return writer.varint(bits)
  }
  writer.varint(panes.length)
  let before = newest + 1
  for (let i = panes.length - 1; i >= 0; i--) {
    writer.varint(before - panes[i]! - 1)
    before = panes[i]!
  }
}

function readPanes(reader: ByteReader, newest: number, span: number): number[] {
  if (span <= BITMAP_MAX) return readBitmap(reader.varint(), newest, span)
  const size = reader.count(span)
  const panes = numbers(size)
  let before = newest + 1
  for (let i = size - 1; i >= 0; i--) {
    before -= reader.varint() + 1
    panes[i] = before
  }
  if (newest - before >= span) throw corrupt('a pane is outside its window')
  return panes
}

function readBitmap(bits: number, newest: number, span: number): number[] {
  if (bits === 1) return [newest]
  if (bits >= BIT[span]!) throw corrupt('a pane is outside its window')
  let size = 0
  for (let rest = bits; rest > 0; rest = Math.floor(rest / 2)) size += rest % 2
  const panes = numbers(size)
  let at = size
  for (let rest = bits, offset = 0; rest > 0; rest = Math.floor(rest / 2), offset++) {
    if (rest % 2 === 1) panes[--at] = newest - offset
  }
  return panes
}

function writeSessions(state: TrackState, writer: ByteWriter, time: number): void {
  const { panes: starts, ends } = state
  writer.varint(starts.length)
  let before = time
  for (let i = starts.length - 1; i >= 0; i--) {
    writer.varint(before - ends[i]!)
    writer.varint(ends[i]! - starts[i]!)
    before = starts[i]!
  }
}

function readSessions(state: TrackState, reader: ByteReader, time: number): void {
  const size = reader.count(PANES_MAX + 2)
  state.panes = numbers(size)
  state.ends = numbers(size)
  let before = time
  for (let i = size - 1; i >= 0; i--) {
    const end = before - reader.varint()
    before = end - reader.varint()
    state.ends[i] = end
    state.panes[i] = before
  }
}
