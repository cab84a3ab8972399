import { RtmlError } from '../../app/errors.ts'
import { type Offset, offset } from '../../app/units.ts'
import type { RecordRun, TopicPartition } from '../ports.ts'
import { runOf, startOf, truncated } from './fetcher.ts'
import { leaderOf } from './metadata.ts'
import { BrokerRefusal, isBusy, isStale } from './protocol/errors.ts'
import { nodeOf } from './protocol/node.ts'
import { fetchRecords } from './protocol/requests.ts'
import { Backoff } from './retry.ts'
import type { Line, Wire } from './wire.ts'

const LIMITS = { waitMs: 250, bytesMax: 1024 * 1024, partitionBytesMax: 1024 * 1024 }

/**
 * Runs of one partition without a group. The next fetch is under way while the caller works on a run.
 * @throws RtmlError LOG_TRUNCATED, LOG_DOWN
 */
export async function* readPartition(
  wire: Wire,
  source: TopicPartition,
  from: Offset,
  options: { until?: Offset; signal?: AbortSignal },
): AsyncGenerator<RecordRun> {
  const { until = offset(Number.MAX_SAFE_INTEGER), signal } = options
  const line = wire.line()
  const aborted = Promise.withResolvers<undefined>()
  const onAbort = () => aborted.resolve(undefined)
  signal?.addEventListener('abort', onAbort, { once: true })
  if (signal?.aborted) onAbort()
  try {
    let position = from
    let next = position < until ? fetchRun(wire, line, source, position) : undefined
    while (next && !signal?.aborted) {
      const run = await Promise.race([next, aborted.promise])
      if (signal?.aborted) return
      if (!run) {
        next = fetchRun(wire, line, source, position)
        continue
      }
      const isLast = run.to >= until
      position = isLast ? until : run.to
      next = isLast ? undefined : fetchRun(wire, line, source, position)
      yield isLast ? { ...run, to: until, records: run.records.filter((record) => record.offset < until) } : run
    }
  } finally {
    signal?.removeEventListener('abort', onAbort)
    line.drop()
  }
}

/** One long poll; undefined when nothing came. The promise may be abandoned: it never rejects unhandled. */
function fetchRun(wire: Wire, line: Line, source: TopicPartition, position: Offset): Promise<RecordRun | undefined> {
  const run = fetchPatiently(wire, line, source, position)
  run.catch(() => {})
  return run
}

async function fetchPatiently(
  wire: Wire,
  line: Line,
  source: TopicPartition,
  position: Offset,
): Promise<RecordRun | undefined> {
  const { clock, settings } = wire
  const backoff = new Backoff(clock)
  const end = clock.now() + settings.requestTimeoutMs
  for (;;) {
    try {
      return await fetchOnce(line, source, position)
    } catch (error) {
      const isSilent = error instanceof RtmlError && error.code === 'LOG_DOWN'
      if (!isStale(error) && !isBusy(error) && !isSilent && !(error instanceof BeyondEnd)) throw error
      if (clock.now() > end) {
        if (error instanceof RtmlError) throw error
        if (error instanceof BeyondEnd) throw error.cause
        const place = `${source.topic}[${source.partition}]`
        throw new RtmlError('LOG_DOWN', `no leader answers: ${String(error)}`, { place, cause: error })
      }
      await backoff.pause()
      await line.refresh().catch(() => {})
    }
  }
}

class BeyondEnd extends Error {
  readonly type = 'OFFSET_OUT_OF_RANGE'
  constructor(cause: RtmlError) {
    super(cause.message, { cause })
  }
}

function fetchOnce(line: Line, source: TopicPartition, position: Offset): Promise<RecordRun | undefined> {
  const { topic, partition } = source
  return line.call(`read ${topic}[${partition}]`, async (cluster) => {
    const broker = await nodeOf(cluster, await leaderOf(cluster, source))
    const [fetched] = await fetchRecords(broker, [{ topic, partition, position }], LIMITS)
    if (!fetched) return undefined
    if (fetched.errorCode !== 0) {
      const refusal = new BrokerRefusal(fetched.errorCode, `${topic}[${partition}]`)
      if (refusal.type !== 'OFFSET_OUT_OF_RANGE') throw refusal
      const start = await startOf(broker, source)
      const error = truncated(source, position, start)
      if (position < start) throw error
      // A leader that has just taken over may not have caught up with what was committed.
      throw new BeyondEnd(error)
    }
    return runOf(broker, fetched, true)
  })
}
