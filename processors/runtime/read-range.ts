import { RtmlError } from '../app/errors.ts'
import type { Offset } from '../app/units.ts'
import type { Log, RecordRun, TopicPartition } from '../engine/ports.ts'
import { Stopped } from './retry.ts'

/**
 * Reads [from, until) of a partition, all of it or not successfully: a read that was cut short must never pass for a
 * complete one.
 * @throws Stopped when `signal` aborts; RtmlError LOG_DOWN when the log ends early; LOG_TRUNCATED when it starts late
 */
export async function* readRange(
  log: Pick<Log, 'read'>,
  source: TopicPartition,
  from: Offset,
  until: Offset,
  signal: AbortSignal,
): AsyncGenerator<RecordRun> {
  let position = from
  if (from < until) {
    for await (const run of log.read(source, from, { until, signal })) {
      yield run
      position = run.to
    }
  }
  if (position >= until) return
  if (signal.aborted) throw new Stopped()
  throw new RtmlError('LOG_DOWN', `the log ended at ${position}, before ${until}`, {
    place: `${source.topic}[${source.partition}]`,
  })
}
