import type { XdmEvent } from '../app/event.ts'
import type { EpochMs } from '../app/units.ts'
import type { RuleState } from '../decisions/rule-state.ts'
import type { NewRecord } from '../engine/ports.ts'
import type { KeyState, Vector } from '../features/types.ts'
import type { Score } from '../scorer/types.ts'

/** What a decision is made from: the profile as it is with the request's own event. */
export interface DecisionRequest {
  readonly event: XdmEvent
  readonly vector: Vector
  readonly scores: readonly Score[]
  /** The profile's state after the event. */
  readonly state: KeyState
  /** What it keeps of segments. */
  readonly rules: RuleState | undefined
  /** Parts that could not be read in time. */
  readonly missing: readonly ('profile' | 'entities' | 'scores')[]
  /** Instant of evaluation. */
  readonly at: EpochMs
  /** Scopes that were asked for, in order; `__view__` is the page. Empty: the ones of the page. */
  readonly scopes: readonly string[]
  /** Content schemas that the client can show; empty: any. */
  readonly schemas: readonly string[]
}

/** One answer for one scope, as `personalization:decisions` carries it. */
export interface Proposition {
  readonly id: string
  readonly scope: string
  readonly scopeDetails: Readonly<Record<string, unknown>>
  readonly items: readonly {
    readonly id: string
    readonly schema: string
    readonly meta?: Readonly<Record<string, unknown>>
    readonly data: Readonly<Record<string, unknown>>
  }[]
}

export interface Decided {
  readonly propositions: readonly Proposition[]
  /** Segments that the page may know. */
  readonly segments?: readonly string[]
  /** What was decided, for the log; undefined: nothing was. */
  readonly record?: NewRecord | undefined
}

/** Rules, segments and experiences of an application. Pure: the same request gives the same decision. */
export interface Decisions {
  decide(request: DecisionRequest): Decided
}
