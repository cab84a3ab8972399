import type { XdmEvent } from '../app/event.ts'
import type { FeatureDefinition } from '../app/schema.ts'
import type { EpochMs } from '../app/units.ts'

/** One number or text of the vector. */
export interface Column {
  /** `views_1h`, or for a feature of several columns `last_types[0]`, `category=shoes`. */
  readonly name: string
  readonly feature: string
  readonly type: 'float' | 'string'
  /** Index into `Vector.floats` or `Vector.strings`. */
  readonly index: number
}

/** A row of what a model sees. Missing numbers are NaN, missing texts ''. */
export interface Vector {
  readonly floats: Float32Array
  readonly strings: string[]
}

export type Updated =
  | 'applied'
  /** The id is in the key's ring: no effect. */
  | 'duplicate'
  /** Older than the key's clock minus the lateness bound: no effect. */
  | 'late'

/** The decoded state of one key; opaque outside the kernel. Mutable, owned by one batch at a time. */
export interface KeyState {
  /** Latest event time the key has seen; -Infinity when it has seen none. */
  readonly time: number
}

/** The JSON form of a packed layout, enough to decode blobs written with it. */
export interface LayoutDescriptor {
  readonly id: number
  readonly entity: string
  readonly [key: string]: unknown
}

export interface EntityKernel {
  readonly entity: string
  readonly layout: LayoutDescriptor
  /** Lets `decode` read (and migrate) blobs of an older layout. */
  addLayout(descriptor: LayoutDescriptor): void
  /** Keys that the event touches in this entity: for `profile` its primary identity. Empty when the key expression gives none. */
  keys(event: XdmEvent): string[]
  empty(): KeyState
  /** @throws RtmlError-free Error when the bytes are corrupt or of an unknown layout */
  decode(packed: Buffer): KeyState
  /** As `decode`, for bytes after which others follow. @returns the state, and how many bytes it takes */
  decodeFirst(packed: Buffer): { readonly state: KeyState; readonly bytes: number }
  /** Canonical: equal states give equal bytes. */
  encode(state: KeyState): Buffer
  /**
   * Takes over what `from`, a state of the kernel `side` after the same events, keeps: each of its tracks replaces the one
   * of the same definition. `from` must not be used afterwards.
   * @throws Error when the two states have not seen the same events, or a track is not the same here
   */
  merge(into: KeyState, from: KeyState, side: EntityKernel): void
  /** Applies one event in log order. */
  update(state: KeyState, event: XdmEvent): Updated
  /** Drops everything when the key was silent for longer than its ttl at `at`. @returns true when the state is expired */
  isExpired(state: KeyState, at: EpochMs): boolean
}

/** Reads tables of compacted topics. */
export interface Lookups {
  get(table: string, key: string): Readonly<Record<string, unknown>> | undefined
}

/** Everything that the vector of one event is computed from. */
export interface VectorInputs {
  readonly event: XdmEvent
  /** State by entity; absent or expired = defaults. For a fan-out key the first key's state is read. */
  readonly states: ReadonlyMap<string, KeyState>
  readonly lookups: Lookups
  /** Instant of evaluation: max(event time, the profile's time). */
  readonly at: EpochMs
}

export interface FeatureAge {
  readonly feature: string
  /** Milliseconds since the newest event that the value reflects; undefined when none. */
  readonly ageMs: number | undefined
}

/** A feature that conditions read and models don't: it is kept like any other, and stands in no vector. One value each. */
export interface HiddenDefinition {
  readonly definition: FeatureDefinition
  /** Kind recency: after this long the value no longer matters, ms. */
  readonly withinMs?: number
}

/** Hidden features by their place in the list that the set was made with. */
export interface HiddenFeatures {
  readonly count: number
  /** Evaluates all of them; numbers as float64, null where there is none. The list is used again by the next call. */
  read(inputs: VectorInputs): readonly (number | string | null)[]
  /**
   * Instants after `inputs.at` at which values may change without an event, unsorted. Values that change all the time
   * (decayed ones, recency without a bound) have none: `isGradual`.
   */
  changes(inputs: VectorInputs, into: number[]): void
  isGradual(place: number): boolean
}

export interface FeatureSet {
  /** First 12 hex digits of SHA-256 over the canonical definitions, lateness and dedup included. */
  readonly version: string
  readonly columns: readonly Column[]
  readonly floatCount: number
  readonly stringCount: number
  /** Always has `profile`; others in the order of the application file. */
  readonly entities: ReadonlyMap<string, EntityKernel>
  /** Undefined when the set was made without. */
  readonly hidden?: HiddenFeatures | undefined
  /** Columns of a feature, or the column of that exact name. Undefined when there is none. */
  resolve(name: string): readonly Column[] | undefined
  newVector(): Vector
  vector(inputs: VectorInputs, into: Vector): void
  ages(inputs: VectorInputs): FeatureAge[]
}
