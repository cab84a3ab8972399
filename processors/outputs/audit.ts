/** The audit log: who changed what, when, why, and how it went. Kept in the topic `audit`, one JSON object a record. */
import { type EpochMs, epochMs } from '../app/units.ts'

/** Everything an operator can change, as `<noun>.<verb>`. The one list: routes, commands, docs and the console read it. */
export const AUDIT_ACTIONS = {
  'service.promote': 'a version was made the champion of its service',
  'service.rollback': 'a service went back to an earlier version',
  'service.disable': 'a service or a model of it was switched off',
  'service.enable': 'a service or a model of it was switched on again',
  'service.deploy': 'where a service runs was changed',
  'model.push': 'a model version was put into the registry',
  'rules.apply': 'segments or rules were replaced',
  'rules.rollback': 'segments or rules went back to an earlier version',
  'profile.erase': 'a person was erased',
  'profile.export': 'everything that is kept about a person was handed out',
  'dead-letters.replay': 'refused records were appended again, repaired or as they were',
  'keys.add': 'an API key was made',
  'keys.revoke': 'an API key was taken back',
  'stage.pause': 'a stage was paused',
  'stage.resume': 'a stage went on',
  'features.backfill': 'features were filled from the log',
  'learner.reset': 'a learner was started again from nothing',
} as const

export type AuditAction = keyof typeof AUDIT_ACTIONS

export const isAuditAction = (text: string): text is AuditAction => Object.hasOwn(AUDIT_ACTIONS, text)

/** `refused`: a check said no. `failed`: something broke on the way; it may be done in part. */
export type AuditResult = 'done' | 'refused' | 'failed'

export interface AuditEntry {
  readonly at: EpochMs
  /** `key:<name>`, `jwt:<subject>`, `local` (this machine, without authentication), `cli:<user>`. Never a credential. */
  readonly actor: string
  readonly action: AuditAction
  /**
   * What it was done to: a service, a version, a place in a topic. Never a person's identity in clear: this log outlives
   * the person's erasure.
   */
  readonly subject: string
  /** In the operator's words. */
  readonly reason?: string | undefined
  readonly result: AuditResult
  readonly via: 'http' | 'cli'
  /** Of the HTTP request; also in `x-request-id` of its answer. */
  readonly requestId?: string | undefined
  /** Small facts: versions before and after, counts, what was refused. */
  readonly detail?: Readonly<Record<string, string | number | boolean | null>> | undefined
}

const MAX_TEXT = 512
const MAX_DETAILS = 20

/** @returns key: the subject, so that a subject's entries keep their order; value: JSON, texts cut to 512 characters */
export function auditRecord(topic: string, entry: AuditEntry): { topic: string; key: Buffer; value: Buffer } {
  const { at, actor, action, subject, reason, result, via, requestId, detail } = entry
  const json = {
    at: new Date(at).toISOString(),
    actor: cut(actor),
    action,
    subject: cut(subject),
    ...(reason === undefined || reason === '' ? {} : { reason: cut(reason) }),
    result,
    via,
    ...(requestId === undefined ? {} : { requestId }),
    ...(detail === undefined ? {} : { detail: bounded(detail) }),
  }
  return { topic, key: Buffer.from(json.subject), value: Buffer.from(JSON.stringify(json)) }
}

const cut = (text: string): string => text.slice(0, MAX_TEXT)

function bounded(detail: NonNullable<AuditEntry['detail']>): Record<string, unknown> {
  const entries = Object.entries(detail).slice(0, MAX_DETAILS)
  return Object.fromEntries(entries.map(([name, value]) => [name, typeof value === 'string' ? cut(value) : value]))
}

/** @returns undefined for a record that isn't an audit entry of this version */
export function parseAudit(value: Buffer | null): AuditEntry | undefined {
  let found: unknown
  try {
    found = JSON.parse(value?.toString('utf8') ?? '')
  } catch {
    return undefined
  }
  const { at, actor, action, subject, result, ...rest } = (found ?? {}) as Record<string, unknown>
  const time = typeof at === 'string' ? Date.parse(at) : Number.NaN
  if (!Number.isFinite(time) || typeof actor !== 'string' || typeof subject !== 'string') return undefined
  if (typeof action !== 'string' || !isAuditAction(action)) return undefined
  if (result !== 'done' && result !== 'refused' && result !== 'failed') return undefined
  const { reason, via, requestId, detail } = rest
  return {
    at: epochMs(time),
    actor,
    action,
    subject,
    result,
    via: via === 'cli' ? 'cli' : 'http',
    ...(typeof reason === 'string' ? { reason } : {}),
    ...(typeof requestId === 'string' ? { requestId } : {}),
    ...(typeof detail === 'object' && detail !== null ? { detail: detail as NonNullable<AuditEntry['detail']> } : {}),
  }
}
