/** What is wrong with a learner, from when it was first seen until it was seen to be over. */
import type { EpochMs } from '../../app/units.ts'

export type Severity = 'info' | 'warning' | 'critical'

export interface Finding {
  readonly code: string
  /** What of several: a feature, a model. */
  readonly subject?: string
  readonly severity: Severity
  readonly text: string
}

export interface Alert extends Finding {
  readonly state: 'open' | 'closed'
  readonly since: EpochMs
  readonly at: EpochMs
}

/** Closed alerts that are remembered. */
const HISTORY = 50
/** Open alerts at most; what is beyond them is one alert of its own on the next look. */
const OPEN_MAX = 50

export interface AlarmState {
  readonly open: readonly Alert[]
  readonly past: readonly Alert[]
}

export const NO_ALARMS: AlarmState = { open: [], past: [] }

const keyOf = ({ code, subject = '' }: Finding): string => `${code}\n${subject}`

/** Takes what is found now. @returns the new state, and the alerts that opened or closed */
export function raise(
  { open, past }: AlarmState,
  findings: readonly Finding[],
  now: EpochMs,
): { state: AlarmState; changed: readonly Alert[] } {
  const known = new Map(open.map((alert) => [keyOf(alert), alert]))
  const found = new Map(findings.map((finding) => [keyOf(finding), finding]).slice(0, OPEN_MAX) as [string, Finding][])
  const opened = [...found]
    .filter(([key]) => !known.has(key))
    .map(([, finding]): Alert => ({ ...finding, state: 'open', since: now, at: now }))
  const closed = open
    .filter((alert) => !found.has(keyOf(alert)))
    .map((alert): Alert => ({ ...alert, state: 'closed', at: now }))
  // An alert keeps the words that it was raised with: figures in them change with every label.
  const still = open.filter((alert) => found.has(keyOf(alert)))
  return {
    state: { open: [...still, ...opened], past: [...past, ...closed].slice(-HISTORY) },
    changed: [...closed, ...opened],
  }
}

/** Something that happened at one moment, such as a rollback: it is past as soon as it is told. */
export function tell(state: AlarmState, finding: Finding, now: EpochMs): { state: AlarmState; alert: Alert } {
  const alert: Alert = { ...finding, state: 'closed', since: now, at: now }
  return { state: { ...state, past: [...state.past, alert].slice(-HISTORY) }, alert }
}
