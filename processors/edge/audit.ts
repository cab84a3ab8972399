/** Every change that comes over HTTP leaves a record in the audit log before its caller gets the answer. */
import type { FastifyRequest } from 'fastify'
import { epochMs } from '../app/units.ts'
import { type AuditAction, type AuditEntry, auditRecord } from '../outputs/index.ts'
import { isAnonymous } from './auth/guard.ts'
import type { Edge } from './edge.ts'
import { Problem } from './problem.ts'

/** What a route says of a change; who, when and how it went are added here. */
export interface Change {
  readonly action: AuditAction
  /** What it is done to. Never a person's identity in clear. */
  readonly subject: string
  readonly reason?: string | undefined
  readonly detail?: AuditEntry['detail']
}

type Recorder = Pick<Edge, 'plan' | 'engine' | 'clock'>

/**
 * Does a change and writes it down: done, refused (a problem of the caller's, status 4xx) or failed. The caller hears of
 * success only when the audit log has it.
 * @param work may return `{ detail }` facts for the entry by calling `note`
 * @throws what `work` throws; RtmlError LOG_DOWN when the entry could not be written: the change may be done all the same
 */
export async function audited<T>(
  edge: Recorder,
  request: FastifyRequest,
  change: Change,
  work: (note: (detail: NonNullable<AuditEntry['detail']>) => void) => Promise<T>,
): Promise<T> {
  let detail = change.detail
  const note = (more: NonNullable<AuditEntry['detail']>) => {
    detail = { ...detail, ...more }
  }
  let answer: T
  try {
    answer = await work(note)
  } catch (error) {
    const result = error instanceof Problem && error.statusCode < 500 ? 'refused' : 'failed'
    const because = error instanceof Error ? error.message : String(error)
    // What went wrong with the change is what the caller must hear, whether or not it could be written down.
    await audit(edge, request, { ...change, detail: { ...detail, error: because } }, result).catch(() => {})
    throw error
  }
  await audit(edge, request, { ...change, detail }, 'done')
  return answer
}

/** Appends one entry, durably. @throws RtmlError LOG_DOWN */
export async function audit(
  { plan, engine, clock }: Recorder,
  request: Pick<FastifyRequest, 'principal' | 'id'>,
  { action, subject, reason, detail }: Change,
  result: AuditEntry['result'],
): Promise<void> {
  const { principal, id } = request
  const actor = isAnonymous(principal) ? 'local' : principal.id
  const at = epochMs(clock.now())
  const entry: AuditEntry = { at, actor, action, subject, reason, result, via: 'http', requestId: id, detail }
  await engine.log.append([auditRecord(plan.topics.audit, entry)])
}
