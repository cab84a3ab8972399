import { formatDuration } from '../app/duration.ts'
import { RtmlError } from '../app/errors.ts'
import type { Application, FeatureDefinition } from '../app/schema.ts'
import { ms } from '../app/units.ts'

/** A resolved window; lengths in milliseconds, 0 where the type has none. */
export interface Window {
  readonly type: 'sliding' | 'tumbling' | 'session' | 'lifetime'
  readonly length: number
  /** Length of a pane. Tumbling: the window itself. */
  readonly hop: number
  readonly gap: number
}

type WindowDefinition = Extract<FeatureDefinition, { kind: 'count' }>['window']

export const LIFETIME: Window = { type: 'lifetime', length: 0, hop: 0, gap: 0 }

/** Most panes that a window may have, and most sessions that can be open at once inside the lateness bound. */
export const PANES_MAX = 1_500

const S = 1_000
const M = 60 * S
const H = 60 * M
const D = 24 * H
/** What a person would call a round time, longest first. */
const ROUND_TIMES = [
  ...[365, 180, 90, 60, 30, 15, 10, 7, 5, 3, 2, 1].map((n) => n * D),
  ...[12, 8, 6, 4, 3, 2, 1].map((n) => n * H),
  ...[30, 20, 15, 10, 5, 2, 1].map((n) => n * M),
  ...[30, 20, 15, 10, 5, 2, 1].map((n) => n * S),
  ...[500, 200, 100, 50, 20, 10, 5, 2, 1],
]

/**
 * The hop of a sliding window that names none: the longest round time that divides the window and is at most a twelfth
 * of it, so that the window is never more than 1/12 too long (below 12 ms: 1 ms).
 * 5m → 20s, 1h → 5m, 24h → 2h, 7d → 12h, 30d → 2d.
 */
export function defaultHop(length: number): number {
  return ROUND_TIMES.find((time) => time <= length / 12 && length % time === 0) ?? 1
}

/**
 * @param place where the definition stands, for messages
 * @throws RtmlError CONFIG when a length is missing, the hop doesn't divide the window, or there would be too many panes
 */
export function resolveWindow(definition: WindowDefinition, events: Application['events'], place: string): Window {
  if (definition === undefined) return LIFETIME
  if (typeof definition === 'number') return sliding(definition, undefined, place)
  const { type, length, hop, gap } = definition
  if (hop !== undefined && type !== 'sliding') throw bad(place, `a ${type} window has no hop. Remove it`)
  if (gap !== undefined && type !== 'session') throw bad(place, `a ${type} window has no gap. Remove it`)
  if (length !== undefined && (type === 'session' || type === 'lifetime')) {
    throw bad(place, `a ${type} window has no length. Remove it`)
  }
  switch (type) {
    case 'lifetime':
      return LIFETIME
    case 'session':
      if (gap === undefined) throw bad(place, 'a session window needs a gap, such as gap: 30m')
      return sessionWindow(gap, events, place)
    case 'tumbling':
      if (length === undefined) throw bad(place, 'a tumbling window needs a length, such as length: 1h')
      return { type, length, hop: length, gap: 0 }
    case 'sliding':
      if (length === undefined) throw bad(place, 'a sliding window needs a length, such as length: 1h')
      return sliding(length, hop, place)
  }
}

function sliding(length: number, given: number | undefined, place: string): Window {
  const hop = given ?? defaultHop(length)
  if (length % hop !== 0) {
    throw bad(place, `hop ${show(hop)} does not divide ${show(length)}. Use ${show(defaultHop(length))}`)
  }
  if (length / hop > PANES_MAX) {
    const remedy = given === undefined ? 'Round the window, or give it a hop that divides it' : 'Use a longer hop'
    throw bad(place, `${show(length)} in hops of ${show(hop)} is more than ${PANES_MAX} panes. ${remedy}`)
  }
  return { type: 'sliding', length, hop, gap: 0 }
}

/** @throws RtmlError CONFIG when the gap is so short that a key could have too many sessions open */
export function sessionWindow(gap: number, events: Application['events'], place: string): Window {
  if (events.lateness / gap > PANES_MAX) {
    const least = show(Math.ceil(events.lateness / PANES_MAX))
    throw bad(
      place,
      `gap ${show(gap)} is too short for events.lateness ${show(events.lateness)}. Use at least ${least}`,
    )
  }
  return { type: 'session', length: 0, hop: 0, gap }
}

/** Pane of an instant. Floor division, so instants before 1970 work. */
export function paneOf(window: Window, ts: number): number {
  return window.hop === 0 ? 0 : Math.floor(ts / window.hop)
}

/**
 * First pane that a window ending at `at` reads: floor((at − W) / h) sliding, the pane of `at` tumbling.
 * An event counts when its pane is not before it, which is floor((at − W) / h) · h ≤ ts.
 */
export function firstPane(window: Window, at: number): number {
  if (window.type === 'sliding') return Math.floor((at - window.length) / window.hop)
  return window.type === 'tumbling' ? Math.floor(at / window.hop) : 0
}

/** Offsets from the newest pane that a pruned window can have: they decide how panes are packed. */
export function paneSpan(window: Window): number {
  return window.type === 'sliding' ? window.length / window.hop + 2 : 1
}

function bad(place: string, message: string): RtmlError {
  return new RtmlError('CONFIG', message, { place })
}

function show(length: number): string {
  return formatDuration(ms(length))
}
