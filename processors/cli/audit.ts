import { userInfo } from 'node:os'
import type { Application } from '../app/schema.ts'
import { systemClock } from '../app/system-clock.ts'
import { topicNames } from '../app/topics.ts'
import type { Engine } from '../engine/ports.ts'
import { type AuditEntry, auditRecord } from '../outputs/index.ts'
import { topicSpecs } from '../topology.ts'

/** What a command says of the change that it makes. */
export type CommandChange = Pick<AuditEntry, 'action' | 'subject' | 'reason' | 'detail'>

/**
 * Does a change and writes it into the audit log: done, or failed with what went wrong.
 * @throws what `work` throws; RtmlError LOG_DOWN when the entry could not be written
 */
export async function auditedCommand<T>(
  { log }: Pick<Engine, 'log'>,
  app: Application,
  change: CommandChange,
  work: () => Promise<T>,
): Promise<T> {
  const write = (result: AuditEntry['result'], detail: AuditEntry['detail']) => {
    const entry: AuditEntry = { ...change, detail, result, at: systemClock.now(), actor: actorOf(), via: 'cli' }
    return log.append([auditRecord(topicNames(app).audit, entry)])
  }
  // The application may never have run here with an audit log.
  await log.ensureTopics(topicSpecs(app).filter(({ topic }) => topic === topicNames(app).audit))
  let answer: T
  try {
    answer = await work()
  } catch (error) {
    const because = error instanceof Error ? error.message : String(error)
    await write('failed', { ...change.detail, error: because }).catch(() => {})
    throw error
  }
  await write('done', change.detail)
  return answer
}

export function actorOf(): string {
  try {
    return `cli:${userInfo().username}`
  } catch {
    // A container's user may have no name.
    return `cli:${process.getuid?.() ?? 'unknown'}`
  }
}
