import type { EpochMs } from './units.ts'

/** An XDM ExperienceEvent as a plain object, in the platform's unprefixed names. `timestamp` is RFC 3339 in UTC with milliseconds. */
export interface Xdm {
  _id: string
  timestamp: string
  eventType?: string
  identityMap?: Record<string, Identity[]>
  [field: string]: unknown
}

export interface Identity {
  id: string
  authenticatedState?: 'ambiguous' | 'authenticated' | 'loggedOut'
  primary?: boolean
}

/** A mapped event, as features, scorer and decisions see it. */
export interface XdmEvent {
  /** `_id`. */
  readonly id: string
  /** Event time. */
  readonly ts: EpochMs
  /** Primary identity, `<NAMESPACE>:<id>`: the key of `xdm.events` and of the profile's state. */
  readonly key: string
  readonly xdm: Xdm
}
