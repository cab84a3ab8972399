import type { FeatureDefinition } from '../../app/schema.ts'
import type { EncodeDefinition, ValueSlot } from '../encoding.ts'
import { keptTextOf, numberOf, type Reading } from '../input.ts'
import type { Row, TrackView } from '../track-view.ts'
import type { Vector } from '../types.ts'
import type { Window } from '../windows.ts'

export type KindName = FeatureDefinition['kind']
type DefinitionOf<K extends KindName> = Extract<FeatureDefinition, { kind: K }>

/**
 * One kind of feature. It says what is kept (tracks and aggregates; their update, pruning and bytes are theirs) and how
 * a value is read from that. A new kind is one file like count.ts and a line in registry.ts.
 */
export interface Kind<K extends KindName> {
  readonly kind: K
  /** @throws RtmlError CONFIG when the definition makes no sense */
  compile(feature: FeatureBuilder<K>): FeatureReader
}

/** A compiled feature. Called for every event and vector: nothing in it allocates. */
export interface FeatureReader {
  /** Writes the feature's columns. */
  write(row: Row, into: Vector): void
  /** Instant of the newest event that the value reflects; −Infinity = none. */
  newest(row: Row): number
}

export interface TrackRequest {
  readonly reading: Reading
  readonly value?: string
  readonly amount?: string | undefined
  readonly window: Window
}

export interface SlotRequest {
  /** Name of the value within the feature, such as `[0]`; absent: the feature has one value. */
  readonly suffix?: string
  readonly type: 'number' | 'text'
  readonly encode: EncodeDefinition | undefined
  readonly missing: number | string | null
}

/** What a kind is given to compile one feature. */
export interface FeatureBuilder<K extends KindName> {
  readonly name: string
  readonly definition: DefinitionOf<K>
  /** The definition's window; lifetime when it has none. */
  window(): Window
  /** A session window of this gap. */
  session(gap: number): Window
  /** A track of the feature's entity and filter; equal requests give one track. */
  track(request: TrackRequest): TrackView
  /** Number of an expression over the current event, for `row.evaluator.value`. */
  expression(source: string): number
  /** A float column. @param suffix as `[0]` or `=shoes` @returns its index in `Vector.floats` */
  float(suffix?: string): number
  /** Column or columns of one value that may be a text. */
  slot(request: SlotRequest): ValueSlot
  /** Units in 1 of a fixed-point sum. @throws RtmlError CONFIG when the unit is unreasonable */
  scale(unit: number): number
  /** An error about this feature: place and code are filled in. */
  error(key: string, message: string): Error
}

/**
 * Type of a value that may be a number or a text: text when `type: text`, or `encode`, or a text as default says so;
 * else number.
 */
export function typeOf(definition: {
  type?: 'number' | 'text' | undefined
  encode?: EncodeDefinition | undefined
  default: number | string | boolean | null
}): 'number' | 'text' {
  if (definition.type !== undefined) return definition.type
  return definition.encode !== undefined || typeof definition.default === 'string' ? 'text' : 'number'
}

/** Writes a value of the current event or of a table; one of another type is a missing one. */
export function putScalar(slot: ValueSlot, type: 'number' | 'text', value: unknown, into: Vector): void {
  if (type === 'text') {
    const text = keptTextOf(value)
    if (text === undefined) slot.putMissing(into)
    else slot.putText(text, into)
    return
  }
  const number = numberOf(value)
  if (Number.isNaN(number)) slot.putMissing(into)
  else slot.putNumber(number, into)
}
